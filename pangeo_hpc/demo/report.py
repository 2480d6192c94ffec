"""What the demo did, as one document for programs and one for people."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc import files, scratch
from pangeo_hpc.demo.ensemble import BASELINE
from pangeo_hpc.demo.series import span
from pangeo_hpc.demo.timeline import STAGES, table
from pangeo_hpc.units import format_duration, format_memory

if TYPE_CHECKING:
    import xarray as xr

    from pangeo_hpc.schedulers.base import JobStatus
    from pangeo_hpc.site import Site

JSON, MARKDOWN, PICTURE = "report.json", "report.md", "picture.png"
# The last years that all historical simulations have.
RECENT = (2005, 2014)


def of_models(ds: "xr.Dataset") -> dict[str, Any]:
    """Return what went into an ensemble, and what of the models' baselines is not complete."""
    wanted = BASELINE[1] + 1 - BASELINE[0]
    years = {
        str(name): int(count)
        for name, count in zip(ds.model.values, ds.baseline_years.values, strict=True)
    }
    left_out = [line.partition(": ") for line in str(ds.attrs["left_out"]).splitlines()]
    return {
        "source": str(ds.attrs["source"]),
        "generated": bool(ds.attrs["generated"]),
        "level_hPa": float(ds.attrs["level_hPa"]),
        "region": str(ds.attrs["region"]),
        "method": str(ds.attrs["method"]),
        "models": [str(name) for name in ds.model.values],
        "calendars": dict(sorted(Counter(map(str, ds.calendar.values)).items())),
        "years": [int(ds.year[0]), int(ds.year[-1])],
        "left_out": [{"model": model, "reason": reason} for model, _, reason in left_out],
        "baseline": list(BASELINE),
        "baseline_incomplete": {name: count for name, count in years.items() if count < wanted},
    }


def of_results(ds: "xr.Dataset") -> dict[str, Any]:
    """Return the two numbers people ask for; None where the years are missing."""
    base = ds.ensemble_mean.sel(year=slice(*BASELINE)).mean("year")
    recent = ds.anomaly.sel(year=slice(*RECENT)).mean("year")
    return {
        "baseline_mean_K": _number(base),
        "recent": list(RECENT),
        "recent_anomaly_K": _number(recent.mean("model")),
        "recent_anomaly_std_K": _number(recent.std("model")),
    }


