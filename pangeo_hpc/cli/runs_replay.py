"""`runs replay`: a run done again as it was, and compared."""

from typing import TYPE_CHECKING

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.ending import tell_end, watch
from pangeo_hpc.cli.output import json_option
from pangeo_hpc.errors import Exit

if TYPE_CHECKING:
    from pangeo_hpc.workflow.replays.compare import Comparison
    from pangeo_hpc.workflow.replays.replay import Replay
    from pangeo_hpc.workflow.runs import RunFolder


@click.command()
@click.argument("run")
@click.option("--attempt", type=int, metavar="N", help="Which attempt (default: the last).")
@click.option("--name", metavar="NEW", help="The replay's name (default: RUN-replay-1, …).")
@click.option("--wait/--no-wait", default=True, help="Whether to wait for its end and compare.")
@click.option("--compare", is_flag=True, help="Submit nothing; compare the replay --name.")
@click.option("--dry-run", is_flag=True, help="Print what differs and the job script, no more.")
@json_option
@click.pass_context
def replay(
    context: click.Context,
    run: str,
    attempt: int | None,
    name: str | None,
    wait: bool,
    compare: bool,
    dry_run: bool,
) -> int:
    """Do a run again as it was, under a new name, and compare the outputs bit by bit.

    The kept script runs with the recorded arguments, site, environment and request. Its outputs go
    below replays/NAME on scratch. Exit 0: equal. 1: something differs, or the job failed.
    """
    from pangeo_hpc.cli.runs_show import find
    from pangeo_hpc.workflow.replays import replay as room

    our = here(context)
    folder = find(our, run)
    if compare:
        return _compare(our, folder, find(our, name or _last(our, folder)))
    again = room.prepare(our.site, our.person, folder, attempt=attempt, name=name)
    _warn(our, again)
    if dry_run:
        _preview(our, again)
        return Exit.DONE
    place, job = again.submit(our.person)
    our.face.say(f"run {place.name} is job {job.id}; it replays attempt {again.attempt} of {run}")
    if not wait:
        if our.face.json:
            our.face.data({"run": place.name, "job": job.id, "folder": str(place.path)})
        our.face.say(f"then: pangeo-hpc runs replay {folder.name} --compare --name {place.name}")
        return Exit.DONE
    status = watch(our, place, job)
    # of JSON there is one document: the comparison, if there is something to compare
    if status.exit_code != 0:
        code = tell_end(our, place, job, status)
        if code == Exit.RUN_AGAIN:
            our.face.say(f"hint: pangeo-hpc runs replay {folder.name} --name {place.name}")
        return code
    return _compare(our, folder, place)


def _warn(our: Here, again: "Replay") -> None:
    if again.differs:
        our.face.say(f"warning: not all is as attempt {again.attempt} of {again.of.name} had it:")
    for problem in again.differs:
        our.face.say(f"  {problem}")


def _preview(our: Here, again: "Replay") -> None:
    script = again.preview(our.person)
    if not our.face.json:
        our.face.out(script.rstrip())
        return
    told = [str(problem) for problem in again.differs]
    data = {"run": again.name, "attempt": again.attempt, "outputs": str(again.root)}
    our.face.data({**data, "differs": told, "script": script})


def _last(our: Here, folder: "RunFolder") -> str:
    """Return the newest replay of a run."""
    from pangeo_hpc.errors import UnknownName
    from pangeo_hpc.workflow import runs
    from pangeo_hpc.workflow.report.facts import json_of

    told = {
        each.name: json_of(each.path / "replay.json")
        for each in runs.all_runs(our.site, our.person)
    }
    ours = [name for name, kept in told.items() if kept and kept.get("run") == folder.name]
    if not ours:
        hint = f"pangeo-hpc runs replay {folder.name} makes one"
        raise UnknownName(f"run {folder.name} was never replayed", hint=hint)
    known = {each.name: each for each in runs.all_runs(our.site, our.person)}
    return max(ours, key=lambda name: str(known[name].record.get("created")))


def _compare(our: Here, folder: "RunFolder", place: "RunFolder") -> int:
    from pangeo_hpc import files
    from pangeo_hpc.errors import UsageError
    from pangeo_hpc.workflow.replays.compare import in_words
    from pangeo_hpc.workflow.replays.outputs import compare_outputs
    from pangeo_hpc.workflow.replays.redirect import FILE

    if not (place.path / FILE).exists():
        raise UsageError(f"run {place.name} is no replay", hint="name one with --name")
    found: list[Comparison] = []
    for each in compare_outputs(folder, place):
        found.append(each)
        our.face.say(f"compared {each.original}")
    equal = bool(found) and all(each.equal for each in found)
    told = {
        "run": folder.name,
        "replay": place.name,
        "equal": equal,
        "words": in_words(found),
        "outputs": [each.json() for each in found],
    }
    files.write_json(place.path / "comparison.json", {"format": 1, **told})
    if our.face.json:
        our.face.data(told)
    else:
        our.face.out(f"run {place.name}: {told['words']}")
        for each in found:
            for line in each.differs:
                our.face.out(f"  {each.original.name}: {line}")
    return Exit.DONE if equal else Exit.NO
