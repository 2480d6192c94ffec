"""What Slurm's queue and history say about jobs, as it was recorded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pangeo_hpc.errors import CommandMissing, SchedulerError, SchedulerUnreachable
from pangeo_hpc.run import Command, Recorder, Result, converse
from pangeo_hpc.schedulers.base import JobState, SchedulerOptions
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.schedulers.slurm_ids import IDS_PER_CALL
from pangeo_hpc.schedulers.slurm_parse import QUEUE_WIDTHS, parse_history, parse_queue
from pangeo_hpc.schedulers.slurm_text import STATES, memory, state_of, walltime
from tests.recordings.slurm_steps import asked, failure, ids, replay

slurm = Slurm(SchedulerOptions())


def row(**values: str) -> str:
    """Return a row of squeue's answer."""
    plain = {"JobArrayID": "12", "State": "RUNNING", "exit_code": "0", "RestartCnt": "0"}
    return (
        "".join(
            f"{(plain | values).get(name, ''):<{width}}|" for name, width in QUEUE_WIDTHS.items()
        )
        + "\n"
    )


def past(*rows: str) -> str:
    return "".join(f"{text}\n" for text in rows)


@pytest.fixture(scope="module")
def queue():
    known = replay("20", slurm.status(list(ids("20").values())))
    return {label: known[job_id] for label, job_id in ids("20").items()}


@pytest.fixture(scope="module")
def ends():
    known = parse_history(asked("30", "sacct").stdout)
    return {label: known[job_id] for label, job_id in ids("30").items()}


def test_a_running_job(queue):
    """Nodes, cores, walltime and times are there; times are aware and in UTC."""
    job = queue["running"]
    assert (job.nodes, job.cores, job.walltime) == (("c1", "c2"), 2, timedelta(minutes=5))
    assert (job.user, job.queue, job.word, job.reason) == ("alice", "compute", "RUNNING", "")
    assert job.started is not None
    assert job.submitted is not None
    assert timedelta(0) <= job.started - job.submitted < timedelta(seconds=30)
    assert job.started.tzinfo is UTC
    assert (job.estimated_start, job.ended, job.exit_code, job.signal) == (None,) * 4


def test_why_jobs_wait(queue):
    """Each waiting job tells its reason in Slurm's words, also one that never will begin."""
    down = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority"
    assert {label: job.reason for label, job in queue.items() if job.state.waiting} == {
        "held": "JobHeldUser",
        "held-by-admin": "JobHeldAdmin",
        "dependency": "Dependency",
        "never": "DependencyNeverSatisfied",
        "begin": "BeginTime",
        "requeued": "BeginTime",
        "requeue-hold": "job requeued in held state",
        "too-long": "PartitionTimeLimit",
        "down": f"{down} partitions",
        "big": "Resources",
    }


def test_when_jobs_begin(queue):
    """Where Slurm plans ahead, the expected start is told, and never taken for a real one."""
    big = queue["big"]
    assert big.started is None
    assert big.estimated_start == queue["running"].started + timedelta(minutes=5)
    assert queue["held"].estimated_start is None
    assert queue["requeued"].restarts == 1


def test_an_ended_job_that_the_queue_still_knows(queue):
    """For some minutes the queue tells how a job ended."""
    job = queue["fails"]
    assert (job.state, job.exit_code, job.reason) == (JobState.FAILED, 3, "NonZeroExitCode")
    assert job.ended is not None


@pytest.mark.parametrize(
    ("label", "state", "code", "signal"),
    [
        ("done", JobState.COMPLETED, 0, None),
        ("exit-3", JobState.FAILED, 3, None),
        ("killed", JobState.FAILED, None, 9),
        ("memory", JobState.OUT_OF_MEMORY, None, None),
        ("memory-in-child", JobState.OUT_OF_MEMORY, None, None),
        ("memory-in-step", JobState.OUT_OF_MEMORY, 7, None),
        ("step-failed", JobState.COMPLETED, 0, None),
        ("cancelled", JobState.CANCELLED, None, 15),
        ("cancelled-by-admin", JobState.CANCELLED, None, 15),
        ("cancelled-pending", JobState.CANCELLED, None, None),
        ("deadline", JobState.CANCELLED, None, None),
        ("no-folder", JobState.FAILED, None, None),
        # slurmdbd takes 128 away: this was `exit 137`; the job's own exit file knows better
        ("exit-137", JobState.FAILED, 9, None),
        ("child-killed", JobState.FAILED, 11, None),
    ],
)
def test_how_jobs_end(ends, label, state, code, signal):
    """State, exit code and signal are told apart; what is not the script's own is not told."""
    job = ends[label]
    assert (job.state, job.exit_code, job.signal) == (state, code, signal)
    assert job.ended is not None


