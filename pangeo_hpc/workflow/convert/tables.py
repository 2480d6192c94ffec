"""CSV tables: what they hold, and how they are read, alike in every file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import Problem
from pangeo_hpc.workflow.convert.survey import Described, Piece

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ROW = "row"
_TIMES = ("time", "date", "datetime", "timestamp")
_DELIMITERS = ",;\t|"
_ROWS = 200_000


def look(
    path: Path, along: str | None, variables: Sequence[str], problems: list[Problem]
) -> Piece | None:
    """Return what one table holds, read once in pieces; None, and what is wrong, if it cannot be.

    A column of times that increases is the coordinate on which files are joined; without one the
    rows are numbered.
    """
    import numpy as np

    try:
        types, coordinates, steps = _read(path, along, variables)
    except KeyError as error:
        problems.append(Problem(str(path), f"has no column {error.args[0]}"))
        return None
    except (OSError, ValueError, csv.Error) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        problems.append(Problem(str(path), f"cannot be read as a table: {told}"))
        return None
    dim = along or next(iter(coordinates), ROW)
    if dim not in types and dim != ROW:
        text = f"has no column {dim!r}; it has: {', '.join(types)}"
        problems.append(Problem(str(path), text, "--along names a column, or leave it out"))
        return None
    values = None
    if dim in types:
        values = np.concatenate(coordinates[dim]) if steps else np.array([])
        types[dim] = str(values.dtype)
    if values is not None and along is None and not bool((values[1:] > values[:-1]).all()):
        # several rows of one time, such as of many stations: no coordinate
        dim, values = ROW, None
    described = {name: Described((dim,), (steps,), dtype) for name, dtype in types.items()}
    return Piece(path, steps, values, described, {})


def _read(
    path: Path, along: str | None, variables: Sequence[str]
) -> tuple[dict[str, str], dict[str, list[Any]], int]:
    """Return each column's type, the values of what may be the coordinate, and the rows."""
    import pandas as pd

    types: dict[str, str] = {}
    coordinates: dict[str, list[Any]] = {}
    steps = 0
    with pd.read_csv(path, sep=delimiter(path), chunksize=_ROWS) as reader:
        for frame in reader:
            for name in variables:
                if name not in frame:
                    raise KeyError(name)
            for name in map(str, frame.columns):
                is_time = name.lower() in _TIMES
                if variables and name not in variables and name != along and not is_time:
                    continue
                types[name] = wider(types.get(name), _type(frame[name]))
                if name == along or (along is None and is_time):
                    times = as_times(frame[name])
                    values = frame[name].to_numpy() if times is None else times
                    coordinates.setdefault(name, []).append(values)
            steps += len(frame)
    return types, coordinates, steps


def wider(one: str | None, other: str) -> str:
    """Return a type that holds the values of two."""
    import numpy as np

    if one is None or one == other:
        return other
    texts = [each for each in (one, other) if each.startswith("<U")]
    if texts:
        # whatever is written as text needs as much room as the longest
        return max(texts, key=lambda each: int(each[2:]))
    if "datetime64[ns]" in (one, other):
        return "<U32"
    return str(np.result_type(one, other))


def _type(column: "pd.Series[Any]") -> str:
    if column.dtype.kind in "iufb":
        return str(column.dtype)
    if as_times(column) is not None:
        return "datetime64[ns]"
    longest = column.fillna("").astype(str).str.len().max()
    return f"<U{max(1, int(longest))}"


def as_times(column: "pd.Series[Any]") -> Any:
    """Return a column of texts as times in UTC, None if it holds anything else."""
    import pandas as pd

    if column.dtype.kind in "mM":
        return column.to_numpy()
    if column.dtype.kind in "iufb":
        return None
    try:
        times = pd.to_datetime(column, format="ISO8601", utc=True)
    except (ValueError, TypeError):
        return None
    return times.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")


def dataset(
    path: Path, start: int, stop: int, along: str, types: Mapping[str, str]
) -> "xr.Dataset":
    """Read some rows of a table, with the types that all files have together."""
    import numpy as np
    import pandas as pd
    import xarray as xr

    frame = pd.read_csv(
        path,
        sep=delimiter(path),
        usecols=list(types),
        skiprows=range(1, start + 1),
        nrows=stop - start,
        dtype={name: str for name, dtype in types.items() if dtype.startswith("<U")},
        keep_default_na=True,
    )
    columns: dict[str, Any] = {}
    for name, dtype in types.items():
        values = as_times(frame[name]) if dtype.startswith("datetime64") else frame[name]
        if dtype.startswith("<U"):
            values = frame[name].fillna("")
        columns[name] = (along, np.asarray(values).astype(dtype))
    return xr.Dataset(columns)


def delimiter(path: Path) -> str:
    """Return what stands between the columns, from the file's first lines."""
    import fsspec

    with fsspec.open(str(path), "rt", compression="infer") as file:
        head = "".join(file.readline() for _ in range(5))
    try:
        return csv.Sniffer().sniff(head, _DELIMITERS).delimiter
    except csv.Error:
        # one column has no delimiter
        return "\t" if ".tsv" in path.name.lower() else ","
