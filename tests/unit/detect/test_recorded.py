"""Drafts from what real schedulers answered."""

from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.detect import draft_site, survey_machine
from pangeo_hpc.jobs import Ask, plan
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import SchedulerOptions
from pangeo_hpc.site import Person
from pangeo_hpc.site.find import Source
from pangeo_hpc.site.load import read_site
from pangeo_hpc.testing.transcripts import Replay, read_transcript

RECORDINGS = Path(__file__).parents[2] / "recordings"
ALICE = Person("alice", 1001, 1001, "alice", Path("/home/alice"))
GIB = 2**30
CASES = {
    "slurm": ("10-cluster",),
    "pbs": ("01-versions", "02-server", "03-queues", "04-nodes-idle"),
}


def drafted(kind: str, *cases: str):
    steps = [step for case in cases for step in read_transcript(RECORDINGS / kind / f"{case}.txt")]
    scheduler = registry.make(kind, SchedulerOptions())
    found = survey_machine(
        {"HOME": "/home/alice"}, scheduler=scheduler, person=ALICE, runner=Replay(steps), mounts=""
    )
    text = draft_site(found)
    site, _, problems = read_site(text, Source("draft", text))
    assert problems == []
    return text, site


def test_slurm():
    """Partitions of the test cluster, one down, one with GPUs, one with few cores per node."""
    text, site = drafted("slurm", *CASES["slurm"])
    assert list(site.node_types) == ["compute", "short", "small", "gpu"]
    assert "# broken cannot be used now: all of its nodes are down: broken on purpose" in text
    compute = site.node_type()
    assert (compute.name, compute.max_cores, compute.max_nodes) == ("compute", 8, 4)
    assert (compute.walltime, compute.max_walltime) == (timedelta(minutes=10), timedelta(hours=1))
    assert site.node_type("small").max_cores == 2
    assert (site.node_type("gpu").gpus, site.node_type("gpu").max_gpus) == (1, 2)
    assert "#   climate (default); qos " in text
    assert compute.account == "optional"


def test_pbs():
    """Queues of a PBS server, a routing one among them; it keeps no accounts."""
    _, site = drafted("pbs", *CASES["pbs"])
    assert site.scheduler == "pbs"
    assert site.node_type().queue
    for node in site.node_types.values():
        assert node.max_cores > 1
        assert node.max_memory > GIB


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_draft_can_be_planned_with(kind):
    """Its first node type gives a job header without further edits."""
    _, site = drafted(kind, *CASES[kind])
    request = plan(site, Ask(), name="try", command=("true",), person=ALICE)
    assert registry.make(kind, SchedulerOptions()).directives(request)