def test_what_a_job_used(ends):
    """The memory is the most that any of its steps had; nodes and times are the job's own."""
    job = ends["memory-used"]
    assert 100_000_000 < job.memory_used < 200_000_000
    assert timedelta(seconds=5) < job.ended - job.started < timedelta(seconds=15)
    assert (job.nodes, job.cores, job.user) == (("c1",), 1, "alice")
    assert job.walltime == timedelta(minutes=5)


def test_jobs_that_never_began(ends):
    """They have no start and no nodes, whatever sacct writes there, and no stale reason."""
    for label in ("cancelled-pending", "deadline"):
        job = ends[label]
        assert (job.started, job.nodes, job.reason) == (None, (), "")
    assert ends["cancelled"].word == "CANCELLED by 1001"


def test_output_that_cannot_be_opened(ends):
    """Slurm calls it signal 53, in both places; we say what it means."""
    assert ends["no-folder"].reason == "its output file could not be opened"
    known = parse_queue(asked("30", "squeue").stdout)[ids("30")["no-folder"]]
    assert known.reason == "its output file could not be opened"
    assert (known.exit_code, known.signal) == (None, None)


def test_walltime():
    """A job that is over its walltime is a TIMEOUT, even if it catches the signal and exits 0."""
    known = parse_history(asked("30", "sacct", -1).stdout)
    killed, caught = (known[ids("30")[label]] for label in ("walltime", "walltime-caught"))
    assert (killed.state, killed.exit_code, killed.signal) == (JobState.TIMEOUT, None, 15)
    assert (caught.state, caught.exit_code, caught.signal) == (JobState.TIMEOUT, None, None)


def test_the_queue_tells_high_exit_codes():
    """squeue gives the bits of wait(2), and those are right above 128 too."""
    known = parse_queue(asked("30", "squeue").stdout)
    found = {label: known[job_id] for label, job_id in ids("30").items()}
    assert found["exit-137"].exit_code == 137
    assert found["child-killed"].exit_code == 139
    assert (found["killed"].exit_code, found["killed"].signal) == (None, 9)
    assert (found["memory"].exit_code, found["memory"].reason) == (None, "OutOfMemory")
    assert found["cancelled-pending"].reason == ""
    assert found["deadline"].exit_code is None


def test_node_failure():
    """A lost node is told as such; a requeued job keeps its id and counts its restarts."""
    known = replay("31", slurm.status(list(ids("31").values())))
    found = {label: known[job_id] for label, job_id in ids("31").items()}
    assert found["lost"].state is JobState.NODE_FAIL
    assert (found["moved"].state, found["moved"].restarts) == (JobState.PENDING, 1)
    again = parse_history(asked("31", "sacct", -1).stdout)[ids("31")["twice"]]
    assert (again.state, again.exit_code) == (JobState.FAILED, 4)


def test_preemption():
    """A job that had to make way is PREEMPTED."""
    job = replay("32", slurm.history([ids("32")["victim"]]))[ids("32")["victim"]]
    assert (job.state, job.exit_code, job.signal) == (JobState.PREEMPTED, None, 15)


def test_elements_that_were_asked_for():
    """An element is asked for by itself, an array with all of its elements, in one call."""
    array, throttled = ids("22")["array"], ids("22")["throttled"]
    wanted = [f"{array}_3", f"{array}_0", throttled]
    known = replay("22", slurm.status(wanted))
    assert sorted(known) == sorted(
        [f"{array}_3", f"{array}_0", *(f"{throttled}_{index}" for index in (0, 3, 6, 9))]
    )


def test_an_element_within_a_group():
    """sacct does not find a waiting element by its own id, so its array is asked for."""
    array = ids("22")["array"]
    known = replay("22", slurm.history([f"{array}_1", f"{array}_8"]))
    assert {job_id: job.state for job_id, job in known.items()} == {
        f"{array}_1": JobState.FAILED,
        f"{array}_8": JobState.PENDING,
    }


