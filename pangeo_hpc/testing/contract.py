"""What every scheduler must keep to, as tests that a scheduler's own test class inherits.

    class TestMineContract(SchedulerContract):
        recordings = {Situation.NORMAL: Recorded(answers=[...], ids=["12"], states={...}), ...}

        def make(self, options):
            return Mine(options)

Nothing is started but ``bash -n``: programs answer from what was recorded.
"""

# ruff: noqa: S101  asserting is what a contract is for

import contextlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pangeo_hpc.errors import (
    CommandMissing,
    PangeoHpcError,
    SchedulerError,
    SchedulerUnreachable,
    SubmitRefused,
)
from pangeo_hpc.run import Command, Conversation, Recorder, Result, converse, run
from pangeo_hpc.schedulers.base import (
    AllocationFacts,
    JobRequest,
    JobState,
    JobStatus,
    Scheduler,
    SchedulerOptions,
)
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.units import MIB


class Situation(StrEnum):
    """What a scheduler's programs answered, and so which conversation is tested."""

    NORMAL = "status: jobs in several states"
    EMPTY = "status: no such job"
    ARRAY = "status: an array answers with its elements"
    TRUNCATED = "status: the answer was cut off"
    UNKNOWN_WORD = "status: a state nobody knows"
    NOT_OUR_ID = "status: an id of another scheduler"
    UNREACHABLE = "status: the scheduler is down"
    BANNER = "submit: other lines come first"
    REFUSED = "submit: the scheduler said no"
    UNCLEAR = "submit: the scheduler is down"
    CANCEL_ENDED = "cancel: the job ended before"
    HISTORY = "history: jobs that ended"
    HISTORY_OFF = "history: none is kept"
    SETTINGS = "settings: what it shows and keeps"


