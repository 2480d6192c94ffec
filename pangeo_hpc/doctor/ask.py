"""Ask what can be asked from here: schedulers, environments, scratch directories."""

from collections.abc import Callable
from importlib import metadata
from typing import Any

from pangeo_hpc import envs, scratch
from pangeo_hpc.doctor.facts import Asked, Failure, Place
from pangeo_hpc.doctor.imports import NEEDED
from pangeo_hpc.doctor.look import try_directory
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Conversation, Runner, converse, run
from pangeo_hpc.schedulers.base import Scheduler
from pangeo_hpc.site import Person, Site


def ask_scheduler(
    key: str, scheduler: Scheduler, site: Site, person: Person, runner: Runner = run
) -> Asked:
    """Return what a scheduler says about itself; nothing more is asked of one that is silent."""
    questions: dict[str, Callable[[], Conversation[Any]]] = {
        "version": scheduler.version,
        "queues": scheduler.queues,
        "nodes": scheduler.nodes,
        "accounts": lambda: scheduler.accounts(person.user),
        "settings": lambda: scheduler.settings(person.user),
    }
    hub = site.hub
    if hub is not None:
        questions["hub"] = lambda: scheduler.settings(hub.service_user)
    answers: dict[str, Any] = {}
    failures: dict[str, Failure] = {}
    for what, talk in questions.items():
        try:
            answers[what] = converse(talk(), runner)
        except PangeoHpcError as error:
            failures[what] = Failure.of(error)
            if what in ("version", "queues"):
                break
    return Asked(
        key=key, kind=scheduler.kind, versions=scheduler.versions, failures=failures, **answers
    )


def find_environments(
    site: Site, person: Person
) -> tuple[dict[str, envs.Environment], dict[str, Failure]]:
    """Return the environments of a site, and why some of them cannot be used at all."""
    found, broken = {}, {}
    for name in tuple(site.environments) or (envs.CURRENT,):
        try:
            found[name] = envs.resolve(site, name, person)
        except PangeoHpcError as error:
            broken[name] = Failure.of(error)
    return found, broken


def find_places(site: Site, person: Person) -> list[Place]:
    """Return the person's scratch directories, as they are on this host."""
    places = []
    for name in tuple(site.scratch) or ("",):
        try:
            path = scratch.root(site, person, name or None)
        except PangeoHpcError as error:
            places.append(Place(name=name, words=error.text, hint=error.hint))
        else:
            state, words = try_directory(path)
            places.append(Place(name=name, path=path, state=state, words=words))
    return places


def find_versions() -> dict[str, str]:
    """Return the versions of the modules that we have ourselves."""
    found = {}
    for name in NEEDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
