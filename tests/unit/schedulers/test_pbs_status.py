"""What each recorded job of PBS was doing, how it ended and why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from pangeo_hpc.errors import SchedulerError, SchedulerUnreachable
from pangeo_hpc.run import Recorder, Result, converse
from pangeo_hpc.schedulers.base import JobState, JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.pbs_jobs import MANY
from pangeo_hpc.schedulers.pbs_parse import hosts, job_status
from pangeo_hpc.schedulers.pbs_text import (
    parse_period,
    parse_size,
    parse_time,
    read_json,
    read_text,
)
from pangeo_hpc.testing import Step, read_transcript

RECORDINGS = Path(__file__).parents[2] / "recordings" / "pbs"
MIB = 2**20
pbs = PBS(SchedulerOptions())


@cache
def steps(case: str) -> tuple[Step, ...]:
    return tuple(read_transcript(next(RECORDINGS.glob(f"{case}-*.txt"))))


def said(case: str, number: int) -> Result:
    return next(step.result for step in steps(case) if step.number == number)


def told(case: str, number: int) -> JobStatus:
    """Return the status of the one job of a recorded JSON answer."""
    records = read_json(said(case, number).stdout, "Jobs")
    assert records is not None
    ((job_id, record),) = records.items()
    return job_status(job_id, record)


def ask(ids: Sequence[str], answers: Sequence[Result], *, history: bool = False) -> Recorder:
    """Carry out a status conversation and return its runner with `.known` added."""
    runner = Recorder(answers)
    conversation = pbs.history(ids) if history else pbs.status(ids)
    runner.known = converse(conversation, runner)  # type: ignore[attr-defined]
    return runner


@pytest.mark.parametrize(
    ("step", "state", "exit_code", "signal", "reason"),
    [
        (2, JobState.COMPLETED, 0, None, ""),
        (6, JobState.FAILED, 3, None, ""),
        (10, JobState.FAILED, 255, None, ""),
        (14, JobState.FAILED, 127, None, ""),
        (18, JobState.FAILED, 127, None, ""),
        (22, JobState.FAILED, None, 9, ""),
        (26, JobState.FAILED, None, 11, ""),
        (30, JobState.FAILED, None, 15, ""),
        (34, JobState.TIMEOUT, None, None, "exceeded its walltime"),
        # it caught SIGTERM at the end of its walltime and exited with 0
        (38, JobState.TIMEOUT, None, None, "exceeded its walltime"),
        (42, JobState.OUT_OF_MEMORY, None, None, "exceeded its memory"),
        (46, JobState.FAILED, None, 9, ""),
        # its output could not be delivered, which does not make it a failure
        (50, JobState.COMPLETED, 0, None, ""),
        (55, JobState.COMPLETED, 0, None, ""),
        (59, JobState.COMPLETED, 0, None, ""),
        (63, JobState.COMPLETED, 0, None, ""),
        (68, JobState.COMPLETED, 0, None, ""),
    ],
)
def test_endings(step, state, exit_code, signal, reason):
    """Success is substate 92 with Exit_status 0; walltime and memory are PBS's own verdicts."""
    status = told("30", step)
    assert (status.state, status.exit_code, status.signal) == (state, exit_code, signal)
    assert status.reason == reason
    assert status.nodes == ("cpu01",)
    assert status.started is not None
    assert status.ended is not None
    assert status.submitted <= status.started <= status.ended


