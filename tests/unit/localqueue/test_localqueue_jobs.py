"""Jobs run, end, and are told about as they truly ended. Real processes."""

import os
import re
import stat
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import SubmitRefused
from pangeo_hpc.run import converse
from pangeo_hpc.schedulers.base import JobRequest, JobState, NodeState
from pangeo_hpc.units import GIB, MIB
from tests.unit.localqueue.conftest import RealQueue, until

REQUEST = JobRequest(
    name="ndvi-x7k2",
    command=("/bin/echo", "it's $HOME"),
    cores=1,
    memory=200 * MIB,
    walltime=timedelta(seconds=20),
)


def test_a_job_completes(queue: RealQueue, tmp_path: Path) -> None:
    """A request goes in, its command runs once, and its facts come back."""
    request = replace(
        REQUEST,
        output=tmp_path / "new folder" / "{id}.log",
        exit_file=tmp_path / "exit",
        environment={"TOKEN": "a b"},
    )
    job_id = queue.submit_request(request)
    assert job_id == "1"
    status = queue.wait(job_id)
    assert status.state is JobState.COMPLETED
    assert (status.name, status.exit_code, status.signal) == ("ndvi-x7k2", 0, None)
    assert status.nodes == (os.uname().nodename,)
    assert status.queue == "local"
    assert status.cores == 1
    assert status.walltime == timedelta(seconds=20)
    assert status.submitted and status.started and status.ended
    assert status.submitted <= status.started <= status.ended
    assert abs(datetime.now(UTC) - status.ended) < timedelta(minutes=1)
    assert (tmp_path / "new folder" / "1.log").read_text() == "it's $HOME\n"
    assert (tmp_path / "exit").read_text() == "0\n"
    assert converse(queue.scheduler.history([job_id])) == {job_id: status}


def test_a_failing_job(queue: RealQueue) -> None:
    """Exit status and reason are the script's."""
    status = queue.wait(queue.submit("exit 7"))
    assert (status.state, status.exit_code) == (JobState.FAILED, 7)
    assert status.reason == "exit status 7"


def test_a_job_ended_by_a_signal(queue: RealQueue) -> None:
    """A signal is no exit status."""
    status = queue.wait(queue.submit("kill -USR1 $$"))
    assert (status.state, status.exit_code, status.signal) == (JobState.FAILED, None, 10)
    assert status.reason == "ended by SIGUSR1"


def test_what_a_job_finds(queue: RealQueue, tmp_path: Path) -> None:
    """A job has its own variables, its submitter's directory, and nothing of the daemon's."""
    job_id = queue.submit("env -0 > env; pwd", "--cores=2", "--name=n 1", "--walltime=00:00:30")
    started = queue.wait(job_id).started
    found = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().split("\0") if line)
    facts = queue.scheduler.allocation(found)
    assert facts is not None and started is not None and facts.ends is not None
    assert (facts.job_id, facts.cores, facts.memory) == (job_id, 2, GIB)
    assert facts.nodes == (os.uname().nodename,)
    assert facts.started == started.replace(microsecond=0)
    assert facts.ends - started < timedelta(seconds=31)
    assert found["PANGEO_LOCALQUEUE_JOBNAME"] == "n 1"
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["USER"] == found["LOGNAME"]
    assert found["HOME"] == str(queue.home)
    assert "PYTHONPATH" not in found
    assert "PANGEO_LOCALQUEUE_TOTAL_CORES" not in found
    assert queue.output(job_id) == f"{tmp_path}\n"


def test_the_kernel_ends_jobs_first(queue: RealQueue) -> None:
    """When the whole machine is short of memory, jobs go before their supervisors."""
    job_id = queue.submit("sleep 0.3; cat /proc/self/oom_score_adj")
    queue.wait(job_id)
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(queue.output(job_id)) == min(1000, ours + 300)


def test_bash_is_a_login_shell(queue: RealQueue) -> None:
    """Batch systems run login shells, so that `module` is there."""
    job_id = queue.submit("shopt -q login_shell && echo login")
    queue.wait(job_id)
    assert queue.output(job_id) == "login\n"


