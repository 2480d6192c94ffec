"""What a server answers to its own pages: the time left, its words, and that a person is there."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web

from pangeo_hpc.server.boards import VARIABLE
from pangeo_hpc.server.panel import start_none
from pangeo_hpc.server.watch import Told, Watch
from pangeo_hpc.server.work import OURS, PRESENT

# Holds `labextensions/` and `labconfig/`, which JupyterLab reads; its scripts are plain and built
# from nothing.
JUPYTER = Path(__file__).with_name("jupyter")
TIME_LEFT = f"{OURS}time-left"
TEXTS = f"{OURS}texts"


class TimeLeftHandler(APIHandler):
    """Tells when the job is over, and whether the server would be stopped for being idle."""

    # a page that asks by itself is no work
    _track_activity = False

    def initialize(self, watch: Watch) -> None:
        """Take what is told."""
        self.watch = watch

    @web.authenticated
    def get(self) -> None:
        """Answer in JSON; times are seconds since 1970 by this server's clock."""
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(self.watch.plain(time.time())))


class TextsHandler(APIHandler):
    """Tells the words of the extension, in the site's language."""

    _track_activity = False

    def initialize(self, words: Mapping[str, Any]) -> None:
        """Take what is told."""
        self.words = words

    @web.authenticated
    def get(self) -> None:
        """Answer in JSON."""
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(self.words))


class PresentHandler(APIHandler):
    """Takes the word of a page that a person touches it."""

    @web.authenticated
    def post(self) -> None:
        """Answer with nothing: the request itself is noticed."""
        self.set_status(204)
        self.finish()


def add_watch(application: web.Application, base: str, told: Told, log: Any) -> Watch:
    """Let a Jupyter server tell its time left at `base`; `begin` of the watch is the caller's.

    `base` has a slash at its end.
    """
    watch = Watch(told=told, application=application, base=base, log=log)
    application.add_handlers(
        ".*$",
        [
            (f"{base}{TIME_LEFT}", TimeLeftHandler, {"watch": watch}),
            (f"{base}{TEXTS}", TextsHandler, {"words": told.words}),
            (f"{base}{PRESENT}", PresentHandler),
        ],
    )
    return watch


def add_dashboards(application: web.Application, base: str, told: Told, log: Any) -> None:
    """Let a Jupyter server show the dashboards of the user's Dask clusters at `base`.

    Without jupyter-server-proxy it says so once, and shows none.
    """
    # of a server that started this one
    os.environ.pop(VARIABLE, None)
    if told.clusters is None:
        return
    try:
        from pangeo_hpc.server.dashboards import add_handlers
    except ImportError as error:
        log.warning("pangeo-hpc: dashboards of Dask clusters cannot be shown here: %s", error)
        return
    add_handlers(application, base, told.clusters)


def offer_to_lab() -> None:
    """Let JupyterLab in this process find our extension, whatever users have configured.

    Its package.json turns one of JupyterLab's own off: that asks each user about news of Jupyter,
    over our warnings, and looks for versions that no user can install. Settings that have to do
    with us get other defaults; what a user has set counts.
    """
    for variable in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        known = os.environ.get(variable)
        places = [*([known] if known else []), str(JUPYTER)]
        os.environ[variable] = os.pathsep.join(places)
    start_none()