@pytest.mark.parametrize(
    ("case", "step", "state", "reason"),
    [
        ("31", 5, JobState.CANCELLED, "terminated by alice@pbs-login"),
        ("31", 11, JobState.CANCELLED, "terminated by alice@pbs-login"),
        ("31", 18, JobState.CANCELLED, "deleted before it started"),
        ("31", 21, JobState.CANCELLED, "terminated by root@pbs-login"),
        ("20", 34, JobState.CANCELLED, "terminated before it started"),
        ("72", 10, JobState.CANCELLED, "terminated"),
        ("31", 37, JobState.FAILED, ""),
        ("75", 2, JobState.FAILED, "could not start on the node; is the home directory there?"),
        (
            "42",
            3,
            JobState.CANCELLED,
            "its dependency can never be met: afterok:115.pbs-login@pbs-login",
        ),
        (
            "42",
            9,
            JobState.CANCELLED,
            "its dependency can never be met: afternotok:119.pbs-login@pbs-login",
        ),
        (
            "40",
            54,
            JobState.CANCELLED,
            "its dependency can never be met: afterok:999999.pbs-login@pbs-login",
        ),
        ("42", 6, JobState.COMPLETED, ""),
        ("42", 12, JobState.COMPLETED, ""),
        ("42", 15, JobState.COMPLETED, ""),
        ("72", 13, JobState.COMPLETED, ""),
    ],
)
def test_deleted_and_dropped(case, step, state, reason):
    """F/91 is deleted by somebody, F/92 without Exit_status is a dependency that failed."""
    status = told(case, step)
    assert (status.state, status.reason) == (state, reason)
    if state is JobState.CANCELLED:
        assert status.exit_code is None


@pytest.mark.parametrize(
    ("case", "step", "state", "reason"),
    [
        ("10", 3, JobState.RUNNING, ""),
        (
            "20",
            15,
            JobState.PENDING,
            "Not Running: Server per-user limit reached on resource ncpus",
        ),
        (
            "20",
            16,
            JobState.PENDING,
            "Not Running: Insufficient amount of resource: ncpus (R: 12 A: 8 T: 24)",
        ),
        ("20", 17, JobState.HELD, "held by its owner"),
        ("20", 18, JobState.HELD, "waits for afterok:5.pbs-login@pbs-login"),
        ("20", 19, JobState.PENDING, "waits until 2026-11-23 23:59 UTC"),
        ("20", 20, JobState.PENDING, "Not Running: Queue not started."),
        ("20", 29, JobState.HELD, "Job held by root on Sun Nov 22 01:20:21 2026"),
        ("20", 33, JobState.HELD, "waits for afterok:5.pbs-login@pbs-login"),
        (
            "21",
            2,
            JobState.PENDING,
            "Can Never Run: Insufficient amount of resource: ngpus (R: 3 A: 2 T: 2)",
        ),
        ("21", 14, JobState.PENDING, "Not Running: Insufficient amount of resource: mem"),
        ("31", 4, JobState.ENDING, "terminated by alice@pbs-login"),
        ("31", 29, JobState.STARTING, ""),
        ("31", 32, JobState.SUSPENDED, ""),
        ("40", 25, JobState.STARTING, ""),
        ("70", 25, JobState.STARTING, ""),
        ("71", 3, JobState.PENDING, ""),
        ("73", 4, JobState.PENDING, "Not Running: Not enough free nodes available"),
        ("74", 3, JobState.PENDING, ""),
    ],
)
def test_before_the_end(case, step, state, reason):
    """The comment is the only reason for waiting; R with substate 41 is not running yet."""
    status = told(case, step)
    assert (status.state, status.reason) == (state, reason)
    assert status.ended is None
    assert status.exit_code is None
    if state.waiting or state is JobState.STARTING:
        assert status.started is None


def test_facts_of_a_running_job():
    """Names, times in UTC, walltime, memory in bytes and cores are all read."""
    assert told("10", 3) == JobStatus(
        id="0.pbs-login",
        state=JobState.RUNNING,
        word="R",
        name="hello",
        user="alice",
        queue="develop",
        nodes=("cpu01",),
        submitted=datetime(2026, 11, 22, 1, 19, 39, tzinfo=UTC),
        started=datetime(2026, 11, 22, 1, 19, 39, tzinfo=UTC),
        walltime=timedelta(minutes=5),
        memory_used=0,
        cores=1,
    )
    assert told("30", 42).memory_used == 305776 * 1024
    assert told("81", 2).nodes == ("cpu01", "cpu02")
    assert told("81", 2).cores == 4
    assert told("31", 37).restarts == 1
    assert told("41", 7).estimated_start == datetime(2026, 11, 22, 1, 33, 32, tzinfo=UTC)
    assert told("40", 31).walltime == timedelta(0)


