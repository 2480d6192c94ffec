"""A quick look at what a run wrote: a map or a line of its first variables, from little data."""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

MOST_PICTURES = 4
# What one picture may cost to read, decompressed; and the cells that can be seen on it.
MOST_BYTES, MOST_CELLS = 128 << 20, 600
_LATITUDES = ("lat", "latitude", "y", "nav_lat", "rlat", "j")
_LONGITUDES = ("lon", "longitude", "x", "nav_lon", "rlon", "i")
_INK, _SOFT, _GRID, _LINE = "#22282e", "#56606a", "#e3e6e9", "#1b5e8c"


@dataclass(frozen=True)
class Picture:
    """A PNG as a page holds it, and what it shows."""

    title: str
    words: str
    png: str


def pictures(outputs: Sequence[Mapping[str, Any]]) -> tuple[list[Picture], str]:
    """Return pictures of the first variables, and a sentence on what is not drawn."""
    try:
        import matplotlib  # noqa: F401
        import xarray  # noqa: F401
    except ModuleNotFoundError as error:
        return [], f"no picture: {error.name} is not installed where this page was made"
    drawn: list[Picture] = []
    missing: list[str] = []
    for output in outputs:
        path = Path(str(output["path"]))
        if not (path / "zarr.json").is_file():
            continue
        try:
            for found in _of_store(path, MOST_PICTURES - len(drawn)):
                (drawn if isinstance(found, Picture) else missing).append(found)  # type: ignore[arg-type]
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            missing.append(f"{path.name} cannot be drawn: {error}")
        if len(drawn) >= MOST_PICTURES:
            break
    if not drawn and not missing:
        return [], "no picture: there is no Zarr output to look at"
    return drawn, "; ".join(missing)


def _of_store(path: Path, most: int) -> Iterator[Picture | str]:
    import xarray as xr

    from pangeo_hpc.workflow.writing.template import stable

    # an unfinished store has no consolidated metadata yet
    with stable(), xr.open_zarr(path, chunks=None, consolidated=False) as ds:
        names = [
            str(name)
            for name, variable in ds.data_vars.items()
            if variable.dtype.kind in "fiub" and variable.ndim and variable.size > 1
        ]
        # files know no order of variables: the fields first
        names.sort(key=lambda name: (-ds[name].ndim, name))
        for name in names[: min(most, 2)]:
            yield _picture(path.name, ds[name])


def _picture(store: str, array: "xr.DataArray") -> Picture | str:
    plane = _plane(array)
    shown, picked = _slice(array, plane)
    cost = _bytes(array, picked)
    if cost > MOST_BYTES:
        return f"{array.name} is not drawn: reading its chunks would take {cost >> 20} MiB"
    where = ", ".join(_at(array, dim, index) for dim, index in picked.items())
    title = f"{array.attrs.get('long_name') or array.attrs.get('standard_name') or array.name}"
    draw = _line if len(plane) == 1 else _map
    loaded = shown.load()
    words = f"{store}: {array.name}" + (f" at {where}" if where else "")
    png = base64.b64encode(draw(loaded, plane)).decode()
    return Picture(title=title, words=f"{words}; {_range(loaded)}", png=png)


def _plane(array: "xr.DataArray") -> tuple[str, ...]:
    """Return the one or two dimensions that are drawn: a map where there is one."""
    dims = [str(dim) for dim in array.dims if array.sizes[dim] > 1] or [str(array.dims[0])]
    lat = [dim for dim in dims if dim.lower() in _LATITUDES]
    lon = [dim for dim in dims if dim.lower() in _LONGITUDES]
    if lat and lon:
        return lat[0], lon[0]
    return tuple(dims[-2:]) if len(dims) > 1 else (dims[0],)


def _slice(array: "xr.DataArray", plane: tuple[str, ...]) -> tuple["xr.DataArray", dict[str, int]]:
    picked = {str(dim): 0 for dim in array.dims if dim not in plane}
    steps = {dim: slice(None, None, max(1, array.sizes[dim] // MOST_CELLS)) for dim in plane}
    if len(plane) == 1:
        steps = {plane[0]: slice(None, None, max(1, array.sizes[plane[0]] // 20_000))}
    return array.isel({**picked, **steps}), picked


def _bytes(array: "xr.DataArray", picked: Mapping[str, int]) -> int:
    """Return what is read for a slice: whole chunks along the dimensions that are picked from."""
    chunks = array.encoding.get("chunks") or array.shape
    total = array.dtype.itemsize
    for dim, size, chunk in zip(array.dims, array.shape, chunks, strict=True):
        total *= chunk if str(dim) in picked else size
    return int(total)


def _at(array: "xr.DataArray", dim: str, index: int) -> str:
    if dim in array.coords and array.coords[dim].ndim == 1:
        value = array.coords[dim].values[index]
        text = str(value)[:16] if array.coords[dim].dtype.kind in "MO" else f"{value}"
        return f"{dim} {text}"
    return f"{dim} {index}"


def _range(array: "xr.DataArray") -> str:
    low, high = float(array.min()), float(array.max())
    units = f" {array.attrs['units']}" if array.attrs.get("units") else ""
    if math.isnan(low):
        return "nothing but missing values"
    return f"{low:.5g} to {high:.5g}{units}"


def _line(array: "xr.DataArray", plane: tuple[str, ...]) -> bytes:
    def draw(axes: Any, _figure: Any) -> None:
        x, mark = _axis(array, plane[0]), "o" if array.size < 40 else ""
        axes.plot(x, array.values, color=_LINE, linewidth=1.6, marker=mark)
        axes.set(xlabel=plane[0], ylabel=_label(array))
        axes.grid(color=_GRID, linewidth=0.7)

    return _png(draw, (7.2, 3.4))


def _map(array: "xr.DataArray", plane: tuple[str, ...]) -> bytes:
    import numpy as np

    def draw(axes: Any, figure: Any) -> None:
        values = array.transpose(*plane).values.astype("f8")
        if not np.isfinite(values).any():
            axes.text(0.5, 0.5, "nothing here yet", ha="center", transform=axes.transAxes)
            return
        low, high = np.nanpercentile(values[np.isfinite(values)], [1, 99])
        colors: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": max(high, low + 1e-12)}
        if "anomal" in f"{array.name} {array.attrs.get('long_name', '')}".lower():
            most = max(abs(low), abs(high), 1e-12)
            colors = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
        x, y = (_axis(array, dim) for dim in (plane[1], plane[0]))
        mesh = axes.pcolormesh(x, y, values, shading="nearest", rasterized=True, **colors)
        axes.set(xlabel=plane[1], ylabel=plane[0])
        figure.colorbar(mesh, ax=axes, label=_label(array), pad=0.02, fraction=0.04, extend="both")

    return _png(draw, (7.2, 3.9))


def _axis(array: "xr.DataArray", dim: str) -> Any:
    import numpy as np

    if dim in array.coords and array.coords[dim].ndim == 1:
        values = array.coords[dim].values
        if values.dtype.kind in "fiuM":
            return values
    return np.arange(array.sizes[dim])


def _label(array: "xr.DataArray") -> str:
    units = array.attrs.get("units")
    return f"{array.name} ({units})" if units else str(array.name)


def _png(draw: Any, size: tuple[float, float]) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _SOFT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": _SOFT,
        "ytick.color": _SOFT,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, dpi=130, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.subplots(), figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
