"""What a canary is: an ordinary default job of a node type, and what it is asked to look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pangeo_hpc import envs, jobs
from pangeo_hpc.doctor.imports import NEEDED
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.site import NodeType, Person, Site

# A canary needs some seconds; a short walltime lets it start in a gap of the queue.
BRIEF = timedelta(minutes=5)
# Seconds that a canary waits for the login host's time, and that an environment may take to import.
PATIENCE, IMPORTS = 15.0, 90.0


@dataclass(frozen=True)
class Question:
    """What all canaries are asked: directories by name, and the environments of the site.

    `mark` is the name of a file that lies in each directory that can be written here.
    """

    mark: str
    places: Mapping[str, Path] = field(default_factory=dict)
    environments: tuple[envs.Environment, ...] = ()

    def as_json(self, node: NodeType) -> dict[str, Any]:
        """Return what the canary of a node type reads."""
        return {
            "format": 1,
            "mark": self.mark,
            "patience": PATIENCE,
            "seconds": IMPORTS,
            "places": {name: str(path) for name, path in self.places.items()},
            "environments": {each.name: trial(each, node) for each in self.environments},
        }


def canary_job(
    site: Site, person: Person, node: NodeType, environment: envs.Environment, folder: Path
) -> JobRequest:
    """Return the job of a canary. Raise RequestRefused if the site allows this person none."""
    return jobs.plan(
        site,
        jobs.Ask(node_type=node.name, walltime=min(node.walltime, BRIEF)),
        name="doctor",
        command=(*_module(environment, "canary"), str(folder)),
        use=min(node.uses),
        person=person,
        setup=environment.setup,
        environment=environment.variables,
        folder=folder,
    )


def trial(environment: envs.Environment, node: NodeType) -> str:
    """Return a shell script that starts an environment as a job does, and imports what it needs."""
    request = JobRequest(
        name="doctor",
        command=(*_module(environment, "imports"), *NEEDED),
        cores=1,
        walltime=BRIEF,
        setup=(*node.setup, *environment.setup),
        environment=environment.variables,
    )
    return render((), request)


def _module(environment: envs.Environment, name: str) -> tuple[str, ...]:
    """Return how a module of ours is run; -P keeps a file of the current directory out of it."""
    return str(environment.python), "-P", "-m", f"pangeo_hpc.doctor.{name}"