def test_the_queue_read_back_is_another():
    """A job given to the routing queue main is seen in regular."""
    assert told("40", 10).queue == "regular"


def test_elements_of_an_array():
    """Each element has its own end; what the whole array says of itself is not used."""
    known = ask(["129[].pbs-login"], [said("50", 28)], history=True).known
    states = {index: known[f"129[{index}].pbs-login"].state for index in range(1, 11)}
    assert states == {
        1: JobState.CANCELLED,
        2: JobState.CANCELLED,
        3: JobState.FAILED,
        4: JobState.COMPLETED,
        5: JobState.COMPLETED,
        6: JobState.COMPLETED,
        7: JobState.COMPLETED,
        8: JobState.COMPLETED,
        9: JobState.CANCELLED,
        10: JobState.COMPLETED,
    }
    assert known["129[3].pbs-login"].exit_code == 3
    assert known["129[1].pbs-login"].signal == 15
    deleted = known["129[9].pbs-login"]
    assert deleted.exit_code is None, "it has Exit_status 0, but never ran"
    assert deleted.started is None
    assert deleted.reason == "deleted before it started"


def test_ended_elements_in_the_live_view():
    """X is an element that ended while others still run: it has its end like one in history."""
    answer = said("50", 28)
    live = replace(answer, stdout=answer.stdout.replace('job_state":\t"F"', 'job_state":\t"X"'))
    known = ask(["129[]"], [live]).known
    assert known["129[3].pbs-login"].state is JobState.FAILED
    assert known["129[9].pbs-login"].state is JobState.CANCELLED
    assert known["129[3].pbs-login"].word == "X"


def test_elements_of_a_held_array():
    """Elements of a held array are shown as queued, but are held (recorded as a table in 50)."""
    answer = said("50", 11)
    held = answer.stdout.replace('job_state":\t"B"', 'job_state":\t"H"')
    known = ask(["129[].pbs-login"], [replace(answer, stdout=held)]).known
    assert known["129[7].pbs-login"].state is JobState.HELD
    assert known["129[1].pbs-login"].state is JobState.RUNNING


def test_one_element_and_several():
    """One element is asked for by its id, several of the same array by asking for the array."""
    runner = ask(["129[2]"], [said("50", 12)])
    assert list(runner.known) == ["129[2]"]
    assert runner.commands[0].argv == ("qstat", "-f", "-F", "json", "129[2]")
    asked = ["129[3].pbs-login", "129[4].pbs-login"]
    runner = ask(asked, [said("50", 28)], history=True)
    assert list(runner.known) == asked
    flags = ("qstat", "-x", "-t", "-f", "-F", "json")
    assert runner.commands[0].argv == (*flags, "129[].pbs-login")


def test_only_the_first_of_several_is_answered():
    """Builds since 2025 print one job of many in JSON and exit with 0: the rest is asked in text.

    Recording 90 shows it: 200 ids of waiting jobs gave the 66 lines of one.
    """
    runner = ask(["2.pbs-login", "5.pbs-login"], [said("20", 14), said("20", 21)])
    assert runner.commands[1].argv == ("qstat", "-f", "-w", "5.pbs-login")
    assert runner.known["2.pbs-login"].state is JobState.RUNNING
    assert runner.known["5.pbs-login"].state is JobState.PENDING


def test_invalid_json_of_old_clients():
    """A job called inf breaks the JSON of 22.05 and 23.06; the text says it all."""
    for step in (23, 24, 27, 28, 35, 36):
        assert read_json(said("68", step).stdout, "Jobs") is None
    runner = ask(["136.pbs-login"], [said("68", 24), said("60", 11)])
    assert runner.commands[1].argv == ("qstat", "-f", "-w", "136.pbs-login")
    assert runner.known["136.pbs-login"].name == "inf"
    assert runner.known["136.pbs-login"].state is JobState.HELD


@pytest.mark.parametrize(
    ("step", "name"), [(11, "123"), (12, "123"), (15, "1e5"), (16, "1e5"), (19, "0x1F")]
)
def test_names_that_became_numbers(step, name):
    """A name that looks like a number keeps its text."""
    assert told("68", step).name == name


