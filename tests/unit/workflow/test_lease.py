import errno
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from pangeo_hpc.errors import Exit, RunBusy
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.workflow import lease
from pangeo_hpc.workflow.holder import Holder, moment
from tests.unit.workflow.conftest import ROOT, nobody_knows

TAKER = """
    import sys, time
    from dataclasses import replace
    from pathlib import Path
    from pangeo_hpc.errors import RunBusy
    from pangeo_hpc.workflow import lease
    from pangeo_hpc.workflow.holder import myself

    folder, links = Path(sys.argv[1]), sys.argv[2] == "links"
    if not links:
        def refuse(*_, **__):
            raise PermissionError(1, "no links here")
        lease.os.link = refuse
    me = myself(None, None)
    print("ready", flush=True)
    while not (folder / "go").exists():
        time.sleep(0.001)
    try:
        held = lease.take(folder, me, lambda _: None, patience=5)
    except RunBusy:
        print("busy", flush=True)
    else:
        print("taken", held.holder.number, flush=True)
        sys.stdin.read()
"""


def start_taker(folder: Path, kind: str = "links") -> "subprocess.Popen[str]":
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TAKER), str(folder), kind],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_free_run_is_taken_and_given_back(folder: Path, me: Holder) -> None:
    """The first holder has number 1; one that gave the run back is followed at once."""
    first = lease.take(folder, me, nobody_knows)
    assert first.holder.number == 1
    with pytest.raises(RunBusy) as caught:
        lease.take(folder, me, nobody_knows)
    assert caught.value.exit_code == Exit.SCHEDULER
    assert f"process {me.pid}" in str(caught.value)
    assert f"kill {me.pid} on {me.host}" in str(caught.value)
    first.release()
    assert lease.take(folder, me, nobody_knows).holder.number == 2


@pytest.mark.parametrize("kind", ["links", "no links"])
def test_of_eight_takers_one_wins(folder: Path, kind: str) -> None:
    """However many begin at the same moment, one holds the run; killed, it is followed at once."""
    for turn in (1, 2):
        takers = [start_taker(folder, kind) for _ in range(8)]
        assert [line(taker) for taker in takers] == ["ready"] * 8
        (folder / "go").touch()
        answers = [line(taker) for taker in takers]
        assert sorted(answers) == ["busy"] * 7 + [f"taken {turn}"]
        winner = takers[answers.index(f"taken {turn}")]
        winner.kill()
        for taker in takers:
            taker.communicate()
        (folder / "go").unlink()


def test_a_killed_holder_is_followed_at_once(folder: Path, me: Holder) -> None:
    """SIGKILL leaves the lease behind, and nobody waits for the dead."""
    (folder / "go").touch()
    taker = start_taker(folder)
    assert [line(taker), line(taker)] == ["ready", "taken 1"]
    with pytest.raises(RunBusy):
        lease.take(folder, me, nobody_knows)
    taker.kill()
    # it has ended, and its parent has not waited for it: a zombie holds nothing
    os.waitid(os.P_PID, taker.pid, os.WEXITED | os.WNOWAIT)
    began = time.monotonic()
    assert lease.take(folder, me, nobody_knows).holder.number == 2
    assert time.monotonic() - began < lease.PATIENCE / 4
    taker.communicate()


def elsewhere(folder: Path, me: Holder, **changes: object) -> Holder:
    """Let somebody on another host hold the run."""
    facts = {"host": "node7", "boot_id": "another", "number": 1, "token": "theirs"}
    holder = replace(me, **{**facts, **changes})  # type: ignore[arg-type]
    assert lease.claim(lease.files.make_directory(folder / "leases"), holder)
    return holder


def test_an_unknown_holder_is_waited_for_and_named(folder: Path, me: Holder) -> None:
    """After the patience is over, the message says how a person frees the run."""
    elsewhere(folder, me)
    began = time.monotonic()
    with pytest.raises(RunBusy) as caught:
        lease.take(folder, me, nobody_knows, patience=0.5)
    assert 0.5 <= time.monotonic() - began < lease.PATIENCE / 4
    assert "on node7" in str(caught.value)
    assert "pangeo-hpc runs cancel climatology --free" in str(caught.value)


