"""A small valid site as YAML text, for tests that need one."""

from collections.abc import Mapping
from pathlib import Path


def small_site_yaml(
    *,
    name: str = "small",
    scheduler: str = "local",
    user_state: Path | str = "~/.local/state/pangeo-hpc",
    scratch: Path | str | None = None,
    node_type: Mapping[str, str] | None = None,
) -> str:
    """Return a site with one node type of 2 cores and 1 GiB, and scratch if a folder is given.

    Below `user_state` and `scratch` each user has a folder of their own.
    `node_type` adds settings of the node type, or changes them: values are YAML text, such as
    ``{"memory": "2 GiB", "walltime": '"00:10:00"'}``.
    """
    settings = {
        "cores": "2",
        "memory": "1 GiB",
        "walltime": '"00:10:00"',
        "max_walltime": '"01:00:00"',
        "max_nodes": "2",
    } | dict(node_type or {})
    own = user_state if str(user_state).startswith("~") else f"{user_state}/{{user}}"
    lines = [
        f"name: {name}",
        f"scheduler: {scheduler}",
        f"user_state: {_quoted(own)}",
        "node_types:",
        "  small:",
        *(f"    {key}: {value}" for key, value in settings.items()),
    ]
    if scratch is not None:
        path = _quoted(f"{scratch}/{{user}}")
        lines += ["scratch:", "  scratch:", f"    root: {_quoted(scratch)}", f"    path: {path}"]
    return "\n".join(lines) + "\n"


def _quoted(value: Path | str) -> str:
    return "'" + str(value).replace("'", "''") + "'"
