"""Filesystems that look like scratch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc.site import Person

_PARALLEL = frozenset({"lustre", "gpfs", "beegfs", "ceph", "wekafs", "panfs", "pvfs2", "orangefs"})
_VARIABLES = ("SCRATCH", "PSCRATCH")
_USUAL = ("/scratch", "/gscratch", "/lustre/scratch", "/gpfs/scratch")


@dataclass(frozen=True)
class Mount:
    """A filesystem that may be scratch.

    `path` is the template of a user's directory; `likely` is False where only the kind of the
    filesystem speaks for it.
    """

    root: str
    path: str
    why: str
    likely: bool = True


def _is_directory(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def scratch_mounts(
    table: str,
    person: Person,
    environ: Mapping[str, str],
    *,
    is_directory: Callable[[str], bool] = _is_directory,
) -> tuple[Mount, ...]:
    """Return what may be scratch, the likeliest first; `table` is the text of /proc/mounts."""
    found: list[Mount] = []

    def add(root: str, path: str | None, why: str, *, likely: bool = True) -> None:
        inside = any(root == each.root or root.startswith(f"{each.root}/") for each in found)
        if not inside and _plain(root):
            template = path or _users_directory(root, person, is_directory)
            found.append(Mount(root, template, why, likely))

    for variable in _VARIABLES:
        place = environ.get(variable, "").rstrip("/")
        if place.startswith("/") and place.endswith(f"/{person.user}"):
            root, path = _of_variable(place, person)
            add(root, path, f"the variable {variable}")
    points = _points(table)
    for point, kind in points.items():
        if re.search(r"scratch|/work(/|$)", point):
            add(point, None, f"{kind} mounted there")
    for name in _USUAL:
        if is_directory(name):
            add(name, None, "a usual place")
    for point, kind in points.items():
        if kind in _PARALLEL and not str(person.home).startswith(f"{point}/"):
            add(point, None, f"{kind} mounted there", likely=False)
    return tuple(found)


def _points(table: str) -> dict[str, str]:
    """Return mount points and their kinds; blanks in a name are octal in the table."""
    points = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 3:
            points[fields[1].replace("\\040", " ")] = fields[2].removeprefix("fuse.")
    return points


def _plain(path: str) -> bool:
    return bool(re.fullmatch(r"(/[A-Za-z0-9_.+-]+)+", path))


def _of_variable(place: str, person: Person) -> tuple[str, str]:
    """Return root and template of a directory that ends in the user's name."""
    above = place.removesuffix(f"/{person.user}")
    if above.endswith(f"/{person.user[0]}"):
        root = above[:-2]
        return root, f"{root}/{{user[0]}}/{{user}}"
    if above.endswith(f"/{person.group}"):
        root = above.removesuffix(f"/{person.group}")
        return root, f"{root}/{{group}}/{{user}}"
    return above, f"{above}/{{user}}"


def _users_directory(root: str, person: Person, is_directory: Callable[[str], bool]) -> str:
    """Return the template under which this user's directory is there, else the simplest."""
    forms = {
        f"{root}/{{user}}": f"{root}/{person.user}",
        f"{root}/{{user[0]}}/{{user}}": f"{root}/{person.user[:1]}/{person.user}",
        f"{root}/{{group}}/{{user}}": f"{root}/{person.group}/{person.user}",
        f"{root}/users/{{user}}": f"{root}/users/{person.user}",
    }
    for template, path in forms.items():
        if is_directory(path):
            return template
    return f"{root}/{{user}}"
