"""Whatever is killed, whenever: no job is lost, run twice, or RUNNING for ever. Real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.localqueue.records import Standing
from pangeo_hpc.processes import ProcessId, boot_id
from pangeo_hpc.run import converse
from pangeo_hpc.schedulers.base import JobState
from tests.unit.localqueue.conftest import RealQueue, until

WAIT_FOR_GO = "echo $$ > pid; until test -e go; do sleep 0.05; done; echo ran >> runs"


def runs(queue: RealQueue) -> int:
    path = queue.folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def go(queue: RealQueue) -> None:
    (queue.folder / "go").touch()


def restart_machine(queue: RealQueue) -> None:
    """Do what a restart does: every process ends at once, and the boot has another name."""
    queue.freeze()
    queue.end_everything()
    for path in (queue.root / "active").glob("*/state*.json"):
        path.write_text(path.read_text().replace(boot_id(), "00000000-before-the-restart"))


def test_jobs_need_no_submitter(queue: RealQueue) -> None:
    """The submitter's whole session is killed at once; the job runs all the same."""
    script = queue.write("sleep 0.5; echo ran >> runs")
    line = f"{' '.join(queue.argv('submit', str(script)))} > id; sleep 60"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", line], env=queue.variables, cwd=queue.folder, start_new_session=True
    )
    try:
        until(lambda: (queue.folder / "id").exists() and (queue.folder / "id").read_text(), "an id")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    queue.wait_on_disk("1", JobState.COMPLETED)
    assert runs(queue) == 1


