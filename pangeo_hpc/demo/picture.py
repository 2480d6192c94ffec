"""Draw the ensemble: annual means of every model above, anomalies below, and how many models."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files
from pangeo_hpc._version import __version__
from pangeo_hpc.demo.ensemble import BASELINE
from pangeo_hpc.demo.series import span

if TYPE_CHECKING:
    import xarray as xr

FREEZING = 273.15
_INK, _SOFT, _GRID = "#22282e", "#66707a", "#e3e6e9"
_ANNUAL, _ANOMALY, _COUNT = "#1b5e8c", "#b03a2e", "#8a939b"
_SIZE, _DPI = (11.0, 8.6), 150
_STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 9.5,
}


def draw(ds: "xr.Dataset", path: Path) -> None:
    """Write the picture of a finished ensemble as PNG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        annual, anomaly, count = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [10, 10, 2.2], "hspace": 0.12}
        )
        figure.subplots_adjust(left=0.085, right=0.975, top=0.885, bottom=0.135)
        _panel(annual, ds, "annual", "ensemble", _ANNUAL, offset=-FREEZING)
        annual.set_ylabel("Annual mean temperature (°C)")
        _panel(anomaly, ds, "anomaly", "anomaly", _ANOMALY)
        anomaly.axhline(0.0, color=_SOFT, linewidth=0.9, zorder=1.5)
        anomaly.set_ylabel(f"Anomaly against {span(*BASELINE)} (K)")
        _mark_baseline(anomaly)
        _counts(count, ds)
        _words(figure, ds)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": f"pangeo-hpc {__version__}"})
    files.write_atomic(path, buffer.getvalue())


def _panel(
    axes: Any, ds: "xr.Dataset", each: str, group: str, color: str, *, offset: float = 0.0
) -> None:
    """Draw each model thin, the ensemble mean bold, and its spread as a band."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    year = ds.year.values
    lines = axes.plot(year, ds[each].transpose("year", "model").values + offset)
    for line in lines:
        line.set(color=_COUNT, linewidth=0.55, alpha=0.38, zorder=2)
    lines[0].set_label(f"each of {len(lines)} models")
    mean = ds[f"{group}_mean"].values + offset
    spread = ds[f"{group}_std"].values
    axes.fill_between(
        year,
        mean - spread,
        mean + spread,
        color=color,
        alpha=0.20,
        linewidth=0,
        zorder=3,
        label="± 1 standard deviation over the models",
    )
    most = ds.models.values > ds.sizes["model"] / 2
    # a lone step of either style still needs a neighbour to be drawn
    full = np.where(most, mean, np.nan)
    few = np.where(~most | np.roll(~most, 1), mean, np.nan)
    axes.plot(year, full, color=color, linewidth=2.3, zorder=5, label="ensemble mean")
    if np.isfinite(few).any():
        axes.plot(
            year,
            few,
            color=color,
            linewidth=1.4,
            linestyle=(0, (2.2, 1.2)),
            zorder=4,
            label="ensemble mean of fewer than half of the models",
        )
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    handles, labels = axes.get_legend_handles_labels()
    if group == "anomaly":
        # thin and broken lines mean what they mean above
        handles, labels = handles[1:3], labels[1:3]
    axes.legend(handles, labels, loc="upper left", ncols=2, columnspacing=1.6, handlelength=1.9)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))


def _mark_baseline(axes: Any) -> None:
    first, last = BASELINE
    axes.axvspan(first, last, color=_SOFT, alpha=0.08, linewidth=0, zorder=0.5)
    axes.text(
        (first + last) / 2,
        0.03,
        f"baseline {span(first, last)}",
        transform=axes.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=9.5,
        color=_SOFT,
    )


def _counts(axes: Any, ds: "xr.Dataset") -> None:
    """Draw how many models have each year, since the ensemble of early years is a smaller one."""
    most = ds.sizes["model"]
    axes.fill_between(ds.year, ds.models, step="mid", color=_COUNT, alpha=0.55, linewidth=0)
    axes.set(ylim=(0, most * 1.1), yticks=[0, most], ylabel="Models", xlabel="Year")
    axes.set_xlim(int(ds.year[0]) - 1, int(ds.year[-1]) + 1)


def _words(figure: Any, ds: "xr.Dataset") -> None:
    """Write the title, what is drawn, and where it comes from."""
    import textwrap

    facts = ds.attrs
    generated = bool(facts["generated"])
    what = "generated models" if generated else "CMIP6 models, historical"
    title = f"Air temperature at {facts['level_hPa']:.0f} hPa, {ds.sizes['model']} {what}"
    figure.text(0.085, 0.952, title, fontsize=16, fontweight="bold", va="center")
    years = span(int(ds.year[0]), int(ds.year[-1]))
    what = f"Annual means over {facts['region']}, {years}"
    if generated:
        what += ". These numbers are made up, not of any climate model"
    color = _ANOMALY if generated else _SOFT
    figure.text(0.085, 0.915, what, fontsize=11.5, color=color, va="center")
    terms = "" if generated else " (CMIP6 terms of use, CC BY-SA 4.0)"
    note = (
        f"Data: {facts['source']}{terms}. Each model on its own {facts['cells']} cells, weighted "
        "by the cosine of latitude; months weighted by their length in the model's own calendar; "
        f"every model counts the same. pangeo-hpc {__version__}."
    )
    note = "\n".join(textwrap.wrap(note, 150))
    figure.text(0.085, 0.018, note, fontsize=8.5, color=_SOFT, va="bottom")
