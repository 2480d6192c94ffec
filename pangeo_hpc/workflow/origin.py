"""Where an output comes from: what its attributes tell of that."""

import getpass
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.workflow.holder import Holder, moment
from pangeo_hpc.workflow.notebooks import notebook as notebooks
from pangeo_hpc.workflow.provenance import environment as provenance_environment

PREFIX = "pangeo_hpc_"
TOKEN, STATE, JOBS = f"{PREFIX}id", f"{PREFIX}state", f"{PREFIX}jobs"
# The digests of what made the units, and a note where some were kept that something else made.
DIGESTS, KEPT = f"{PREFIX}digests", f"{PREFIX}kept"
# The groups below are outputs of their own.
GROUPS = f"{PREFIX}groups"
UNFINISHED, COMPLETE = "unfinished", "complete"
_TOLD = ("pangeo-hpc", "xarray", "zarr", "dask", "numpy")


def digest_of_code(script: Path | None) -> str | None:
    """Return a digest of a script's bytes, None in an interactive session.

    Of a notebook it is the source of the cells that counts.
    """
    if script is not None and notebooks.is_notebook(script):
        return notebooks.digest(script)
    return hashlib.sha256(script.read_bytes()).hexdigest() if script else None


def describe(record: Mapping[str, Any], code: str | None, holder: Holder) -> dict[str, str]:
    """Return what an output's attributes tell of the run that writes it."""
    arguments: Sequence[str] = record.get("arguments") or ()
    facts = {
        "run": record.get("name"),
        "site": record.get("site"),
        "user": getpass.getuser(),
        "script": record.get("script"),
        "script_sha256": code,
        "arguments": " ".join(arguments) or None,
        "environment": provenance_environment.described(),
        "git": record.get("git"),
        "folder": record.get("folder"),
        "versions": ", ".join(f"{name} {version}" for name, version in _versions().items()),
        "jobs": holder.job_id,
        "begun": moment(),
    }
    return {f"{PREFIX}{key}": str(value) for key, value in facts.items() if value is not None}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _TOLD:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def metadata_of(store: Path) -> dict[str, Any] | None:
    """Return the metadata of a store's root group, None if it is not one of Zarr format 3."""
    try:
        found = files.read_json(store / "zarr.json")
    except (OSError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) and "attributes" in found else None


def attributes(store: Path) -> dict[str, Any]:
    """Return the attributes of a store's root group; none if it has none."""
    return dict((metadata_of(store) or {}).get("attributes") or {})


def is_complete(store: Path) -> bool:
    """Tell whether a store of ours was finished, its consolidated metadata included."""
    found = metadata_of(store) or {}
    return attributes(store).get(STATE) == COMPLETE and bool(found.get("consolidated_metadata"))
