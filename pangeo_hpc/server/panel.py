"""Dask's panel in JupyterLab (dask-labextension): for dashboards, and not for clusters.

Its button for a new cluster starts one inside the notebook server, with a scheduler and a dashboard
that every user of the node can reach (dask-labextension 7.0.0). Here the list of clusters is hidden
(`jupyter/labconfig`), and what is left of it, such as a command, tells where clusters are started.
"""

import os
from typing import Any

from pangeo_hpc.errors import UsageError

# How Dask reads settings of the extension from the environment.
_SETTING = "DASK_LABEXTENSION__FACTORY__"


def start_none() -> None:
    """Let the extension of this process start no clusters, unless somebody has set how."""
    if f"{_SETTING}MODULE" not in os.environ:
        os.environ[f"{_SETTING}MODULE"] = __name__
        os.environ[f"{_SETTING}CLASS"] = refuse.__name__


def refuse(*_: Any, **__: Any) -> None:
    """Raise UsageError, which says how a cluster is started; the extension shows it."""
    raise UsageError(
        "this button would start a cluster that others on the node can reach",
        hint="start one in a notebook: import pangeo_hpc; pangeo_hpc.start_cluster()",
    )
