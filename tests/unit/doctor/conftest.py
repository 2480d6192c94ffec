"""Facts about a site where all is well, of which a test changes one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.doctor.checks import CHECKS
from pangeo_hpc.doctor.facts import Asked, Canary, Facts, Place
from pangeo_hpc.doctor.finding import Finding
from pangeo_hpc.doctor.look import PlaceState
from pangeo_hpc.schedulers.base import (
    Account,
    JobState,
    JobStatus,
    Node,
    NodeState,
    Qos,
    Queue,
    Settings,
    Versions,
)
from pangeo_hpc.site import Person, Site, load_site
from pangeo_hpc.units import GIB

SITE = """\
name: alpha
scheduler: slurm
{top}
node_types:
  compute:
    queue: regular
    qos: normal
    cores: 4
    memory: 8 GiB
    walltime: "01:00:00"
    interface: ib0
{node}
scratch:
  scratch: {{path: "/scratch/{{user}}"}}
"""

ALICE = Person("alice", 1001, 1001, "science", Path("/home/alice"))
NODE = Node(name="n1", state=NodeState.IDLE, queues=("regular",), cores=8, memory=16 * GIB)
REPORT = {
    "host": "n1",
    "ahead": [-0.1, 0.2],
    "interfaces": {"lo": ["127.0.0.1"], "ib0": ["10.0.0.5"], "eth1": []},
    "places": {"scratch": {"state": "writable", "words": "", "same": True}},
    "usable": {"cores": 8, "memory": 16 * GIB},
    "granted": {"cores": 4, "memory": 8 * GIB},
    "environments": {"current": {"versions": {"dask": "1", "distributed": "1"}, "broken": {}}},
}
ASKED = Asked(
    key="slurm",
    kind="slurm",
    versions=Versions(oldest=(21, 8), tested=(22, 5), widths=(1, 2)),
    version=(22, 5, 8),
    queues=(Queue(name="regular", default=True, max_walltime=timedelta(hours=12)),),
    nodes=(NODE, replace(NODE, name="n2")),
    accounts=(Account(name="climate", qos=("normal", "high"), default=True),),
    settings=Settings(private_jobs=False, history=True, qos=(Qos(name="normal"), Qos(name="high"))),
)


def canary(**changes: Any) -> Canary:
    """Return a canary that came back from n1 with a report, or one with some of that changed."""
    status = JobStatus(id="7", state=JobState.COMPLETED, nodes=("n1",), exit_code=0)
    good = Canary(
        node_type="compute",
        job="7",
        cores=4,
        memory=8 * GIB,
        status=status,
        traced=True,
        report=REPORT,
        folder=Path("/state/doctor/x/compute"),
        waited=300,
    )
    return replace(good, **changes)


def seen(**changes: Any) -> Canary:
    """Return a canary whose report has some facts changed."""
    return canary(report={**REPORT, **changes})


def status(state: JobState, **more: Any) -> JobStatus:
    return JobStatus(id="7", state=state, nodes=("n1",), **more)


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Site]:
    def make(*, top: str = "", **changes: str) -> Site:
        lines = SITE.format(top=top, node="").splitlines()
        for key, value in changes.items():
            lines = [line for line in lines if not line.startswith(f"    {key}:")]
            lines.insert(lines.index("  compute:") + 1, f"    {key}: {value}")
        path = tmp_path / "alpha.yaml"
        path.write_text("\n".join(lines) + "\n")
        return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})

    return make


@pytest.fixture
def facts(make_site: Callable[..., Site]) -> Facts:
    return Facts(
        site=make_site(),
        person=ALICE,
        schedulers={"slurm": ASKED},
        places=(Place(name="scratch", path=Path("/scratch/alice"), state=PlaceState.WRITABLE),),
        canaries={"compute": canary()},
        modules={"distributed": "1"},
    )


def asked(facts: Facts, **changes: Any) -> Facts:
    """Return facts whose scheduler answered something else."""
    return replace(facts, schedulers={"slurm": replace(ASKED, **changes)})


def flown(facts: Facts, bird: Canary) -> Facts:
    """Return facts with another canary."""
    return replace(facts, canaries={"compute": bird})


def told(name: str, facts: Facts) -> list[tuple[str, str]]:
    """Return severity and text of what one check says."""
    return [(str(finding.severity), finding.text) for finding in findings(name, facts)]


def findings(name: str, facts: Facts) -> list[Finding]:
    """Return what one check says."""
    [check] = [check for check in CHECKS if name == check.NAME]
    return list(check.judge(facts))
