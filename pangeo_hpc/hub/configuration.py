"""The text of a ``jupyterhub_config.py``."""

from pathlib import Path

from pangeo_hpc._version import __version__

_TEXT = """\
# made by pangeo-hpc {version}; edit the site YAML for what it can say, and add other lines below
from pangeo_hpc.hub.settings import configure

configure(
    get_config(),
    {site!r},
    state={state!r},{more}
)
"""


def text(
    site_file: Path,
    state: Path,
    program: Path | None = None,
    *,
    own_proxy: bool = True,
    extra: Path | None = None,
) -> str:
    """Return a configuration that says only where things are; the rest comes from the site.

    `extra` is a file of further settings, which is read last.
    """
    more = f"\n    program=({str(program)!r},)," if program else ""
    more += "" if own_proxy else "\n    own_proxy=False,"
    found = _TEXT.format(version=__version__, site=str(site_file), state=str(state), more=more)
    return found + (f"load_subconfig({str(extra)!r})\n" if extra else "")
