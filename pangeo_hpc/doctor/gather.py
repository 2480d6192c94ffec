"""Gather the facts: ask the schedulers, look at directories, send a canary to each node type."""

import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pangeo_hpc import envs, files, jobs, private
from pangeo_hpc.doctor.ask import ask_scheduler, find_environments, find_places, find_versions
from pangeo_hpc.doctor.data import find_data
from pangeo_hpc.doctor.facts import Canary, Facts, Failure, Outcome, Place
from pangeo_hpc.doctor.flight import Flight, Say, fly
from pangeo_hpc.doctor.hub import HubFacts
from pangeo_hpc.doctor.look import PlaceState
from pangeo_hpc.doctor.question import Question, canary_job
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import NodeState, Scheduler
from pangeo_hpc.site import NodeType, Person, Site

# What is left of a doctor that was killed is removed by a later one.
_OLD = 7 * 24 * 3600.0
_HOPELESS = 15.0
_KEPT = (Outcome.FAILED, Outcome.NO_ENVIRONMENT, Outcome.NO_TRACE, Outcome.UNFINISHED)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Whether canaries are sent, and how many seconds they are given to start.

    `hub` is what is known of the hub already, None where nobody asks about it.
    """

    canaries: bool = True
    timeout: float = 300.0
    hub: HubFacts | None = None


def gather(
    site: Site, person: Person, choices: Choices, *, say: Say, runner: Runner = run
) -> Facts:
    """Return all facts about a site, as one person sees it.

    Raise UsageError if the person's own state folder cannot be told.
    """
    keys = dict.fromkeys(site.scheduler_of(node)[0] for node in site.node_types.values())
    schedulers = {key: jobs.scheduler_named(site, key, person) for key in keys}
    asked = {}
    for key, scheduler in schedulers.items():
        say(f"asking {key}…")
        asked[key] = ask_scheduler(key, scheduler, site, person, runner)
    environments, broken = find_environments(site, person)
    mark = f".pangeo-hpc-doctor-{secrets.token_hex(8)}"
    places = tuple(find_places(site, person))
    facts = Facts(
        site=site,
        person=person,
        schedulers=asked,
        places=places,
        broken=broken,
        modules=find_versions(),
        hub=choices.hub,
        data=tuple(find_data(site, say)),
        unsent=None if choices.canaries else "no canaries were asked for",
    )
    if not choices.canaries:
        return facts
    question = Question(
        mark,
        {p.name: p.path for p in places if p.path is not None},
        tuple(environments.values()),
        site.hub if choices.hub is not None else None,
    )
    marked = _leave_marks(places, mark)
    try:
        return _with_canaries(facts, question, schedulers, choices, say, runner)
    finally:
        for path in marked:
            path.unlink(missing_ok=True)


def _leave_marks(places: tuple[Place, ...], mark: str) -> list[Path]:
    """Leave a file in each directory by which a node recognises it."""
    left = []
    for place in places:
        if place.path is not None and place.state is PlaceState.WRITABLE:
            path = place.path / mark
            path.touch(mode=0o600)
            left.append(path)
    return left


def _with_canaries(
    facts: Facts,
    question: Question,
    schedulers: Mapping[str, Scheduler],
    choices: Choices,
    say: Say,
    runner: Runner,
) -> Facts:
    """Send the canaries and return the facts with what they saw."""
    site, person = facts.site, facts.person
    names = [name for name, node in site.node_types.items() if facts.asked(node).answers]
    if not names:
        return replace(facts, unsent="the scheduler does not answer")
    try:
        environment = envs.resolve(site, None, person)
    except PangeoHpcError as error:
        return replace(facts, unsent=error.text)
    try:
        home = open_folder(site.user_state_path(person) / "doctor")
    except PangeoHpcError as error:
        failure = Failure.of(error)
        canaries = {name: Canary(node_type=name, failures=(failure,)) for name in names}
        return replace(facts, unsent=error.text, canaries=canaries)
    flights = []
    for name in names:
        node = site.node_types[name]
        flight = Flight(
            node_type=name,
            folder=home / name,
            ask=question.as_json(node),
            plan=partial(canary_job, site, person, node, environment),
            scheduler=schedulers[site.scheduler_of(node)[0]],
            user=person.user,
            patience=_patience(facts, node, choices.timeout),
        )
        flights.append(flight)
    say(f"sending a small job through {', '.join(names)}…")
    try:
        canaries = fly(flights, say=say, runner=runner)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    _clear(home, canaries)
    return replace(facts, canaries=canaries)


def _patience(facts: Facts, node: NodeType, timeout: float) -> float:
    """Return the seconds a canary is given to start: few where every node of it is down."""
    nodes = facts.asked(node).nodes_for(node)
    hopeless = bool(nodes) and all(each.state is NodeState.DOWN for each in nodes)
    return min(timeout, _HOPELESS) if hopeless else timeout


def open_folder(top: Path) -> Path:
    """Return a new private folder for this call. Raise NotAllowed where that cannot be had."""
    with files.refusals(top):
        private.ensure_directory(top)
        for old in top.iterdir():
            if time.time() - old.lstat().st_mtime > _OLD:
                shutil.rmtree(old, ignore_errors=True)
        return private.ensure_directory(top / secrets.token_hex(8))


def _clear(home: Path, canaries: Mapping[str, Canary]) -> None:
    """Remove the folders of canaries whose output says no more than we do."""
    for canary in canaries.values():
        if canary.outcome not in _KEPT and canary.folder is not None:
            shutil.rmtree(canary.folder, ignore_errors=True)
    if not any(home.iterdir()):
        home.rmdir()