REQUIRED = tuple(Situation)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Answers of a scheduler's programs, in the order they are asked for, and what they mean.

    `states` are all the jobs a status or history must tell, by id; `id` is what a submission
    returns; `says` are the scheduler's own words that an error must quote; `settings` are private
    jobs, whether the user sees all jobs, and history.
    """

    answers: Sequence[Result]
    ids: Sequence[str] = ()
    states: Mapping[str, JobState] = field(default_factory=dict)
    id: str = ""
    says: str = ""
    settings: tuple[bool | None, bool | None, bool | None] | None = None


# The values are chosen so that each is found in a script by itself.
REQUEST = JobRequest(
    name="contract-x7k2",
    command=("/usr/bin/python3", "-c", "print('it is done; $HOME')"),
    cores=37,
    memory=1543 * MIB + 4095,
    walltime=timedelta(days=1, hours=2, minutes=30, seconds=5),
    queue="queue-a",
    account="account-b",
    environment={"CONTRACT_TOKEN": "s3cr3t v'alue"},
    working_directory=Path("/work/it's here"),
    output=Path("/work/output.log"),
    exit_file=Path("/work/exit"),
    setup=("module load gcc", "if true; then echo fine; fi"),
)
_WALLTIME = re.compile(r"(?<!\d)(26:30:05|1-02:30:05|95405)(?!\d)")
_MEMORY = re.compile(r"(?<!\d)(1543 ?(M|mb|MB|MiB)|1617952768)(?![\d.\w])")
_CORES = re.compile(r"(?<!\d)37(?!\d)")
_JUNK = ("", "--help", "-u", "nonsense", "$(id)", "1 2", "7\n8")
_AFTER = ("after", "after_failure", "after_end")
_OMITTED = {
    "queue": re.compile("queue-a"),
    "account": re.compile("account-b"),
    "walltime": _WALLTIME,
    "memory": _MEMORY,
    "cores": _CORES,
}


class SchedulerContract:
    """Tests for any scheduler. A subclass gives `make` and `recordings`.

    `unsupported` says, with a reason, which situations cannot arise. `in_bin` is False for a
    scheduler whose programs are not found in `options.bin`. `inside` is the environment of a job
    and what it says, if it can be told without files.
    """

    recordings: ClassVar[Mapping[Situation, Recorded | Sequence[Recorded]]] = {}
    unsupported: ClassVar[Mapping[Situation, str]] = {}
    in_bin: ClassVar[bool] = True
    inside: ClassVar[tuple[Mapping[str, str], AllocationFacts] | None] = None
    request: ClassVar[JobRequest] = REQUEST

    def make(self, options: SchedulerOptions) -> Scheduler:
        """Return the scheduler under test."""
        raise NotImplementedError

    # -- what it writes into a job script ---------------------------------------------------

    def test_directives_are_comment_lines(self) -> None:
        """Every directive is one comment line of the job script, the same each time."""
        scheduler = self.make(SchedulerOptions())
        lines = scheduler.directives(self.request)
        assert all(line.startswith("#") and line.isprintable() for line in lines), lines
        assert lines == scheduler.directives(self.request)

    def test_directives_ask_for_walltime_and_memory(self) -> None:
        """Walltime and memory are always asked for, memory in whole units rounded down."""
        text = self._directives()
        assert _WALLTIME.search(text), text
        assert _MEMORY.search(text), text
        assert _CORES.search(text), text

    @pytest.mark.parametrize("what", sorted(_OMITTED))
    def test_omit_is_respected(self, what: str) -> None:
        """What a site omits is not told to the scheduler."""
        text = self._directives(omit=frozenset({what}))
        assert not _OMITTED[what].search(text), text

    @pytest.mark.parametrize(
        "name", ["contract-x7k2", "n" * 300 + "-x7k2", "sea ice, °C/day [1]-x7k2", "1e5-x7k2"]
    )
    def test_the_name_keeps_its_nonce(self, name: str) -> None:
        """However a name must be changed, what finds the job again stays whole at its end."""
        lines = self.make(SchedulerOptions()).directives(replace(self.request, name=name))
        assert any(re.search(r"-x7k2\"?'?$", line) for line in lines), lines

    def test_no_environment_in_directives(self) -> None:
        """Variables never go through directives, where every user of the cluster reads them."""
        text = self._directives()
        assert "CONTRACT_TOKEN" not in text
        assert "s3cr3t" not in text

    @pytest.mark.parametrize("where", ["name", "queue", "account", "constraint", "qos"])
    def test_no_value_starts_a_line(self, where: str) -> None:
        """A value with a line break is refused or made harmless; it never becomes a line."""
        changes: dict[str, Any] = {where: "a-x7k2\nrm -rf b-x7k2"}
        broken = replace(self.request, **changes)
        try:
            lines = self.make(SchedulerOptions()).directives(broken)
        except PangeoHpcError:
            return
        assert all("\n" not in line and line.startswith("#") for line in lines), lines

    def test_site_directives_are_passed_on(self) -> None:
        """Lines of the site reach the script as they are."""
        assert "-l wd=on" in self._directives(directives=("-l wd=on",))

    def test_the_script_is_valid_shell(self, tmp_path: Path) -> None:
        """The whole job script is accepted by bash."""
        script = tmp_path / "job.sh"
        script.write_text(render(self.make(SchedulerOptions()).directives(self.request), REQUEST))
        checked = run(Command(("bash", "-n", str(script))))
        assert checked.returncode == 0, checked.words

    def test_versions(self) -> None:
        """The oldest version that is supported is not newer than the newest that was tested."""
        versions = self.make(SchedulerOptions()).versions
        assert versions.oldest[:2] <= versions.tested[:2]

    # -- how it asks ------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "what", ["status", "history", "find", "named", "cancel", "submit", "nodes"]
    )
    def test_programs_and_environment_are_the_sites(self, what: str) -> None:
        """Programs are called by absolute path where the site says so, with its environment."""
        options = SchedulerOptions(bin=Path("/opt/contract/bin"), environment={"SITE_VAR": "1"})
        command = self._first(what, options)
        assert command is not None, f"{what} asked nothing"
        assert command.environment.get("SITE_VAR") == "1"
        assert command.timeout > 0
        assert not self.in_bin or command.argv[0].startswith("/opt/contract/bin/"), command.argv

    def test_submission_hides_the_environment(self) -> None:
        """Neither argv nor environment of the submission tell the job's variables."""
        command = self._first("submit", SchedulerOptions())
        assert command is not None
        told = shlex.join(command.argv) + "".join(
            f"{k}={v}" for k, v in command.environment.items()
        )
        assert "s3cr3t" not in told
        assert "CONTRACT_TOKEN" not in told

    @pytest.mark.parametrize(
        "what",
        ["status", "history", "find", "named", "cancel", "submit", "nodes", "queues", "version"],
    )
    def test_no_answer_in_time(self, what: str) -> None:
        """A program that hangs means that the scheduler did not answer; a retry may help."""

        def hang(command: Command) -> Result:
            return Result(command.argv, None, seconds=command.timeout)

        with pytest.raises(SchedulerUnreachable) as caught:
            converse(self._conversation(what, SchedulerOptions()), hang)
        assert caught.value.retry
        assert caught.value.hint

    @pytest.mark.parametrize(
        "what",
        ["status", "history", "find", "named", "cancel", "submit", "nodes", "queues", "version"],
    )
    def test_programs_that_are_not_there(self, what: str) -> None:
        """A missing program is told as such, never as a missing job."""

        def missing(command: Command) -> Result:
            raise CommandMissing(f"{command.argv[0]}: command not found", hint="load its module")

        with pytest.raises(CommandMissing):
            converse(self._conversation(what, SchedulerOptions()), missing)

    @pytest.mark.parametrize("what", ["status", "history", "cancel", "ahead"])
    def test_nothing_to_ask(self, what: str) -> None:
        """No ids, no question: an empty list of arguments would mean every job to some programs."""
        scheduler = self.make(SchedulerOptions())
        runner = Recorder([])
        assert converse(getattr(scheduler, what)([]), runner) == {}
        assert not runner.commands

    def test_ids_never_become_options(self) -> None:
        """What cannot be an id of ours is not asked for, and is no error."""
        scheduler = self.make(SchedulerOptions())
        runner = Recorder([])
        assert converse(scheduler.status(_JUNK), runner) == {}
        assert not runner.commands

    def test_elements_of_an_array(self) -> None:
        """The ids of an array's elements are those that it answers with."""
        given = self.recordings.get(Situation.ARRAY)
        if not given:
            pytest.skip("no array was recorded")
        recorded = given if isinstance(given, Recorded) else given[0]
        elements = self.make(SchedulerOptions()).elements(recorded.ids[0], 20)
        assert len(set(elements)) == 20
        assert set(recorded.states) <= set(elements)

    def test_jobs_ahead_are_asked_for_once(self) -> None:
        """All jobs that wait in one queue are asked for in one call, with nothing else in it."""
        scheduler = self.make(SchedulerOptions())
        waiting = [
            JobStatus(id=job_id, state=JobState.PENDING, queue="queue-a")
            for job_id in (*self._some_ids(), *_JUNK)
        ]
        runner = Recorder([])
        with contextlib.suppress(AssertionError):
            converse(scheduler.ahead(waiting), runner)
        assert len(runner.commands) <= 1
        for command in runner.commands:
            assert not set(_JUNK[1:]) & set(command.argv), command.argv

    def test_jobs_that_follow_others(self) -> None:
        """The header tells apart jobs that must succeed, fail, or merely end before."""
        plain = self._directives()
        told = {self._directives(**{name: ("77",)}) for name in _AFTER}
        assert len(told | {plain}) == len(_AFTER) + 1
        assert all("77" in text for text in told)

    # -- how it understands -----------------------------------------------------------------

    @pytest.mark.parametrize("situation", REQUIRED, ids=[s.name.lower() for s in REQUIRED])
    def test_recorded(self, situation: Situation) -> None:
        """What the scheduler's programs were recorded to say is understood."""
        if situation in self.unsupported:
            # it cannot arise: then there is a reason, and nobody recorded it
            assert self.unsupported[situation], f"say why {situation.name} cannot arise"
            assert situation not in self.recordings
            return
        given = self.recordings.get(situation)
        assert given, f"no recording for {situation.name} ({situation.value})"
        for recorded in [given] if isinstance(given, Recorded) else given:
            _CHECKS[situation](self.make(SchedulerOptions()), recorded)

    # -- inside a job -----------------------------------------------------------------------

    def test_outside_any_job(self) -> None:
        """An environment without a job is no allocation."""
        assert self.make(SchedulerOptions()).allocation({"PATH": "/usr/bin"}) is None

    def test_inside_a_job(self) -> None:
        """The environment of a job tells its id, its nodes and its share of them."""
        if self.inside is None:
            pytest.skip("tested elsewhere")
        environ, facts = self.inside
        assert self.make(SchedulerOptions()).allocation(environ) == facts

    @pytest.mark.parametrize("nodes", [("n1",), ("n1", "n2.example.org")])
    def test_a_step_ends_with_the_command(self, nodes: tuple[str, ...]) -> None:
        """A step is an argv around the command, which stays whole and unquoted."""
        facts = AllocationFacts(job_id="12", nodes=nodes, cores=4)
        command = ("/usr/bin/env", "A=b c", "$HOME", "it's")
        argv = self.make(SchedulerOptions()).step(command, facts, cores=4, memory=2**30)
        assert argv[-len(command) :] == command

    # -- helpers ----------------------------------------------------------------------------

    def _directives(self, **changes: Any) -> str:
        scheduler = self.make(SchedulerOptions())
        return "\n".join(scheduler.directives(replace(self.request, **changes)))

    def _conversation(self, what: str, options: SchedulerOptions) -> Conversation[Any]:
        scheduler = self.make(options)
        script = Path("/work/job.sh")
        asks: Mapping[str, Callable[[], Conversation[Any]]] = {
            "status": lambda: scheduler.status(self._some_ids()),
            "history": lambda: scheduler.history(self._some_ids()),
            "cancel": lambda: scheduler.cancel(self._some_ids()),
            "find": lambda: scheduler.find(self.request.name, "alice"),
            "named": lambda: scheduler.named("jupyter-", 16),
            "submit": lambda: scheduler.submit(script, self.request),
            "nodes": scheduler.nodes,
            "queues": scheduler.queues,
            "version": scheduler.version,
        }
        return asks[what]()

    def _some_ids(self) -> Sequence[str]:
        given = self.recordings.get(Situation.NORMAL)
        if not given:
            return ["12"]
        return given.ids if isinstance(given, Recorded) else given[0].ids

    def _first(self, what: str, options: SchedulerOptions) -> Command | None:
        """Return the first command of a conversation, without answering it."""
        conversation = self._conversation(what, options)
        try:
            return next(conversation)
        except StopIteration:
            return None
        finally:
            conversation.close()