def test_a_sign_of_life_ends_the_waiting(
    folder: Path, me: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder whose heartbeat goes on is alive, whoever cannot be asked."""
    other = elsewhere(folder, me)

    def beat(_seconds: float) -> None:
        path = folder / "leases" / "0001.json"
        path.write_text(replace(other, renewed_at="2030-01-01").dump())

    monkeypatch.setattr(lease.time, "sleep", beat)
    with pytest.raises(RunBusy, match="is being computed by"):
        lease.take(folder, me, nobody_knows, patience=60)


def test_the_end_of_the_job_frees_the_run(
    folder: Path, me: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the holder's job runs the run is busy; when it has ended it is taken."""
    elsewhere(folder, me, job_id="41", scheduler="slurm")
    with pytest.raises(RunBusy, match=r"(?s)job 41.*pangeo-hpc runs cancel climatology"):
        lease.take(folder, me, lambda _: JobState.RUNNING)
    answers = iter([None, None, JobState.TIMEOUT])
    monkeypatch.setattr(lease.time, "sleep", lambda _: None)
    assert lease.take(folder, me, lambda _: next(answers)).holder.number == 2


def test_a_stale_attempt_learns_who_took_over(folder: Path, me: Holder) -> None:
    """A requeued job takes over from its own living process, which then stops."""
    first = lease.take(folder, replace(me, job_id="41", scheduler="slurm"), nobody_knows)
    first.check()
    requeued = replace(me, job_id="41", scheduler="slurm", restarts=1, token="later")
    second = lease.take(folder, requeued, nobody_knows)
    second.check()
    with pytest.raises(RunBusy, match=r"taken over by job 41 .*\(holder 2\).*\(holder 1\) stops"):
        first.check()
    with pytest.raises(RunBusy):
        first.fence.check()
    first.release()
    second.check()


def test_a_person_frees_a_run(folder: Path, me: Holder) -> None:
    """The run can be taken then, and whoever lived all the same stops."""
    assert not lease.free(folder, me)
    other = elsewhere(folder, me)
    assert lease.free(folder, me)
    assert not lease.free(folder, me)
    assert lease.take(folder, me, nobody_knows).holder.number == 3
    with pytest.raises(RunBusy):
        lease.Fence(folder / "leases", other.number).check()


def test_a_broken_lease_is_somebody(folder: Path, me: Holder) -> None:
    """A file that cannot be understood is no reason to compute beside its author."""
    (folder / "leases").mkdir()
    (folder / "leases" / "0004.json").write_text("{")
    with pytest.raises(RunBusy, match="somebody unknown"):
        lease.take(folder, me, nobody_knows, patience=0)
    assert lease.free(folder, me)
    assert lease.take(folder, me, nobody_knows).holder.number == 6


def test_a_link_that_worked_but_was_called_a_failure(
    folder: Path, me: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS repeats a request whose answer was lost, and then finds its own file."""
    link = os.link

    def lose_the_answer(source: Path, target: Path) -> NoReturn:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "exists")

    monkeypatch.setattr(lease.os, "link", lose_the_answer)
    assert lease.take(folder, me, nobody_knows).holder.number == 1


def test_a_removed_folder_stops_the_attempt(folder: Path, me: Holder) -> None:
    """Whoever removes the folder of a run ends it."""
    held = lease.take(folder, me, nobody_knows)
    (folder / "leases" / "0001.json").unlink()
    (folder / "leases").rmdir()
    with pytest.raises(RunBusy, match="was removed"):
        held.check()


def test_the_heartbeat_goes_on_by_itself(
    folder: Path, me: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is renewed while the script does something else, and not after its end."""
    monkeypatch.setattr(lease, "HEARTBEAT", 0.01)
    held = lease.take(folder, me, nobody_knows)
    held.holder = replace(held.holder, renewed_at="long ago")
    held.start_heartbeat()
    end = time.monotonic() + 20
    while held.holder.renewed_at == "long ago":
        assert time.monotonic() < end
        time.sleep(0.01)
    held.release()
    _, last = lease.newest_holder(folder / "leases")
    assert last is not None
    assert last.released_at is not None
    assert last.renewed_at <= moment()