def test_another_interpreter(queue: RealQueue) -> None:
    """The program of the #! line runs the script, which need not be executable."""
    job_id = queue.submit(f"#!{sys.executable} -I\nimport sys; print(sys.flags.isolated)")
    queue.wait(job_id)
    assert queue.output(job_id) == "1\n"


def test_an_interpreter_that_is_not_there(queue: RealQueue) -> None:
    """What cannot be started has failed, and says why."""
    status = queue.wait(queue.submit("#!/no/such/program\n"))
    assert status.state is JobState.FAILED
    assert "/no/such/program" in status.reason


def test_the_script_is_copied(queue: RealQueue) -> None:
    """What was submitted runs, whatever becomes of the file afterwards."""
    first = queue.submit("until test -e go; do sleep 0.05; done", "--cores=2", name="first.sh")
    second = queue.submit("echo old", name="second.sh")
    queue.write("echo new", name="second.sh")
    (queue.folder / "go").touch()
    queue.wait(first)
    queue.wait(second)
    assert queue.output(second) == "old\n"


def test_the_command_line_wins(queue: RealQueue) -> None:
    """A script alone is enough; options of the command line are stronger."""
    header = "#LOCAL --name=from-header --cores=2\n#LOCAL --memory=100M --walltime=00:10:00\ntrue"
    job_id = queue.submit(header, "--cores=1", "--name=from-line")
    status = queue.wait(job_id)
    assert (status.name, status.cores) == ("from-line", 1)
    assert status.walltime == timedelta(minutes=10)


def test_walltime_ends_a_job(queue: RealQueue) -> None:
    """After its walltime a job gets SIGTERM, and time to say goodbye."""
    body = "trap 'echo bye; exit 3' TERM; echo up; while true; do sleep 0.1; done"
    job_id = queue.submit(body, "--walltime=00:00:01")
    status = queue.wait(job_id)
    assert status.state is JobState.TIMEOUT
    assert status.exit_code == 3
    assert "00:00:01" in status.reason
    assert status.ended and status.started
    assert timedelta(seconds=0.9) < status.ended - status.started < timedelta(seconds=8)
    assert queue.output(job_id).splitlines()[::2] == ["up", "bye"]


def test_walltime_ends_a_deaf_job(queue: RealQueue) -> None:
    """Who ignores SIGTERM is killed after the grace, with every descendant."""
    forever = "while true; do sleep 0.1; done"
    body = f"trap '' TERM; (trap '' TERM; {forever}) & {forever}"
    status = queue.wait(queue.submit(body, "--walltime=00:00:01"))
    assert (status.state, status.signal) == (JobState.TIMEOUT, 9)
    assert not queue.jobs_processes()


HOG = f"""#!{sys.executable}
import sys, time
held = bytearray({{size}} * 2**20)
print("held", flush=True)
time.sleep(60)
"""


def test_memory_ends_a_job(queue: RealQueue) -> None:
    """A job over its memory is killed and says so, with the amounts."""
    status = queue.wait(queue.submit(HOG.format(size=200), "--memory=100M"))
    assert status.state is JobState.OUT_OF_MEMORY
    assert status.signal == 9
    assert re.fullmatch(r"used [12]\d\d(\.\d)? MiB of 100 MiB", status.reason)
    assert status.memory_used is not None and status.memory_used > 100 * MIB


def test_memory_counts_the_tree(queue: RealQueue) -> None:
    """Children that detach themselves count too; each of these alone would be within the limit."""
    body = f"""#!{sys.executable}
import os, time
for number in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            held = bytearray(60 * 2**20)
            time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
    status = queue.wait(queue.submit(body, "--memory=120M"))
    assert status.state is JobState.OUT_OF_MEMORY
    assert not queue.jobs_processes()


def test_shared_memory_counts_once(queue: RealQueue) -> None:
    """Pages that forked children share with their parent do not count several times."""
    body = f"""#!{sys.executable}