def _states(known: Mapping[str, JobStatus]) -> dict[str, JobState]:
    for job_id, status in known.items():
        assert status.id == job_id, f"{status.id} was told under {job_id}"
        for moment in (status.submitted, status.started, status.ended, status.estimated_start):
            assert moment is None or moment.utcoffset() == timedelta(0), f"{job_id}: {moment}"
    return {job_id: status.state for job_id, status in known.items()}


def _status(scheduler: Scheduler, recorded: Recorded) -> None:
    known = converse(scheduler.status(recorded.ids), Recorder(recorded.answers))
    assert _states(known) == dict(recorded.states)


def _history(scheduler: Scheduler, recorded: Recorded) -> None:
    known = converse(scheduler.history(recorded.ids), Recorder(recorded.answers))
    assert _states(known) == dict(recorded.states)


def _unknown_word(scheduler: Scheduler, recorded: Recorded) -> None:
    known = converse(scheduler.status(recorded.ids), Recorder(recorded.answers))
    assert _states(known) == dict(recorded.states)
    strange = [status for status in known.values() if status.state is JobState.UNKNOWN]
    assert strange, "a word nobody knows must stay UNKNOWN"
    assert all(status.word and not status.state.ended for status in strange)


def _truncated(scheduler: Scheduler, recorded: Recorded) -> None:
    """No job may vanish from an answer that was cut off: all of them, or an error to retry."""
    retry = False
    known: Mapping[str, JobStatus] = {}
    try:
        known = converse(scheduler.status(recorded.ids), Recorder(recorded.answers))
    except SchedulerError as error:
        retry = error.retry
    assert retry or _states(known) == dict(recorded.states)