@pytest.mark.parametrize(("step", "name"), [(2, "true"), (6, "null"), (10, "inf"), (14, "e5")])
def test_names_that_look_like_json(step, name):
    """So do names that look like other JSON."""
    assert told("60", step).name == name
    twisted = said("60", step).stdout.replace(f'"Job_Name":\t"{name}"', '"Job_Name":\tnull')
    records = read_json(twisted, "Jobs")
    assert next(iter(records.values()))["Job_Name"] == "null"


def test_clients_without_w():
    """A client that does not know -w is asked once more, and its folds are undone."""
    usage = Result(("qstat",), 2, "", "qstat: invalid option -- 'w'\nusage: \n")
    runner = ask(["168.pbs-login"], [usage, usage, said("61", 2)])
    assert [command.argv[1:3] for command in runner.commands] == [
        ("-f", "-F"),
        ("-f", "-w"),
        ("-f", "168.pbs-login"),
    ]
    assert runner.known["168.pbs-login"].state is JobState.HELD


def test_folds_are_undone():
    """Folding breaks lines within words; undone, the text is that of -w."""
    folded = read_text(said("61", 2).stdout, "Job Id: ").records["168.pbs-login"]
    wide = read_text(said("61", 3).stdout, "Job Id: ").records["168.pbs-login"]
    assert folded == wide
    assert "word word word" in wide["Variable_List"]


def test_many_jobs_are_asked_all_at_once():
    """From a hundred ids on it is faster to ask for every job and choose."""
    ids = [f"{number}.pbs-login" for number in range(MANY + 1)]
    runner = ask(ids, [said("10", 3)])
    assert [command.argv for command in runner.commands] == [("qstat", "-f", "-F", "json")]
    assert list(runner.known) == ["0.pbs-login"]
    empty = [replace(said("11", 5), stderr="")] + [Result(("qstat",), 0)] * 3
    runner = ask(ids, [empty[0], empty[1], empty[0], empty[1]], history=True)
    assert len(runner.commands) == 4, "the history of everybody may be huge: it is asked by id"
    assert len(runner.commands[0].argv) == MANY + 5


def forged(victim: str) -> str:
    """Return the text of two jobs, the first of which pretends to hold an end of the second."""
    first = said("60", 44).stdout
    lie = f"line1\n\nJob Id: {victim}\n    job_state = F\n    substate = 92\n    Exit_status = 0\n"
    return first.replace("line1\n", lie) + said("20", 21).stdout


def test_forged_text():
    """A user who owns one of the jobs cannot tell us an end of another one."""
    ids = ["144.pbs-login", "5.pbs-login"]
    broken = Result(("qstat",), 0, "{")
    text = Result(("qstat",), 0, forged("5.pbs-login"))
    runner = ask(ids, [broken, text, said("20", 21)])
    assert runner.commands[2].argv == ("qstat", "-f", "-w", "5.pbs-login")
    assert runner.known["5.pbs-login"].state is JobState.PENDING
    assert runner.known["144.pbs-login"].state is JobState.HELD


def test_forged_end_of_a_job_that_is_gone():
    """Neither can they when PBS says that it does not have the other one."""
    ids = ["144.pbs-login", "6.pbs-login"]
    broken = Result(("qstat",), 0, "{")
    text = Result(("qstat",), 153, forged("6.pbs-login"), "qstat: Unknown Job Id 6.pbs-login\n")
    runner = ask(ids, [broken, text])
    assert set(runner.known) == {"144.pbs-login"}


def test_forged_json():
    """A job that stands twice in a document makes it invalid."""
    once = said("10", 3).stdout
    inner = once[once.index('"0.pbs-login"') : once.rindex("}", 0, once.rindex("}"))]
    assert read_json(once.replace(inner, f"{inner}, {inner}"), "Jobs") is None
    assert read_json(once, "Jobs") is not None


def test_history_that_is_off():
    """Without history nothing is known, and nothing is asked twice."""
    runner = ask(["171.pbs-login", "172.pbs-login"], [said("65", 4)], history=True)
    assert runner.known == {}
    assert len(runner.commands) == 1
    broken = Result(("qstat",), 0, "{")
    assert ask(["172.pbs-login"], [broken, said("65", 9)], history=True).known == {}