import os, time
held = bytearray(60 * 2**20)
for number in range(4):
    if os.fork() == 0:
        time.sleep(1.5)
        os._exit(0)
for number in range(4):
    os.wait()
"""
    status = queue.wait(queue.submit(body, "--memory=150M"))
    assert status.state is JobState.COMPLETED
    assert status.memory_used is not None and 60 * MIB < status.memory_used < 140 * MIB


def test_what_a_script_leaves_behind_is_ended(queue: RealQueue) -> None:
    """A job has ended when nothing of it is left, also what forked twice and changed session."""
    body = f"""#!{sys.executable}
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for variable in list(os.environ):
            del os.environ[variable]
        os.execl("/bin/sleep", "sleep", "61.5")
    os._exit(0)
os.wait()
"""
    status = queue.wait(queue.submit(body))
    assert status.state is JobState.COMPLETED
    assert not [p for p in _all_commands() if p == ["sleep", "61.5"]]


def test_cancel_ends_the_whole_tree(queue: RealQueue, tmp_path: Path) -> None:
    """Cancelling leaves no process, not even one that hid itself; the end is told as such."""
    body = f"""#!{sys.executable}
import os, pathlib, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path("deep").write_text(str(os.getpid()))
        os.execve("/bin/sleep", ["sleep", "62.5"], {{}})
    os._exit(0)