def _unreachable(scheduler: Scheduler, recorded: Recorded) -> None:
    with pytest.raises(SchedulerUnreachable) as caught:
        converse(scheduler.status(recorded.ids), Recorder(recorded.answers))
    assert recorded.says in str(caught.value)


def _submitted(scheduler: Scheduler, recorded: Recorded) -> None:
    conversation = scheduler.submit(Path("/work/job.sh"), REQUEST)
    assert converse(conversation, Recorder(recorded.answers)) == recorded.id


def _refused(scheduler: Scheduler, recorded: Recorded) -> None:
    conversation = scheduler.submit(Path("/work/job.sh"), REQUEST)
    with pytest.raises(SubmitRefused) as caught:
        converse(conversation, Recorder(recorded.answers))
    assert recorded.says
    assert recorded.says in caught.value.text, "the scheduler's own words are quoted"
    assert caught.value.hint, "the next step is said"


def _unclear(scheduler: Scheduler, recorded: Recorded) -> None:
    conversation = scheduler.submit(Path("/work/job.sh"), REQUEST)
    with pytest.raises(SchedulerUnreachable) as caught:
        converse(conversation, Recorder(recorded.answers))
    assert caught.value.retry


def _cancelled(scheduler: Scheduler, recorded: Recorded) -> None:
    assert converse(scheduler.cancel(recorded.ids), Recorder(recorded.answers)) == {}


def _settings(scheduler: Scheduler, recorded: Recorded) -> None:
    found = converse(scheduler.settings("alice"), Recorder(recorded.answers))
    assert (found.private_jobs, found.sees_all, found.history) == recorded.settings
    if not found.sees_all:
        assert found.to_see_all, "say what gives a user the right to see all jobs"
    if not found.history:
        assert found.to_keep_history, "say what turns the history on"


_CHECKS: Mapping[Situation, Callable[[Scheduler, Recorded], None]] = {
    Situation.NORMAL: _status,
    Situation.EMPTY: _status,
    Situation.ARRAY: _status,
    Situation.TRUNCATED: _truncated,
    Situation.UNKNOWN_WORD: _unknown_word,
    Situation.NOT_OUR_ID: _status,
    Situation.UNREACHABLE: _unreachable,
    Situation.BANNER: _submitted,
    Situation.REFUSED: _refused,
    Situation.UNCLEAR: _unclear,
    Situation.CANCEL_ENDED: _cancelled,
    Situation.HISTORY: _history,
    Situation.HISTORY_OFF: _history,
    Situation.SETTINGS: _settings,
}
