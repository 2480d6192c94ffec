"""Looking around, on the login host and on a node: directories, network interfaces."""

import os
import secrets
import socket
from enum import StrEnum
from pathlib import Path


class PlaceState(StrEnum):
    """What a directory is to a user."""

    WRITABLE = "writable"
    CREATABLE = "creatable"
    MISSING = "missing"
    REFUSED = "refused"


def try_directory(path: Path) -> tuple[PlaceState, str]:
    """Return what a directory is to us, and the system's words where it cannot be used.

    A small file is written and removed; a directory that is not there is not created.
    """
    try:
        if not path.is_dir():
            return _absent(path)
        probe = path / f".pangeo-hpc-doctor-{secrets.token_hex(8)}"
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, b"doctor\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        return PlaceState.REFUSED, error.strerror or str(error)
    return PlaceState.WRITABLE, ""


def _absent(path: Path) -> tuple[PlaceState, str]:
    """Return whether a directory that is not there could be made by us, as its first use does."""
    if path.exists():
        return PlaceState.REFUSED, "it is not a directory"
    above = next(parent for parent in path.parents if parent.exists())
    if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return PlaceState.CREATABLE, ""
    return PlaceState.MISSING, f"it does not exist, and {above} is not ours to write in"


def holds(path: Path, name: str) -> bool:
    """Tell whether a directory holds a file that we can see."""
    try:
        return (path / name).is_file()
    except OSError:
        return False


def interfaces() -> dict[str, list[str]]:
    """Return the network interfaces with their IPv4 addresses, the only ones Dask asks for."""
    import psutil

    return {
        name: [entry.address for entry in entries if entry.family == socket.AF_INET]
        for name, entries in psutil.net_if_addrs().items()
    }