time.sleep(60)
"""
    job_id = queue.submit(body)
    until((tmp_path / "deep").exists, "the tree to stand")
    assert converse(queue.scheduler.cancel([job_id])) == {}
    status = queue.wait(job_id)
    assert (status.state, status.signal) == (JobState.CANCELLED, 15)
    assert ["sleep", "62.5"] not in _all_commands()
    assert not queue.jobs_processes()
    assert converse(queue.scheduler.cancel([job_id, "999", "junk"])) == {
        "junk": "not a job id of the local queue"
    }


def test_cancel_a_waiting_job(queue: RealQueue) -> None:
    """A job that waits is cancelled at once and never runs."""
    first = queue.submit("sleep 60", "--cores=2")
    second = queue.submit("touch ran")
    converse(queue.scheduler.cancel([second]))
    status = queue.status(second)
    assert (status.state, status.started) == (JobState.CANCELLED, None)
    converse(queue.scheduler.cancel([first]))
    queue.wait(first)
    assert not (queue.folder / "ran").exists()


def test_an_array(queue: RealQueue) -> None:
    """Elements run by themselves, know their index, and are asked together or alone."""
    job_id = queue.submit(
        "echo $PANGEO_LOCALQUEUE_INDEX; exit $PANGEO_LOCALQUEUE_INDEX", "--array=3"
    )
    for index in range(3):
        queue.wait(f"{job_id}_{index}")
    states = {i: (s.state, s.exit_code) for i, s in queue.states(job_id).items()}
    assert states == {
        "1_0": (JobState.COMPLETED, 0),
        "1_1": (JobState.FAILED, 1),
        "1_2": (JobState.FAILED, 2),
    }
    for index in range(3):
        assert (queue.folder / f"local-1.out.{index}").read_text() == f"{index}\n"


def test_cancel_one_element(queue: RealQueue) -> None:
    """One element is cancelled, the others go on."""
    job_id = queue.submit("until test -e go; do sleep 0.05; done", "--array=2")
    queue.wait("1_0", JobState.RUNNING)
    converse(queue.scheduler.cancel(["1_1"]))
    assert queue.wait("1_1").state is JobState.CANCELLED
    (queue.folder / "go").touch()
    assert queue.wait("1_0").state is JobState.COMPLETED
    assert job_id == "1"


def test_dependencies(queue: RealQueue) -> None:
    """A job starts when those before it completed, and never if one of them did not."""
    first = queue.submit("until test -e go; do sleep 0.05; done; echo one > order")
    second = queue.submit("echo two >> order", f"--after={first}")
    bad = queue.submit("exit 1")
    never = queue.submit("touch ran", f"--after={second},{bad}")
    and_then = queue.submit("touch ran", f"--after={never}")
    waiting = queue.status(second)
    assert (waiting.state, waiting.reason) == (
        JobState.PENDING,
        f"waits for job {first} to complete",
    )
    (queue.folder / "go").touch()
    assert queue.wait(second).state is JobState.COMPLETED
    assert (queue.folder / "order").read_text() == "one\ntwo\n"
    assert queue.wait(never).state is JobState.CANCELLED
    assert queue.wait(never).reason.startswith("DependencyNeverSatisfied")
    assert queue.wait(and_then).reason.startswith("DependencyNeverSatisfied")
    assert not (queue.folder / "ran").exists()


def test_jobs_that_follow_failures(queue: RealQueue) -> None:
    """A job starts when those before it ended otherwise, and never if one of them completed."""
    first = queue.submit("until test -e go; do sleep 0.05; done; echo one > order; exit 75")
    second = queue.submit("echo two >> order", f"--after-failure={first}")
    third = queue.submit("touch ran", f"--after-failure={first},{second}")
    waiting = queue.status(third)
    assert (waiting.state, waiting.reason) == (
        JobState.PENDING,
        f"waits for job {first}, {second} to end",
    )
    (queue.folder / "go").touch()
    assert queue.wait(second).state is JobState.COMPLETED
    assert (queue.folder / "order").read_text() == "one\ntwo\n"
    assert queue.wait(third).state is JobState.CANCELLED
    assert queue.wait(third).reason == f"DependencyNeverSatisfied: {second} completed"
    assert not (queue.folder / "ran").exists()
    after_cancel = queue.submit("echo three >> order", f"--after-failure={third}")
    assert queue.wait(after_cancel).state is JobState.COMPLETED


def test_jobs_that_follow_any_end(queue: RealQueue) -> None:
    """A job starts when those before it ended, whether they failed or were dropped; not before."""
    first = queue.submit("until test -e go; do sleep 0.05; done; echo one > order; exit 3")
    dropped = queue.submit("touch ran", f"--after={first}")
    last = queue.submit("echo two >> order", f"--after-end={first},{dropped}")
    waiting = queue.status(last)
    assert waiting.reason == f"waits for job {first}, {dropped} to end"
    (queue.folder / "go").touch()
    assert queue.wait(last).state is JobState.COMPLETED
    assert queue.status(dropped).state is JobState.CANCELLED
    assert (queue.folder / "order").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cores=3"], "asks for 3 cores, this machine has 2"),
        (["--memory=5GiB"], "asks for 5 GiB of memory, this machine has 4 GiB"),
        (["--nodes=2"], "asks for 2 nodes"),
        (["--gpus=1"], "GPUs"),
        (["--queue=long"], "no queue 'long'"),
        (["--after=77"], "knows no job 77"),
    ],
)
def test_what_can_never_run_is_refused(queue: RealQueue, options: list[str], words: str) -> None:
    """A job this machine can never run is refused at once, in words."""
    done = queue.call("submit", *options, str(queue.write("true")))
    assert (done.returncode, done.stdout) == (4, "")
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert queue.answer("status")["jobs"] == []


def test_all_reasons_at_once(queue: RealQueue) -> None:
    """A refusal names everything that is wrong."""
    with pytest.raises(SubmitRefused) as caught:
        queue.submit_request(replace(REQUEST, cores=4, memory=5 * GIB, nodes=2))
    assert all(word in caught.value.text for word in ("4 cores", "5 GiB", "2 nodes"))
    assert caught.value.hint


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cores=0", "job.sh"],
        ["--cores=many", "job.sh"],
        ["--memory=4", "job.sh"],
        ["--walltime=90", "job.sh"],
        ["--unknown=1", "job.sh"],
        ["nowhere.sh"],
        ["."],
        ["bad-header.sh"],
        ["binary"],
    ],
)
def test_wrong_calls(queue: RealQueue, arguments: list[str]) -> None:
    """A call that cannot work ends with 2 and one message, no traceback."""
    queue.write("true")
    queue.write("#LOCAL --wall=1\ntrue", name="bad-header.sh")
    (queue.folder / "binary").write_bytes(b"\x7fELF\0\0\0")
    done = queue.call("submit", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_find_by_name(queue: RealQueue) -> None:
    """A job is found by its exact name, whether it runs or has ended."""
    first = queue.submit("true", "--name=clim-x7k2")
    queue.submit("true", "--name=clim-x7k22")
    array = queue.submit("true", "--name=many-aaaa", "--array=2")
    queue.wait(first)
    names = queue.answer("status", "--name=clim-x7k2")["jobs"]
    assert [job["id"] for job in names] == [first]
    find = queue.scheduler.find
    assert converse(find("clim-x7k2", names[0]["user"])) == (first,)
    assert converse(find("many-aaaa", "somebody-else")) == ()
    assert converse(find("many-aaaa", names[0]["user"])) == (array,)
    assert converse(find("nobody-zzzz", names[0]["user"])) == ()


def test_the_machine(queue: RealQueue) -> None:
    """The one node tells what jobs have of it, and the queue its limits."""
    scheduler = queue.scheduler
    (idle,) = converse(scheduler.nodes())
    assert (idle.state, idle.cores, idle.memory) == (NodeState.IDLE, 2, 4 * GIB)
    job_id = queue.submit("sleep 60", "--cores=1", "--memory=300M", "--walltime=00:05:00")
    status = queue.wait(job_id, JobState.RUNNING)
    (node,) = converse(scheduler.nodes())
    assert (node.state, node.cores_used, node.memory_used) == (NodeState.PARTLY, 1, 300 * MIB)
    (one,) = converse(scheduler.queues())
    assert (one.name, one.default, one.max_cores, one.max_memory) == ("local", True, 2, 4 * GIB)
    assert converse(scheduler.accounts("alice")) == ()
    assert len(converse(scheduler.version())) >= 2

    def start(cores: int) -> datetime | None:
        request = replace(REQUEST, cores=cores)
        script = queue.write("\n".join(scheduler.directives(request)))
        return converse(scheduler.estimate(script, request))

    now, later = start(1), start(2)
    assert now is not None and later is not None and status.started is not None
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)
    assert abs(later - status.started - timedelta(minutes=5)) < timedelta(seconds=5)
    assert start(3) is None


def test_files_are_private(queue: RealQueue) -> None:
    """Nobody else can read the queue, its scripts or its log."""
    queue.wait(queue.submit("true"))
    assert stat.S_IMODE(queue.root.stat().st_mode) == 0o700
    for path in queue.root.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_daemon_leaves_when_idle(queue: RealQueue) -> None:
    """Nothing stays on the machine when there is nothing to do."""
    queue.environment["PANGEO_LOCALQUEUE_IDLE"] = "0.3 seconds"
    job_id = queue.submit("true")
    queue.wait(job_id)
    until(lambda: not queue.processes(), "the daemon to leave")
    assert queue.status(job_id).state is JobState.COMPLETED
    assert not queue.processes()


def test_old_jobs_are_forgotten(queue: RealQueue) -> None:
    """Ended jobs are swept after some time; the counter goes on."""
    queue.environment |= {
        "PANGEO_LOCALQUEUE_IDLE": "0.1 seconds",
        "PANGEO_LOCALQUEUE_KEEP": "1 hour",
    }
    old = queue.submit("true")
    queue.wait(old)
    until(lambda: not queue.processes(), "the daemon to leave")
    before = time.time() - 7200
    folder = queue.root / "ended" / old
    for path in (*folder.iterdir(), folder):
        os.utime(path, (before, before))
    new = queue.submit("true")
    until(lambda: queue.states(old) == {}, "the old job to be forgotten")
    assert new == "2"
    assert queue.wait(new).state is JobState.COMPLETED


def _all_commands() -> list[list[str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found.append([word.decode(errors="replace") for word in words if word])
    return found
