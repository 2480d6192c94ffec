"""The demo's batch job: annual means of every model, their ensemble, and the anomaly.

Run by `pangeo-hpc demo`, and an example of a script of one's own: everything between `start` and
`write_zarr` is plain Xarray. Arguments: the folder on scratch, and the digest of its input.
"""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

BASELINE = (1961, 1990)
# A mean and a spread of fewer models would say nothing of an ensemble.
FEWEST_MODELS = 2
METHOD = (
    "Area mean over the model's own cells, weighted by the cosine of latitude; then the mean over "
    "the months of a year, weighted by their lengths in the model's own calendar. A year counts if "
    "all its months have a value in all cells. Ensemble: every model has the same weight, years "
    f"with at least {FEWEST_MODELS} models; the spread is the standard deviation over the models "
    f"(ddof = 0). Anomaly: against the model's own mean of {BASELINE[0]}-{BASELINE[1]}, of the "
    "years it has of them (baseline_years)."
)


def annual_means(monthly: "xr.Dataset") -> "xr.DataArray":
    """Return the mean temperature of each year over a model's cells: (model, year) in K."""
    value = (monthly.ta.astype("float64") * monthly.weight).where(monthly.weight > 0, 0.0)
    area = value.sum("cell", skipna=False) / monthly.weight.sum("cell")
    year = monthly.time.dt.year[::12].values
    days = monthly.days.astype("float64")
    by_month = (area * days).coarsen(time=12).construct(time=("year", "month"))
    lengths = days.coarsen(time=12).construct(time=("year", "month"))
    annual: xr.DataArray = by_month.sum("month", skipna=False) / lengths.sum("month")
    return annual.assign_coords(year=("year", year))


def ensemble(monthly: "xr.Dataset") -> "xr.Dataset":
    """Return annual means, anomalies and their mean and spread over the models."""
    annual = annual_means(monthly)
    years = annual.sel(year=slice(*BASELINE))
    baseline = years.mean("year")
    anomaly = annual - baseline
    models = annual.notnull().sum("model")
    parts = {
        "annual": (annual, "Annual mean air temperature", "K"),
        "baseline": (baseline, "Mean of the baseline years", "K"),
        "baseline_years": (years.notnull().sum("year"), "Number of baseline years", "1"),
        "anomaly": (anomaly, "Anomaly against the model's own baseline", "K"),
        "models": (models, "Number of models that have the year", "1"),
    }
    for name, values in (("ensemble", annual), ("anomaly", anomaly)):
        for short, words in (("mean", "mean"), ("std", "standard deviation"), ("min", "minimum"),
                             ("max", "maximum")):  # fmt: skip
            over_models = getattr(values, short)("model").where(models >= FEWEST_MODELS)
            what = "annual means" if name == "ensemble" else "anomalies"
            parts[f"{name}_{short}"] = (over_models, f"{words} of the models' {what}", "K")
    result = monthly.drop_dims(("time", "cell")).assign(
        {
            key: values.assign_attrs(long_name=words[0].upper() + words[1:], units=units)
            for key, (values, words, units) in parts.items()
        }
    )
    kept = ("source", "source_digest", "generated", "left_out", "level_hPa", "region", "cells")
    level = monthly.attrs["level_hPa"]
    result.attrs = {
        "title": f"Air temperature at {level:.0f} hPa of {monthly.sizes['model']} models",
        "method": METHOD,
        "baseline": f"{BASELINE[0]}-{BASELINE[1]}",
        **{key: monthly.attrs[key] for key in kept},
    }
    return result


def main(folder: str, digest: str) -> None:
    """Compute the ensemble of the months in a folder on scratch."""
    import xarray as xr

    from pangeo_hpc import files, workflow
    from pangeo_hpc.errors import UsageError

    moments = {"script": datetime.now(UTC)}
    with workflow.start("demo") as run:
        moments["dask"] = datetime.now(UTC)
        told = {name: moment.isoformat() for name, moment in moments.items()}
        told["attempt"] = os.environ.get("PANGEO_HPC_ATTEMPT", "0")
        files.write_json(run.folder / "demo.json", told)
        store = run.input(f"{folder}/monthly.zarr")
        monthly = xr.open_zarr(store)
        if monthly.attrs["source_digest"] != digest:
            raise UsageError(f"{store} holds other months", hint="run pangeo-hpc demo again")
        run.write_zarr(ensemble(monthly), f"{folder}/ensemble.zarr", along="model")


if __name__ == "__main__":
    main(*sys.argv[1:])
