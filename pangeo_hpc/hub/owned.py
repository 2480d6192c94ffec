"""Whether anybody but root can change a file: what a program that acts as users may rest on."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pangeo_hpc.errors import NotAllowed

# As many links as Linux itself follows.
_MOST_LINKS = 40


def check(path: Path) -> None:
    """Raise NotAllowed unless only root can change a file, every folder and link on the way to it.

    Raise OSError if it is not there.
    """
    for place, status in _way(path):
        if status.st_uid != 0:
            hint = f"chown root {place}"
        elif _writable(status):
            hint = f"chmod go-w {place}"
        else:
            continue
        raise NotAllowed(f"{place} can be changed by others than root", hint=hint)


def _way(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every folder and link that leads to a file, and the file, with what each is."""
    here, left, links = Path("/"), list(path.absolute().parts[1:]), 0
    yield here, here.lstat()
    while left:
        word = left.pop(0)
        if word == "..":
            here = here.parent
            continue
        place = here / word
        status = place.lstat()
        yield place, status
        if not stat.S_ISLNK(status.st_mode):
            here = place
            continue
        links += 1
        if links > _MOST_LINKS:
            raise NotAllowed(f"{path} is a link that leads nowhere")
        target = place.readlink()
        here = Path("/") if target.is_absolute() else here
        left = [*(part for part in target.parts if part != "/"), *left]


def _writable(status: os.stat_result) -> bool:
    """Tell whether others may write; in a sticky folder they cannot touch what is root's."""
    if stat.S_ISLNK(status.st_mode):
        return False
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    return bool(status.st_mode & 0o022) and not sticky


def check_below(top: Path) -> None:
    """Raise NotAllowed for anything in a tree that others than root could change."""
    pending = [top]
    while pending:
        here = pending.pop()
        status = here.lstat()
        if status.st_uid != 0 or _writable(status):
            raise NotAllowed(
                f"{here} can be changed by others than root",
                hint=f"chown -R root {top}; chmod -R go-w {top}",
            )
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(here) as entries:
                pending += [Path(entry.path) for entry in entries]