def of_job(request: Mapping[str, Any], status: "JobStatus") -> dict[str, Any]:
    """Return where a job ran and what it cost in core-hours, None if its times are not known."""
    asked = int(request["nodes"]) * int(request["cores"])
    cores = max(asked, status.cores or 0)
    ran = status.ended - status.started if status.ended and status.started else None
    return {
        "job": status.id,
        "node_type": request["node_type"],
        "nodes": list(status.nodes) or int(request["nodes"]),
        "cores": cores,
        "seconds": round(ran.total_seconds(), 2) if ran else None,
        "core_hours": round(cores * ran.total_seconds() / 3600, 5) if ran else None,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Return a report for people."""
    lines = [f"# {title(report)}", "", *(f"- {line}" for line in headlines(report)), ""]
    lines += [f"![annual means and anomalies]({PICTURE})", "", report["data"]["method"], ""]
    lines += ["| stage | time |", "| --- | ---: |"]
    lines += [f"| {name} | {seconds} |" for name, seconds in table(report["stages"])]
    lines += ["", "## Models", "", *(f"- {line}" for line in models(report)), ""]
    lines += [f"Merged: {', '.join(report['data']['models'])}.", ""]
    return "\n".join(lines)


def text(report: Mapping[str, Any]) -> str:
    """Return a report for a terminal."""
    width = max(len(words) for words in STAGES.values())
    lines = [title(report), *(f"  {line}" for line in headlines(report)), "", "Stages"]
    lines += [f"  {name:{width}}  {time:>8}" for name, time in table(report["stages"])]
    lines += ["", "Models", *(f"  {line}" for line in models(report))]
    return "\n".join(lines)


def title(report: Mapping[str, Any]) -> str:
    """Return one line: what was computed, and what of."""
    data = report["data"]
    made_up = "GENERATED DATA, not climate models: " if data["generated"] else ""
    return (
        f"{made_up}air temperature at {data['level_hPa']:.0f} hPa of {len(data['models'])} models, "
        f"{data['region']}, {span(*data['years'])}"
    )


def headlines(report: Mapping[str, Any]) -> list[str]:
    """Return the result, the cost, and where everything is."""
    job, size, place = report["job"], report["bytes"], report["paths"]
    nodes = job["nodes"] if isinstance(job["nodes"], int) else len(job["nodes"])
    lines = []
    result = report["results"]
    if result["recent_anomaly_K"] is not None:
        lines.append(
            f"result: {span(*result['recent'])} is {result['recent_anomaly_K']:+.2f} K against "
            f"{span(*BASELINE)}, spread over the models "
            f"{result['recent_anomaly_std_K']:.2f} K"
        )
    first_unit = report["submit_to_first_unit_seconds"]
    lines.append(
        f"time: {report['wall_seconds']:.1f} s"
        + (f", {first_unit:.1f} s of it from submission to the first unit" if first_unit else "")
    )
    cost = "not known" if job["core_hours"] is None else f"{job['core_hours']:.3f}"
    plural = "s" if nodes != 1 else ""
    lines.append(
        f"core-hours: {cost} (job {job['job']}, node type {job['node_type']}, "
        f"{nodes} node{plural}, {job['cores']} cores)"
    )
    lines.append(
        f"bytes: {format_memory(size['read'])} read, {format_memory(size['written'])} written"
    )
    lines += [f"{name}: {place[name]}" for name in ("picture", "output", "input", "report")]
    lines.append(_purge(report["purge"]))
    return lines


def models(report: Mapping[str, Any]) -> list[str]:
    """Return what was merged, what was not and why, and whose baseline is not complete."""
    data = report["data"]
    calendars = ", ".join(f"{name} {count}" for name, count in data["calendars"].items())
    lines = [f"{len(data['models'])} merged from {data['source']}; calendars: {calendars}"]
    lines += [f"not merged: {each['model']}: {each['reason']}" for each in data["left_out"]]
    first, last = data["baseline"]
    wanted = last + 1 - first
    short = data["baseline_incomplete"]
    lines += [
        f"baseline: {name} has {count} of the {wanted} years"
        if count
        else f"baseline: {name} has none of the {wanted} years, and so no anomaly"
        for name, count in short.items()
    ]
    if not short:
        lines.append(f"baseline: every model has all {wanted} years of {span(first, last)}")
    return lines


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write a report beside its picture, as JSON and as Markdown."""
    files.write_json(folder / JSON, report)
    files.write_atomic(folder / MARKDOWN, markdown(report))


def of_purge(site: "Site", written: datetime) -> dict[str, Any]:
    """Return when scratch may remove what was written, and who does it; None: never."""
    until = scratch.keep_until(site, written)
    rule = site.scratch_filesystem().purge if site.scratch else None
    return {
        "after": until.isoformat(timespec="seconds") if until else None,
        "days": (until - written) // timedelta(days=1) if until else None,
        "enforced_by": rule.enforced_by if rule else None,
    }


def _purge(facts: Mapping[str, Any]) -> str:
    if facts["after"] is None:
        return "purge: nothing is purged from scratch on this site"
    until = datetime.fromisoformat(facts["after"])
    who = "the site" if facts["enforced_by"] == "site" else "scratch"
    period = format_duration(timedelta(days=facts["days"]))
    return f"purge: {who} may remove it from {until:%Y-%m-%d} on, {period} after it was written"


def _number(value: "xr.DataArray") -> float | None:
    import math

    number = float(value)
    return None if math.isnan(number) else round(number, 4)