@pytest.mark.parametrize("delay", [0.03, 0.06, 0.08, 0.1, 0.12, 0.15])
def test_a_submitter_killed_at_any_moment(queue: RealQueue, delay: float) -> None:
    """A killed submission left one job or none; it is found by its name and runs once."""
    script = queue.write("echo ran >> runs")
    process = subprocess.Popen(
        queue.argv("submit", "--name=ndvi-x7k2", str(script)),
        env=queue.variables,
        cwd=queue.folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(delay)  # the moment is the point of this test
    process.kill()
    process.wait()
    found = queue.answer("status", "--name=ndvi-x7k2")["jobs"]
    assert len(found) <= 1
    for job in found:
        assert queue.wait(job["id"]).state is JobState.COMPLETED
    assert runs(queue) == len(found)
    assert queue.submit("true") not in [job["id"] for job in found]


def test_a_number_taken_and_never_used(queue: RealQueue) -> None:
    """A crash between the number and the record leaves a folder without a job: nobody sees it."""
    first = queue.submit("true")
    (queue.root / "active" / "2").mkdir()
    (queue.root / "active" / "2" / "script").write_text("#!/bin/bash\necho ran >> runs\n")
    (queue.root / "next.json").write_text('{"format": 1, "ne')
    third = queue.submit("true")
    assert (first, third) == ("1", "3")
    assert set(queue.states("1", "2", "3")) == {"1", "3"}
    queue.wait(third)
    assert runs(queue) == 0


def test_the_daemon_is_killed(queue: RealQueue) -> None:
    """Running jobs run on under their supervisors, and waiting ones start after all."""
    first = queue.submit(WAIT_FOR_GO, "--cores=2")
    second = queue.submit("echo ran >> runs", "--cores=2")
    queue.wait(first, JobState.RUNNING)
    before = queue.daemon()
    queue.kill_daemon()
    # nobody calls a command: the supervisor of the first job starts another daemon
    after = until(queue.daemon, "another daemon")
    assert after != before
    assert queue.supervisor(first) not in [p.pid for p in psutil.Process(after.pid).parents()]
    go(queue)
    queue.wait_on_disk(first, JobState.COMPLETED)
    queue.wait_on_disk(second, JobState.COMPLETED)
    assert runs(queue) == 2


def test_the_next_command_starts_the_daemon(queue: RealQueue) -> None:
    """With no job running, any command brings the queue back."""
    queue.submit(WAIT_FOR_GO, "--cores=2")
    waiting = queue.submit("echo ran >> runs", "--cores=2")
    queue.wait("1", JobState.RUNNING)
    queue.kill_daemon()
    queue.end_everything()
    assert queue.state_on_disk(waiting) is JobState.PENDING
    assert queue.status("1").state.ended
    queue.wait_on_disk(waiting, JobState.COMPLETED)


def test_a_job_may_submit(queue: RealQueue) -> None:
    """A job that outlived the daemon submits another; neither ends with the other."""
    second = queue.write("sleep 0.3; echo ran >> runs", name="second.sh")
    submit = " ".join(queue.argv("submit", str(second)))
    settings = " ".join(f"'{name}={value}'" for name, value in queue.variables.items())
    body = f"{WAIT_FOR_GO}\nenv {settings} {submit} > second"
    first = queue.submit(body, "--walltime=00:01:00")
    queue.wait(first, JobState.RUNNING)
    os.kill(queue.supervisor(first), signal.SIGSTOP)  # so that only the job could start one
    queue.kill_daemon()
    go(queue)
    until(lambda: (queue.folder / "second").exists() and runs(queue), "the submission")
    until(lambda: (queue.folder / "second").read_text(), "the id")
    assert queue.daemon() is None
    os.kill(queue.supervisor(first), signal.SIGCONT)
    queue.wait_on_disk(first, JobState.COMPLETED)
    queue.wait_on_disk("2", JobState.COMPLETED)
    assert runs(queue) == 2


def test_a_supervisor_is_killed(queue: RealQueue) -> None:
    """Its job is marked within moments, and what it left running is ended."""
    body = f"""#!{sys.executable}
import os, pathlib, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        pathlib.Path("deep").touch()
        time.sleep(63)
    os._exit(0)
time.sleep(63)
"""
    job_id = queue.submit(body)
    until((queue.folder / "deep").exists, "the tree to stand")
    queue.wait(job_id, JobState.RUNNING)
    os.kill(queue.supervisor(job_id), signal.SIGKILL)
    queue.wait_on_disk(job_id, JobState.FAILED)
    status = queue.status(job_id)
    assert (status.reason, status.signal) == ("its supervisor was killed", 9)
    assert not queue.jobs_processes()


def test_everything_is_killed(queue: RealQueue) -> None:
    """With nothing left, the next command tells that nobody knows how the job ended."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    queue.kill_daemon()
    queue.end_everything()
    status = queue.status(job_id)
    assert (status.state, status.reason) == (JobState.LOST, "its supervisor was killed")
    assert status.ended is not None


def test_other_queues_are_left_alone(queue: RealQueue, tmp_path: Path) -> None:
    """Jobs of the same number in another queue are not taken for leftovers."""
    other = RealQueue(tmp_path / "other")
    try:
        theirs = other.submit(WAIT_FOR_GO)
        ours = queue.submit(WAIT_FOR_GO)
        assert ours == theirs
        other.wait(theirs, JobState.RUNNING)
        queue.wait(ours, JobState.RUNNING)
        os.kill(queue.supervisor(ours), signal.SIGKILL)
        queue.wait(ours)
        go(other)
        assert other.wait(theirs).state is JobState.COMPLETED
    finally:
        other.end_everything()


def test_after_a_restart(queue: RealQueue) -> None:
    """The next command marks what ran, and starts what waited."""
    ran = queue.submit(WAIT_FOR_GO)
    again = queue.submit(WAIT_FOR_GO, "--requeue")
    waited = queue.submit("echo waited >> runs")
    queue.wait(ran, JobState.RUNNING)
    queue.wait(again, JobState.RUNNING)
    restart_machine(queue)
    status = queue.status(ran)
    assert (status.state, status.reason) == (JobState.NODE_FAIL, "the machine was restarted")
    go(queue)
    assert queue.wait(waited).state is JobState.COMPLETED
    status = queue.wait(again)
    assert (status.state, status.restarts) == (JobState.COMPLETED, 1)
    assert runs(queue) == 2


@pytest.mark.parametrize("verb", ["submit", "cancel", "nodes"])
def test_any_command_after_a_restart(queue: RealQueue, verb: str) -> None:
    """Whatever is called first, the queue works again."""
    queue.submit(WAIT_FOR_GO, "--cores=2")
    waited = queue.submit("echo waited >> runs")
    queue.wait("1", JobState.RUNNING)
    restart_machine(queue)
    arguments = {"submit": [str(queue.write("true"))], "cancel": ["1"], "nodes": []}[verb]
    assert queue.call(verb, *arguments).returncode == 0
    queue.wait_on_disk("1", JobState.NODE_FAIL)
    queue.wait_on_disk(waited, JobState.COMPLETED)


def test_a_recycled_pid_is_never_signalled(queue: RealQueue) -> None:
    """A record whose pid belongs to another process by now: that one is left alone."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    queue.kill_daemon()
    queue.end_everything()
    innocent = subprocess.Popen(["/bin/sleep", "64"], start_new_session=True)
    try:
        element = queue.store.look(job_id)[0]
        standing = element.standing
        assert standing.supervisor is not None and standing.script is not None
        forged = ProcessId(
            standing.supervisor.host, boot_id(), innocent.pid, standing.supervisor.started
        )
        recycled = Standing(
            state=JobState.RUNNING, started=time.time(), supervisor=forged, script=forged
        )
        queue.store.write(element, recycled)
        assert converse(queue.scheduler.cancel([job_id])) == {}
        status = queue.wait(job_id)
        assert (status.state, status.reason) == (JobState.LOST, "its supervisor was killed")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_recycled_daemon(queue: RealQueue) -> None:
    """Another process with the pid of a daemon that is gone is not taken for it."""
    queue.submit("true")
    queue.wait("1")
    queue.kill_daemon()
    record = json.loads((queue.root / "daemon.json").read_text())
    record["process"]["pid"] = os.getpid()
    (queue.root / "daemon.json").write_text(json.dumps(record))
    assert queue.wait(queue.submit("true")).state is JobState.COMPLETED


def test_the_machine_goes_down(queue: RealQueue) -> None:
    """At SIGTERM, as at a shutdown, a supervisor ends its job and says so."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    os.kill(queue.supervisor(job_id), signal.SIGTERM)
    assert queue.wait(job_id).state is JobState.NODE_FAIL
    assert not queue.jobs_processes()


def test_damaged_records(queue: RealQueue) -> None:
    """A damaged record is reported, and disturbs no other job."""
    broken = {queue.submit("true") for _ in range(2)}
    for job_id in broken:
        queue.wait(job_id)
    until(lambda: not list((queue.root / "active").iterdir()), "the jobs to be put away")
    (queue.root / "ended/1/job.json").write_text('{"format": 1, "number')
    (queue.root / "ended/2/state.json").write_text("[]")
    for number, text in ((10, "not json"), (11, "[]"), (12, '{"format": 1, "number": 12}')):
        folder = queue.root / "active" / str(number)
        folder.mkdir()
        (folder / "job.json").write_text(text)
    (queue.root / "active" / "odd name").mkdir()
    good = queue.submit("true")
    assert good == "13"
    assert queue.wait(good).state is JobState.COMPLETED
    states = queue.states("1", "2", "10", "11", "12", "13")
    assert {i: s.state for i, s in states.items()} == {
        "1": JobState.LOST,
        "2": JobState.UNKNOWN,
        "10": JobState.LOST,
        "11": JobState.LOST,
        "12": JobState.LOST,
        "13": JobState.COMPLETED,
    }
    assert all(states[i].reason for i in ("1", "2", "10", "11", "12"))


def test_a_damaged_state(queue: RealQueue) -> None:
    """While the job runs, its damaged state is UNKNOWN; then the supervisor writes a whole one."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    (queue.root / "active" / job_id / "state.json").write_text("{")
    assert queue.status(job_id).state is JobState.UNKNOWN
    (node,) = converse(queue.scheduler.nodes())
    assert node.cores_used == 1
    go(queue)
    assert queue.wait(job_id).state is JobState.COMPLETED


def test_a_damaged_state_without_a_job(queue: RealQueue) -> None:
    """A damaged state behind which nothing runs is marked as lost."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    queue.kill_daemon()
    queue.end_everything()
    (queue.root / "active" / job_id / "state.json").write_text('{"format": 1, "state": "ODD"}')
    status = queue.wait(job_id)
    assert (status.state, status.reason) == (JobState.LOST, "its record is damaged")


def test_a_daemon_that_lost_its_record(queue: RealQueue) -> None:
    """A daemon whose record somebody removed writes another one, and still leaves when idle."""
    queue.environment["PANGEO_LOCALQUEUE_IDLE"] = "1 second"
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    before = queue.daemon()
    (queue.root / "daemon.json").unlink()
    until(queue.daemon, "a daemon")
    go(queue)
    queue.wait(job_id)
    until(lambda: not queue.processes(), "all to leave")
    assert before is not None
    assert not (queue.root / "daemon.json").exists()


def test_only_one_daemon(queue: RealQueue) -> None:
    """A second daemon sees that there is one, and leaves; told to end, one leaves at once."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    before = queue.daemon()
    assert before is not None
    assert queue.call("serve").returncode == 0
    assert queue.daemon() == before
    go(queue)
    queue.wait(job_id)
    os.kill(before.pid, signal.SIGTERM)
    until(lambda: not queue.processes(), "the daemon to leave")


def test_a_removed_queue(queue: RealQueue) -> None:
    """Nothing stays on the machine when the folder of the queue is removed."""
    job_id = queue.submit(WAIT_FOR_GO)
    queue.wait(job_id, JobState.RUNNING)
    queue.root.rename(queue.folder / "away")
    until(lambda: not queue.processes(), "all to leave")


def test_a_queue_of_another_host(queue: RealQueue) -> None:
    """Where hosts share a home, jobs of another one are not taken as dead."""
    queue.submit("true")
    queue.wait("1")
    queue.kill_daemon()
    path = queue.root / "daemon.json"
    record = json.loads(path.read_text())
    record["process"] |= {"host": "login2", "boot": "another"}
    path.write_text(json.dumps(record))
    with pytest.raises(SchedulerUnreachable, match="being run on login2"):
        queue.status("1")
    past = time.time() - 600
    os.utime(path, (past, past))
    assert queue.status("1").state is JobState.COMPLETED


def test_a_held_lock(queue: RealQueue) -> None:
    """A queue that is busy for too long has not answered; that is not a refusal."""
    second = queue.store
    with (
        queue.store.locked(),
        pytest.raises(SchedulerUnreachable, match="busy") as caught,
        second.locked(timeout=0.05),
    ):
        raise AssertionError("two held the lock")
    assert caught.value.retry


def test_a_folder_that_cannot_be(queue: RealQueue) -> None:
    """A queue below a plain file is refused in words."""
    queue.root = queue.write("true") / "queue"
    done = queue.call("status")
    assert done.returncode == 5
    assert "cannot hold a queue" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_private(queue: RealQueue) -> None:
    """A queue in a folder that others can enter is refused, with the remedy."""
    queue.root.mkdir(mode=0o755)
    queue.root.chmod(0o755)
    done = queue.call("submit", str(queue.write("true")))
    assert done.returncode == 5
    assert "chmod 0700" in done.stderr