def test_a_job_that_vanished():
    """A routed job that no queue took is gone without history: absent, not completed."""
    assert ask(["40.pbs-login"], [said("40", 8)], history=True).known == {}


def test_an_end_nobody_knows():
    """An ended job of which PBS tells neither substate nor status is LOST, not failed."""
    status = job_status("1.s", {"job_state": "F"})
    assert status.state is JobState.LOST
    assert status.reason == "PBS does not say how it ended"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Q", JobState.PENDING),
        ("T", JobState.PENDING),
        ("W", JobState.PENDING),
        ("H", JobState.HELD),
        ("R", JobState.RUNNING),
        ("B", JobState.RUNNING),
        ("S", JobState.SUSPENDED),
        ("U", JobState.SUSPENDED),
        ("E", JobState.ENDING),
        ("M", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
        ("?", JobState.UNKNOWN),
    ],
)
def test_words(word, state):
    """Every state letter is known; another one stays unknown, and the job is taken as there."""
    status = job_status("1.s", {"job_state": word})
    assert (status.state, status.word) == (state, word)
    assert not status.state.ended


@pytest.mark.parametrize(
    ("code", "substate", "state"),
    [
        ("0", "92", JobState.COMPLETED),
        ("0", "93", JobState.FAILED),
        ("0", "91", JobState.CANCELLED),
        ("", "92", JobState.CANCELLED),
        ("", "93", JobState.LOST),
        ("-26", "93", JobState.OUT_OF_MEMORY),
        ("-28", "93", JobState.FAILED),
        ("-29", "91", JobState.TIMEOUT),
        ("-4", "93", JobState.FAILED),
        ("265", "93", JobState.FAILED),
    ],
)
def test_ends(code, substate, state):
    """Only 92 with 0 is a success, however else the two are combined."""
    record = {"job_state": "F", "substate": substate, "exec_host": "n1/0"}
    assert job_status("1.s", record | ({"Exit_status": code} if code else {})).state is state


def test_hosts():
    """Each host is told once, the script's own first; names may hold dots."""
    assert hosts("cpu01/0*2+cpu02.site.org/0*0+cpu01/1") == ("cpu01", "cpu02.site.org")
    assert hosts("") == ()


def test_times_periods_sizes():
    """Days are padded with a blank, hours exceed 99, units are powers of 1024."""
    assert parse_time("Thu Jan  1 00:00:05 2026") == datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert parse_time("1795310393") == datetime(2026, 11, 22, 1, 19, 53, tzinfo=UTC)
    for text in ("", "Sun Foo 22 01:19:39 2026", "Sun Feb 31 01:19:39 2026", "<various>"):
        assert parse_time(text) is None
    assert parse_period("123:00:01") == timedelta(hours=123, seconds=1)
    assert parse_period("90") == timedelta(seconds=90)
    assert parse_period("") is None
    assert parse_period("1-00:00:00") is None
    assert parse_size("16gb") == 16 * 2**30
    assert parse_size("0b") == 0
    assert parse_size("512000kb") == 500 * MIB
    assert parse_size("1000") == 1000
    assert parse_size("1G") == 2**30
    assert parse_size("1.5gb") is None


def test_text_that_is_not_ours():
    """An answer that is neither JSON nor a list of jobs is no news."""
    garbage = Result(("qstat",), 0, "Welcome to alpha\n")
    with pytest.raises(SchedulerUnreachable, match="cannot be read"):
        ask(["1"], [garbage, garbage])
    wrapper = Result(("qstat",), 1, "", "slurm_load_jobs error: Unable to contact slurm\n")
    with pytest.raises(SchedulerError, match="Unable to contact slurm") as caught:
        ask(["1"], [wrapper, wrapper])
    assert "bin" in caught.value.hint
    old = said("68", 4)
    with pytest.raises(SchedulerError, match="Supporting protocol failure") as caught:
        ask(["1"], [old])
    assert not caught.value.retry
