"""`runs show` and `runs report`: one run in full, as text, as JSON, or as a page."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.ending import states
from pangeo_hpc.cli.output import json_option
from pangeo_hpc.cli.until_done import lines_of_chain, told_of_chain

if TYPE_CHECKING:
    from pangeo_hpc.workflow.runs import RunFolder


@click.command()
@click.argument("run")
@json_option
@click.pass_context
def show(context: click.Context, run: str) -> None:
    """Show one run: how far it is, what it cost, why it ended, and where it comes from."""
    our = here(context)
    folder = find(our, run)
    told = gathered(our, folder)
    if our.face.json:
        our.face.data({**told, "until_done": told_of_chain(our, folder)})
        return
    for line in _lines(folder, told, lines_of_chain(our, folder)):
        our.face.out(line)


@click.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the page goes (default: report.html in the run's folder).",
)
@click.option("--open", "opened", is_flag=True, help="Show the page in a browser.")
@json_option
@click.pass_context
def report(context: click.Context, run: str, output: Path | None, opened: bool) -> None:
    """Write one HTML page on a run: progress, timeline, core-hours, pictures, provenance.

    The page needs nothing else: it can be sent by mail and opened without a network.
    """
    from pangeo_hpc import files
    from pangeo_hpc.workflow.report.page import page

    our = here(context)
    folder = find(our, run)
    text = page(folder, gathered(our, folder))
    path = (output or folder.path / "report.html").absolute()
    files.make_directory(path.parent)
    # others may read it where its folder lets them: it holds the script, its arguments and its log
    files.write_atomic(path, text, mode=0o600)
    if our.face.json:
        our.face.data({"run": folder.name, "report": str(path), "bytes": len(text.encode())})
    else:
        our.face.out(str(path))
    if opened:
        _open(our, path)


def _open(our: Here, path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.as_uri()):
        our.face.say(f"no browser here; copy the page to your machine: scp HOST:{path} .")


def find(our: Here, reference: str) -> "RunFolder":
    """Return a run by its name or by the id of one of its jobs."""
    from pangeo_hpc.workflow import runs as folders

    return folders.find(our.site, our.person, reference)


def gathered(our: Here, folder: "RunFolder") -> dict[str, Any]:
    """Return everything that is known of a run; its jobs are looked up."""
    from pangeo_hpc.workflow.report.facts import gather
    from pangeo_hpc.workflow.report.workers import settle

    found = states(our, folder.jobs())
    attempts = folder.jobs()
    settle(our.site, our.person, attempts, found)
    return gather(folder, attempts, found)


def hours_of(value: float | None) -> str | None:
    """Return core-hours as a table shows them."""
    if value is None:
        return None
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def _lines(folder: "RunFolder", told: dict[str, Any], chain: Iterable[str]) -> Iterator[str]:
    from pangeo_hpc.units import format_memory
    from pangeo_hpc.workflow import launch
    from pangeo_hpc.workflow.report.words import cost_line, provenance_rows

    def line(name: str, value: object) -> str:
        return f"{name:10} {value}"

    yield line("run", folder.name)
    ended = told["why"] or told["state"] or "never submitted"
    yield line("state", f"{ended} ({told['reason']})" if told["reason"] else ended)
    yield line("script", launch.command_line(told))
    yield line("folder", folder.path)
    if told["progress"]:
        done = told["progress"]
        text = f"{done.get('done')} of {done.get('total')} units, at {done.get('updated')}"
        yield line("progress", text)
    yield line("core-hours", cost_line(told["core_hours"]))
    for output in told["outputs"]:
        size = output.get("size")
        facts = [str(output["state"])]
        facts += [f"{output['done']} of {output['units']} units"] if output.get("units") else []
        facts += [format_memory(size)] if size is not None else []
        facts += [f"staged to {output['staged_to']}"] if output.get("staged_to") else []
        yield line("output", f"{output['path']} ({', '.join(facts)})")
    for each in told["maps"]:
        failed = f", {len(each['failed'])} failed" if each["failed"] else ""
        yield line("map", f"{each['map']}: {each['done']} items done{failed}")
    yield from chain
    if told["comparison"]:
        yield line("replay", told["comparison"].get("words"))
    for number, attempt in enumerate(told["attempts"], 1):
        yield ""
        yield from _attempt(number, attempt)
    rows = provenance_rows(told)
    if rows:
        yield ""
        for name, value in rows:
            yield f"{'provenance' if name == rows[0][0] else '':10} {name:14} {value}"


_SECONDS = ("queue_wait_seconds", "elapsed_seconds")


def _attempt(number: int, attempt: dict[str, Any]) -> Iterator[str]:
    from datetime import timedelta

    from pangeo_hpc.units import format_duration, format_memory
    from pangeo_hpc.workflow.report.words import cost_line

    for name, value in attempt.items():
        if value in (None, "", []) or name == "attempt":
            continue
        label, shown = name.replace("_", " "), str(value)
        if name in ("memory", "memory_used", "memory_peak"):
            shown = format_memory(value)
        elif name in _SECONDS:
            label = label.removesuffix(" seconds")
            shown = format_duration(timedelta(seconds=round(value)))
        elif name == "core_hours":
            shown = cost_line(value)
        elif isinstance(value, list):
            shown = ", ".join(value)
        yield f"{'attempt ' + str(number) if name in ('job', 'name') else '':10} {label:15} {shown}"