def test_history_while_slurmdbd_is_away():
    """What slurmctld remembers is told; a job it does not know is no news, never an end."""
    known = replay("72", slurm.history([ids("72")["ended"], ids("72")["running"]]))
    assert [job.state for job in known.values()] == [JobState.FAILED, JobState.RUNNING]
    error = failure(lambda: replay("72", slurm.history([ids("72")["ended"], "99999"])))
    assert isinstance(error, SchedulerUnreachable)
    assert "Connection refused" in error.text


def test_history_without_slurmctld():
    """What sacct does not know as ended is no news while the queue cannot be asked."""
    error = failure(lambda: replay("70", slurm.history([ids("70")["running"]])))
    assert isinstance(error, SchedulerUnreachable)


def test_sacct_is_not_there():
    """The queue answers in its place."""

    def runner(command: Command) -> Result:
        if command.argv[0] == "sacct":
            raise CommandMissing("sacct: command not found")
        return Result(command.argv, 0, row(State="FAILED", exit_code="768"))

    known = converse(slurm.history(["12"]), runner)
    assert known["12"].exit_code == 3


def test_the_queue_is_newer_than_the_history():
    """slurmdbd hears of an end some seconds late: the queue's word counts."""
    late = "12|RUNNING|0:0|alice|compute|1|1795318472|1795318472|Unknown|00:05:00||c1|None"
    answers = [
        Result((), 0, past(late)),
        Result((), 0, row(State="COMPLETED", NodeList="c1", StartTime="1795318472")),
    ]
    assert converse(slurm.history(["12"]), Recorder(answers))["12"].state is JobState.COMPLETED


def test_history_asks_once():
    """Where sacct knows every end, nothing else is asked."""
    runner = Recorder([asked("32", "sacct")])
    converse(slurm.history([ids("32")["victim"]]), runner)
    assert len(runner.commands) == 1


def test_many_jobs_in_few_calls():
    """One call for hundreds of jobs; thousands are asked for in groups."""
    wanted = [str(number) for number in range(2 * IDS_PER_CALL + 1)]
    runner = Recorder([Result((), 0)] * 3)
    assert converse(slurm.status(wanted), runner) == {}
    groups = [command.argv[command.argv.index("-j") + 1].split(",") for command in runner.commands]
    assert [job_id for group in groups for job_id in group] == wanted


def test_how_squeue_is_asked():
    """All states, hidden queues, elements one by one, times in seconds and never a job's name."""
    runner = Recorder([Result((), 0)])
    converse(slurm.status(["12"]), runner)
    (command,) = runner.commands
    assert command.argv[:9] == ("squeue", "-h", "-a", "-t", "all", "-r", "-j", "12", "-O")
    assert "Name" not in command.argv[9].replace("UserName", "")
    assert command.environment["SLURM_TIME_FORMAT"] == "%s"


def test_jobs_of_others_are_not_told():
    """Whatever else squeue prints, only what was asked for is told."""
    runner = Recorder([Result((), 0, row() + row(JobArrayID="13") + row(JobArrayID="12_1"))])
    assert set(converse(slurm.status(["12"]), runner)) == {"12", "12_1"}


def test_banners_between_rows():
    """A line that is no row is not a job, and hides none."""
    text = "Welcome | to | Alpha\n" + row() + "maintenance on Monday\n" + row(JobArrayID="13")
    assert set(parse_queue(text)) == {"12", "13"}


