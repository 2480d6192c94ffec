"""Dask workers as a PBS job array, through programs that keep state and run the scripts.

They prove that ids of elements, their states, and what is deleted fit together; that a real PBS
starts such an array, its recordings do (50-arrays).
"""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pangeo_hpc import start_cluster
from pangeo_hpc.errors import WorkerJobFailed
from pangeo_hpc.site import load_site
from tests.programs.pbs_programs import Queue, calls, install, tell

SITE = """\
name: pbs-site
scheduler: pbs
schedulers:
  pbs: {{type: pbs, bin: {programs}}}
user_state: "{state}/{{user}}"
node_types:
  small:
    {{default: true, queue: short, cores: 1, memory: 1 GiB, walltime: "00:10:00", interface: lo}}
  broken:
    queue: short
    cores: 1
    memory: 1 GiB
    walltime: "00:10:00"
    setup: ["until [ -e {state}-$PBS_JOBID ] || [ -e {state}-all ]; do sleep 0.05; done; exit 5"]
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a PBS of this test; `site.yaml` lies beside it."""
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "PANGEO_HPC_SITE"):
        monkeypatch.delenv(name, raising=False)
    found = install(tmp_path / "pbs")
    text = SITE.format(programs=found, state=tmp_path / "state")
    (tmp_path / "site.yaml").write_text(text)
    return found


def of(programs: Path, program: str) -> list[list[str]]:
    """Return the calls of one program so far, without its name."""
    return [words[1:] for words in calls(programs) if words[0] == program]


def until(cluster: object, true: Callable[[list[str]], bool]) -> list[str]:
    """Return the states of a cluster's jobs as soon as they are as wanted."""
    while True:
        states = [str(job.state) for job in cluster.jobs]  # type: ignore[attr-defined]
        if true(states):
            return states


@pytest.mark.timeout(240)
def test_an_array_of_workers(tmp_path: Path, programs: Path) -> None:
    """One qsub; an element is deleted, another dies and is replaced; the rest go with one qdel."""
    with start_cluster(site=tmp_path / "site.yaml", workers=3) as cluster:
        cluster.wait_for_workers(3, timeout=120)
        assert len(of(programs, "qsub")) == 1
        assert [job.id for job in cluster.jobs] == [f"1[{index}].standin" for index in range(3)]
        workers = {w["name"] for w in cluster.scheduler_info["workers"].values()}
        assert workers == {f"{cluster.name}-{number}" for number in range(3)}
        with cluster.get_client() as client:
            pids = client.run(os.getppid)
            assert client.gather(client.map(lambda x: x + 1, range(6))) == list(range(1, 7))
            cluster.scale(2)
            assert of(programs, "qdel") == [["1[2].standin"]]
            assert until(cluster, lambda s: s[2] == "cancelled") == ["running"] * 2 + ["cancelled"]
            first = cluster.scheduler_info["workers"]
            victim = next(a for a, w in first.items() if w["name"] == f"{cluster.name}-0")
            os.kill(pids[victim], signal.SIGKILL)
            states = until(cluster, lambda s: len(s) == 4)
            assert states[0] == "failed"
            cluster.wait_for_workers(2, timeout=120)
            assert len(of(programs, "qsub")) == 2
            assert cluster.jobs[3].id == "2.standin"
        tell(programs, paused=True)
        cluster.scale(6)
        assert [str(job.state) for job in cluster.jobs][4:] == ["pending"] * 4
        before = len(of(programs, "qdel"))
    assert of(programs, "qdel")[before] == ["3[].standin"]
    assert all(job.state.ended for job in cluster.jobs)


@pytest.mark.timeout(240)
def test_elements_that_fail_together(tmp_path: Path, programs: Path) -> None:
    """Each element tells of its own end; three equal ones seen at once are enough, none follows."""
    tell(programs, paused=True)
    with start_cluster("broken", site=tmp_path / "site.yaml", workers=3) as cluster:
        # from here on nobody hears of an end, until all three have come to theirs
        tell(programs, down=["qstat"])
        (tmp_path / "state-all").touch()
        ended = {f"1[{index}].standin" for index in range(3)}
        while {job["id"] for job in Queue(programs.parent / "state").ended()} != ended:
            subprocess.run([programs / "qselect"], check=True, capture_output=True)
        tell(programs)
        with pytest.raises(WorkerJobFailed, match=r"1\[\d\]\.standin .*exit code 5"):
            cluster.wait_for_workers(3, timeout=120)
        assert [job.exit_code for job in cluster.jobs] == [5, 5, 5]
    assert len(of(programs, "qsub")) == 1


@pytest.mark.timeout(240)
def test_elements_that_fail_one_by_one(tmp_path: Path, programs: Path) -> None:
    """The first two that fail are each replaced once; the third equal one is the last."""
    with start_cluster("broken", site=tmp_path / "site.yaml", workers=3) as cluster:
        for index, jobs in ((0, 4), (1, 5)):
            (tmp_path / f"state-1[{index}].standin").touch()
            states = until(cluster, lambda s, jobs=jobs: len(s) == jobs)
            assert states.count("failed") == index + 1
        (tmp_path / "state-1[2].standin").touch()
        with pytest.raises(WorkerJobFailed, match=r"1\[2\]\.standin .*exit code 5"):
            cluster.wait_for_workers(3, timeout=120)
        assert [job.id for job in cluster.jobs[3:]] == ["2.standin", "3.standin"]
        assert [job.exit_code for job in cluster.jobs] == [5, 5, 5, None, None]
    assert len(of(programs, "qsub")) == 3


@pytest.mark.timeout(240)
@pytest.mark.parametrize("history", [True, False])
def test_an_answer_that_was_lost(tmp_path: Path, programs: Path, history: bool) -> None:
    """An array whose submission had no answer is found by its name, not submitted again."""
    tell(programs, mute=["qsub"], paused=True, history=history)
    with start_cluster(site=load_site(tmp_path / "site.yaml"), workers=2) as cluster:
        tell(programs, paused=True, history=history)
        assert [job.id for job in cluster.jobs] == ["1[0].standin", "1[1].standin"]
        assert len(of(programs, "qsub")) == 1
    assert of(programs, "qdel") == [["1[].standin"]]
