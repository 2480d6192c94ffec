"""The environment this process runs in: its prefix, all that is installed in it, and a digest."""

import hashlib
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pangeo_hpc import files


@cache
def packages() -> tuple[str, ...]:
    """Return everything that is installed, sorted: ``name==version``, and Conda's own packages."""
    # what lies beside the script is no part of the environment
    beside = {"", str(Path(sys.argv[0] or ".").absolute().parent)}
    places = [place for place in sys.path if place not in beside]
    installed = {f"{each.name}=={each.version}" for each in metadata.distributions(path=places)}
    conda = Path(sys.prefix) / "conda-meta"
    if conda.is_dir():
        # libraries such as HDF5 are no Python packages; the name holds version and build
        installed |= {f"conda:{path.stem}" for path in conda.glob("*.json")}
    return tuple(sorted(installed))


@cache
def digest() -> str:
    """Return the SHA-256 of all that is installed."""
    return digest_of(packages())


def digest_of(packages: Iterable[str]) -> str:
    """Return one SHA-256 of packages as ``name==version``, whatever their order."""
    return hashlib.sha256("\n".join(sorted(packages)).encode()).hexdigest()


def described() -> str:
    """Return prefix and digest in one line, as an output's attributes have it."""
    return f"{sys.prefix} sha256:{digest()}"


def record(run: Path) -> dict[str, Any]:
    """Return what is told of this environment; its package list is kept once per digest."""
    place = list_of(run, digest())
    if not place.exists():
        files.make_directory(place.parent, mode=0o700)
        files.write_atomic(place, "\n".join(packages()) + "\n", mode=0o600)
    return {
        "prefix": sys.prefix,
        "python": sys.executable,
        "python_version": platform.python_version(),
        "digest": f"sha256:{digest()}",
        "packages": len(packages()),
        "list": str(place.relative_to(run)),
    }


def list_of(run: Path, told: str) -> Path:
    """Return the file with the package list of a digest in a run's folder."""
    return run / "environments" / f"{told.removeprefix('sha256:')}.txt"


def changes(before: Path, after: Path) -> list[str]:
    """Return in words what differs between two package lists; nothing if one is not there."""
    try:
        old, new = (set(path.read_text().split()) for path in (before, after))
    except FileNotFoundError:
        return []
    return [
        *(f"- {line}" for line in sorted(old - new)),
        *(f"+ {line}" for line in sorted(new - old)),
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(packages()) + "\n")