@pytest.mark.parametrize("share", range(1, 20))
def test_an_answer_that_was_cut(share):
    """It is an error to retry: no job may be missing because a pipe broke."""
    whole = asked("20", "squeue")
    short = replace(whole, stdout=whole.stdout[: len(whole.stdout) * share // 20])
    if short.stdout.endswith("\n"):
        pytest.skip("cut between two rows")
    with pytest.raises(SchedulerUnreachable, match="cut off"):
        converse(slurm.status(list(ids("20").values())), Recorder([short]))


def test_an_error_with_exit_status_0():
    """With several clusters squeue is content although one did not answer."""
    silent = Result(("squeue",), 0, "", "squeue: error: 'alpha' can't be reached now, or it is …\n")
    with pytest.raises(SchedulerUnreachable):
        converse(slurm.status(["12"]), Recorder([silent]))


@pytest.mark.parametrize(
    "words",
    [
        "slurm_load_jobs error: Zero Bytes were transmitted or received",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: a sentence that nobody has seen before",
        "",
    ],
)
def test_a_failed_query_is_no_news(words):
    """Known or not, an error of squeue ends no job."""
    with pytest.raises(SchedulerUnreachable) as caught:
        converse(slurm.status(["12"]), Recorder([Result(("squeue",), 1, "", words)]))
    assert caught.value.retry
    assert caught.value.hint


def test_no_configuration():
    """Commands without their slurm.conf are told as what they are."""
    words = "squeue: error: fetch_config: DNS SRV lookup failed\nsqueue: fatal: Could not establish"
    result = Result(("squeue",), 1, "", f"{words} a configuration source\n")
    with pytest.raises(SchedulerUnreachable, match="SLURM_CONF"):
        converse(slurm.status(["12"]), Recorder([result]))


def test_a_wrong_question_is_not_retried():
    """An option that this Slurm does not know will not be known later either."""
    result = Result(
        ("squeue",), 1, "", "squeue: unrecognized option '--x'\nTry \"squeue --help\"\n"
    )
    with pytest.raises(SchedulerError) as caught:
        converse(slurm.status(["12"]), Recorder([result]))
    assert not caught.value.retry
    assert "Try" not in caught.value.text


def test_every_word_is_known():
    """Each state of Slurm's manual has its place, a new one stays unknown and alive."""
    manual = (
        "BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL "
        "OUT_OF_MEMORY PENDING PREEMPTED RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED "
        "RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED TIMEOUT"
    )
    assert set(manual.split()) <= set(STATES)
    assert state_of("CANCELLED by 1001") is JobState.CANCELLED
    assert state_of("DREAMING") is JobState.UNKNOWN
    assert state_of("") is JobState.UNKNOWN
    assert state_of("PENDING", "launch failed requeued held") is JobState.HELD


def test_a_host_list_that_is_too_long():
    """squeue cuts what is wider than its column: no hosts are better than wrong ones."""
    known = parse_queue(row(NodeList="c[" + "1,3," * 130))
    assert known["12"].nodes == ()
    assert parse_queue(row(NodeList="c[1,3"))["12"].nodes == ()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("10:00", timedelta(minutes=10)),
        ("1:00:00", timedelta(hours=1)),
        ("7-00:00:00", timedelta(days=7)),
        ("UNLIMITED", None),
        ("Partition_Limit", None),
        ("", None),
    ],
)
def test_walltimes(text, time):
    """Slurm leaves out what is zero in front."""
    assert walltime(text) == time


@pytest.mark.parametrize(
    ("text", "size"),
    [("109617152", 109617152), ("3232K", 3309568), ("1.5G", 1610612736), ("0", 0), ("", None)],
)
def test_sizes(text, size):
    """Whole bytes, or a unit of 1024."""
    assert memory(text) == size


def test_the_last_record_counts():
    """A job that was requeued may be there more than once."""
    first = "12|NODE_FAIL|0:0|alice|c|1|1795318472|1795318472|1795318480|00:05:00||c1|None"
    batch = "12.batch|CANCELLED|0:9|||1|1795318472|1795318472|1795318480||99999|c1|"
    last = "12|COMPLETED|0:0|alice|c|1|1795318490|1795318500|1795318510|00:05:00||c2|None"
    job = parse_history(past(first, batch, last))["12"]
    assert (job.state, job.nodes, job.memory_used) == (JobState.COMPLETED, ("c2",), None)
    assert job.started == datetime.fromtimestamp(1795318500, UTC)


@pytest.mark.parametrize(
    ("state", "waited_for", "reason"),
    [
        ("CANCELLED", "Dependency", "DependencyNeverSatisfied"),
        ("CANCELLED by 1001", "Dependency", ""),
        ("CANCELLED", "Priority", ""),
        ("COMPLETED", "Dependency", ""),
        ("PENDING", "Dependency", "Dependency"),
    ],
)
def test_cancelled_because_it_waited_in_vain(state: str, waited_for: str, reason: str) -> None:
    """Whom Slurm cancelled itself while it waited for others, it did for that (22.05)."""
    text = past(f"2|{state}|0:0|alice|compute|0|1|None|2|10||None assigned|{waited_for}")
    assert parse_history(text)["2"].reason == reason


def test_the_queue_says_so_too() -> None:
    """Without accounting the queue's reason is kept, as long as it has the job."""
    told = row(State="CANCELLED", Reason="DependencyNeverSatisfied")
    assert parse_queue(told)["12"].reason == "DependencyNeverSatisfied"
    assert parse_queue(row(State="CANCELLED", Reason="JobHeldUser"))["12"].reason == ""
