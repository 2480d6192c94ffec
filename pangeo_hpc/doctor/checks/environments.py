"""The environments of the site work on the nodes."""

from collections.abc import Iterator, Mapping
from typing import Any

from pangeo_hpc._version import __version__
from pangeo_hpc.doctor.facts import Facts, Outcome
from pangeo_hpc.doctor.finding import Finding, note, problem, skipped
from pangeo_hpc.doctor.imports import NEEDED
from pangeo_hpc.envs import CURRENT

NAME = "environments"
TITLE = "environments can be imported on the nodes"

_INSTALL = f"install it there: python -m pip install 'pangeo-hpc[workflow]=={__version__}'"


def judge(facts: Facts) -> Iterator[Finding]:
    """Tell what is wrong with each environment, once for all node types where it is the same."""
    for name, failure in facts.broken.items():
        yield problem(NAME, failure.text, failure.hint, _path(name))
    for name, canary in facts.canaries.items():
        if canary.outcome is Outcome.NO_ENVIRONMENT:
            words = canary.complaint.partition("pangeo-hpc: ")[2]
            yield _unusable(_default(facts), f"node type {name}: {words}", words)
    if facts.silence and not any(
        canary.outcome is Outcome.NO_ENVIRONMENT for canary in facts.canaries.values()
    ):
        yield skipped(NAME, facts.silence)
    told: dict[tuple[str, str], list[str]] = {}
    for node, _, report in facts.reports():
        for name, seen in report.get("environments", {}).items():
            for words in _faults(seen):
                told.setdefault((name, words), []).append(node.name)
            yield from _versions(facts, name, seen)
    for (name, words), nodes in told.items():
        which = f"environment {name}" if f"environment {name}" not in words else "it"
        where = f"node type{'s' if len(nodes) > 1 else ''} {', '.join(nodes)}"
        yield _unusable(name, f"{where}: {which} does not work: {words}", words)


def _faults(seen: Mapping[str, Any]) -> Iterator[str]:
    if "words" in seen:
        lines = [line.strip() for line in str(seen["words"]).splitlines() if line.strip()]
        ours = [line for line in lines if "pangeo-hpc: environment" in line]
        yield (ours or lines or ["it says nothing"])[-1].removeprefix("pangeo-hpc: ")
    for module, words in seen.get("broken", {}).items():
        yield f"{module} cannot be imported, which {NEEDED.get(module, 'users')} need: {words}"


def _unusable(name: str, text: str, words: str) -> Finding:
    if "is not there on" in words:
        remedy = "put it on a filesystem that compute nodes see, or correct its prefix"
    elif "odule" in words and "import" not in words:
        remedy = "correct the modules of this environment, or the module path in `setup`"
    else:
        remedy = _INSTALL
    return problem(NAME, text, remedy, _path(name))


def _versions(facts: Facts, name: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """Note a Dask that differs from the one here: a client here would speak to workers there."""
    theirs, ours = seen.get("versions", {}).get("distributed"), facts.modules.get("distributed")
    if theirs and ours and theirs != ours:
        text = f"environment {name} has distributed {theirs}, and this Python {ours}"
        remedy = "run scripts and notebooks with the environment's own Python, or make them equal"
        yield note(NAME, text, remedy, _path(name))


def _default(facts: Facts) -> str:
    return facts.site.environment().name if facts.site.environments else CURRENT


def _path(name: str) -> str | None:
    return None if name == CURRENT else f"environments.{name}"
