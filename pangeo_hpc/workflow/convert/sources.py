"""Which files a person means, and what kind they are."""

import glob
import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from pangeo_hpc.errors import Problem, RequestRefused

_TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.xz", ".csv.zst")
# The first bytes of classic NetCDF (CDF-1, 2 and 5), and of HDF5, which NetCDF-4 is.
_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n")


class Kind(StrEnum):
    """What a source file is."""

    NETCDF = "NetCDF"
    TABLE = "CSV"


def find(words: Sequence[str]) -> tuple[list[Path], Kind]:
    """Return the files that paths and patterns mean, each once and in their order, and their kind.

    A directory means the NetCDF files or the tables directly in it. Raise RequestRefused with
    everything that is missing, not readable, of no known kind, or of another kind than the rest.
    """
    problems: list[Problem] = []
    found: dict[Path, Kind] = {}
    for word in words:
        paths = list(_meant(word))
        if not paths:
            problems.append(Problem(word, "is not there"))
        for path in paths:
            kind = _kind(path, problems)
            if kind is not None:
                found[path] = kind
    kinds = set(found.values())
    if len(kinds) > 1:
        odd = next(path for path in found if found[path] != next(iter(found.values())))
        text = f"is {found[odd]}, and {next(iter(found))} is {next(iter(found.values()))}"
        problems.append(Problem(str(odd), text, "convert them into two stores"))
    if problems or not found:
        raise RequestRefused(problems or [Problem("SRC", "no file is named")])
    return list(found), kinds.pop()


def _meant(word: str) -> Iterable[Path]:
    path = Path(os.path.abspath(Path(word).expanduser()))  # noqa: PTH100, links are kept
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if each.is_file())
        return [each for each in inside if _is_table(each) or _begins_as_netcdf(each)]
    if path.exists():
        return [path]
    return [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207


def _kind(path: Path, problems: list[Problem]) -> Kind | None:
    if path.is_dir():
        problems.append(Problem(str(path), "is a directory inside a pattern"))
        return None
    if not os.access(path, os.R_OK):
        problems.append(Problem(str(path), "cannot be read", "check its permissions"))
        return None
    if _begins_as_netcdf(path):
        return Kind.NETCDF
    if _is_table(path):
        return Kind.TABLE
    hint = f"tables end in one of {' '.join(_TABLES)}"
    problems.append(Problem(str(path), "is neither NetCDF nor a table", hint))
    return None


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith(_TABLES)


def _begins_as_netcdf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False
