"""The user's own directory on scratch."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import UsageError
from pangeo_hpc.site import Person, Site, current_person, load_site

VARIABLE = "PANGEO_SCRATCH"
# Object stores have no folders to make first, and programs written for them make none: so fsspec
# makes them on disks too (zarr 3.1 writes through fsspec.get_mapper without asking for a folder).
_AS_IN_A_STORE = {"FSSPEC_FILE_AUTO_MKDIR": "true"}


def root(site: Site, person: Person | None = None, filesystem: str | None = None) -> Path:
    """Return the user's directory on a scratch filesystem, or on the default one.

    A site without scratch gives ``pangeo-scratch`` in the user's home. Raise UnknownName for a
    filesystem that the site does not have.
    """
    who = person or current_person()
    if not site.scratch:
        if filesystem is not None:
            site.scratch_filesystem(filesystem)
        return who.home / "pangeo-scratch"
    return site.scratch_path(who, filesystem)


def path(relative: str | Path = "", *, site: Site | None = None, create: bool = True) -> Path:
    """Return a path under this user's scratch directory, which is created if it is missing.

    Inside a job, the directory is the one the job was given (``PANGEO_SCRATCH``). An absolute path
    is returned as it is. Raise UsageError for a path that leaves scratch.
    """
    wanted = Path(relative)
    if wanted.is_absolute():
        return wanted
    given = os.environ.get(VARIABLE)
    base = Path(given) if given and site is None else root(site or load_site())
    inside(wanted)
    if create:
        files.make_directory(base, mode=0o700)
    return base / wanted


def inside(relative: Path) -> Path:
    """Return a relative path as it is. Raise UsageError if it climbs out of scratch."""
    if ".." in relative.parts:
        hint = "give an absolute path to work somewhere else"
        raise UsageError(f"{relative} leaves your scratch directory", hint=hint)
    return relative


def variable(site: Site, person: Person | None = None) -> dict[str, str]:
    """Return the environment variables that tell jobs and workers where scratch is.

    What is written below it with fsspec gets its folders, as on Pangeo Cloud.
    """
    return {VARIABLE: str(root(site, person)), **_AS_IN_A_STORE}


def keep_until(
    site: Site, written: datetime | None = None, filesystem: str | None = None
) -> datetime | None:
    """Return when something written at a moment may be purged; None where nothing is purged.

    The grace that the site gives after its age limit counts too.
    """
    if not site.scratch:
        return None
    purge = site.scratch_filesystem(filesystem).purge
    if purge is None:
        return None
    return (written or datetime.now(UTC)) + purge.after + purge.grace
