"""The words of our extension in JupyterLab, from whoever submits a job to the server in it.

The site's translation lies on the host of the hub or the login node, and not on every node: what
the extension says is written into the job's own folder. It is no secret.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pangeo_hpc import files, texts
from pangeo_hpc.errors import SiteError
from pangeo_hpc.texts import LANGUAGE, Texts

FILE = "texts.json"
# The parts of the catalogue that the extension uses.
PARTS = ("lab", "units")


def told(catalogue: Texts) -> dict[str, Any]:
    """Return what the extension is told: its texts, and which language they are in."""
    parts = {name: catalogue.part(name) for name in PARTS}
    return {"format": 1, "language": catalogue(LANGUAGE), **parts}


def write(folder: Path, site_file: Path | None) -> None:
    """Write into a job's folder what the extension will say, by a site's file of texts if any.

    A file that this user cannot read, or that was spoilt since the hub began, leaves it at English:
    words keep no server from starting.
    """
    try:
        catalogue = texts.load(site_file)
    except SiteError:
        catalogue = texts.english()
    files.write_json(folder / FILE, told(catalogue), mode=0o600)


def read(folder: Path) -> Mapping[str, Any]:
    """Return what the extension says; English where nothing whole was written."""
    ours = told(texts.english())
    try:
        kept = files.read_json(folder / FILE)
    except (OSError, ValueError):
        return ours
    whole = isinstance(kept, dict) and all(
        isinstance(kept.get(name), dict) and kept[name].keys() >= ours[name].keys()
        for name in PARTS
    )
    return kept if whole else ours
