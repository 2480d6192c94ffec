"""What a notebook server does to show dashboards, and what it keeps to itself."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado import httputil, web

from pangeo_hpc.server.boards import VARIABLE
from pangeo_hpc.server.dashboards import DashboardHandler
from pangeo_hpc.server.pages import add_dashboards
from pangeo_hpc.server.watch import Told


class Log:
    """Notes warnings."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str, *arguments: Any) -> None:
        self.said.append(text % arguments)


@pytest.fixture(autouse=True)
def inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a server that started this one has told."""
    monkeypatch.setenv(VARIABLE, "other /other/pangeo-dask/")


def told(clusters: Path | None) -> Told:
    return Told(job=None, node="c1", clusters=clusters)


def test_kernels_are_told_where(tmp_path: Path) -> None:
    """The variable has this host and the server's own address."""
    log = Log()
    add_dashboards(web.Application(), "/user/alice/", told(tmp_path), log)
    assert os.environ[VARIABLE] == f"{os.uname().nodename} /user/alice/pangeo-dask/"
    assert log.said == []


def test_without_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, and kernels are told nothing, not what another server said either."""
    monkeypatch.setitem(sys.modules, "pangeo_hpc.server.dashboards", None)
    log = Log()
    add_dashboards(web.Application(), "/", told(tmp_path), log)
    assert len(log.said) == 1 and "dashboards of Dask clusters cannot be shown" in log.said[0]
    assert VARIABLE not in os.environ


def test_without_clusters() -> None:
    """A server that knows of no folder of clusters shows none."""
    add_dashboards(web.Application(), "/", told(None), Log())
    assert VARIABLE not in os.environ


def test_what_is_the_server_s_stays_with_it(tmp_path: Path) -> None:
    """A dashboard gets neither the login nor the address of the page that asks for it."""
    sent = {"Cookie": "secret", "Authorization": "token secret", "X-XSRFToken": "secret",
            "Referer": "http://hub/?token=secret", "Origin": "http://hub", "Host": "hub",
            "Accept": "text/html"}  # fmt: skip
    handler: Any = DashboardHandler.__new__(DashboardHandler)
    handler.request = SimpleNamespace(headers=httputil.HTTPHeaders(sent))
    headers = dict(handler.proxy_request_headers())
    assert headers == {"Accept": "text/html", "Host": "localhost"}


def test_nothing_but_looking() -> None:
    """There is no way to change something."""
    assert DashboardHandler.SUPPORTED_METHODS == ("GET", "HEAD")
