"""What a user's program says is not trusted: it runs as the user, who may say anything instead."""

import asyncio
import json
import os
import pwd
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from pangeo_hpc.errors import PangeoHpcError, SchedulerUnreachable, UnknownName
from pangeo_hpc.hub.desk import Desk, Submitted
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.base import JobState, JobStatus


class Answering:
    """A program that answers with one text."""

    def __init__(self, stdout: str, code: int | None = 0, stderr: str = "") -> None:
        self.result = Result((), code, stdout, stderr)
        self.commands: list[Command] = []

    async def __call__(self, command: Command) -> Result:
        self.commands.append(command)
        return self.result


def desk(answer: Any, **how: Any) -> Desk:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return Desk(["/program"], schedulers=["slurm"], runner=Answering(text, **how))


def submit(answer: Any) -> Submitted:
    asked = desk(answer).submit(
        "carol",
        name="jupyter-abcdefgh",
        server="",
        choices={},
        variables={"JUPYTERHUB_A": "s3cret"},
    )
    return asyncio.run(asked)


STRANGE: list[Any] = [
    "",
    "no JSON",
    "[" * 100_000,
    [],
    1,
    None,
    "null",
    {},
    {"job": 1, "scheduler": "slurm"},
    {"job": "1; rm", "scheduler": "slurm"},
    {"job": "-f", "scheduler": "slurm"},
    {"job": "7", "scheduler": "other"},
    {"job": "7", "scheduler": ["slurm"]},
    {"error": None},
    {"error": {"kind": "RequestRefused", "problems": [1]}},
]


@pytest.mark.parametrize("answer", STRANGE, ids=lambda answer: str(answer)[:30])
def test_a_strange_answer_is_no_answer(answer: Any) -> None:
    """Whatever is said, it is one error of ours, which the hub's tasks live through."""
    with pytest.raises(SchedulerUnreachable):
        submit(answer)


@pytest.mark.parametrize("kind", ["Exit", "Sequence", "__name__", "replace", "", "nothing"])
def test_an_error_of_no_kind_is_a_plain_one(kind: str) -> None:
    """A kind that is not one of our errors makes nothing else of it."""
    with pytest.raises(PangeoHpcError) as caught:
        submit({"error": {"kind": kind, "text": "no", "hint": None}})
    assert type(caught.value) is PangeoHpcError


def test_an_error_keeps_its_kind() -> None:
    """What the program refused is told as what it was."""
    with pytest.raises(UnknownName, match="nothing"):
        submit({"error": {"kind": "UnknownName", "text": "nothing", "hint": None}})


def test_an_answer_is_read() -> None:
    """A job of a scheduler of the site is taken."""
    assert submit({"job": "7", "scheduler": "slurm"}) == Submitted("7", "slurm")


def test_news_of_others_jobs_is_not_heard() -> None:
    """A user's program tells of that user's jobs only."""
    running = keep(JobStatus(id="7", state=JobState.RUNNING, walltime=timedelta(hours=1)))
    told: Mapping[str, Any] = {"jobs": {"7": running, "8": {**running, "id": "8"}}}
    found = asyncio.run(desk(told).status("carol", ["7"]))
    assert list(found) == ["7"]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "8"},
        {"walltime": 1e300},
        {"walltime": 1e11},
        {"started": "2026-01-01T00:00:00"},
        {"started": 5},
        {"reason": {"a": "b"}},
        {"reason": "x" * 100_000},
        {"nodes": [1]},
        {"exit_code": "0"},
        {"memory_used": 10**400},
        {"restarts": None},
        {"state": "elsewhere"},
        {"more": 1},
    ],
)
def test_a_state_of_strange_types_is_no_answer(changes: dict[str, Any]) -> None:
    """One user's program cannot make the pages and the news of all users fail."""
    running = keep(JobStatus(id="7", state=JobState.RUNNING, walltime=timedelta(hours=1)))
    with pytest.raises(SchedulerUnreachable):
        asyncio.run(desk({"jobs": {"7": {**running, **changes}}}).status("carol", ["7"]))


@pytest.mark.parametrize("start", [10**400, "soon", [1]])
def test_a_start_that_is_no_time(start: Any) -> None:
    """A number too large for the machine is no answer, either."""
    answer = {"script": "", "start": start, "said": ""}
    with pytest.raises(SchedulerUnreachable):
        asyncio.run(desk(answer).preview("carol", {}))


def test_what_is_told_is_one_line_of_the_log() -> None:
    """Nobody writes lines of their own into the hub's log, nor fills it."""
    words = "no\n[I 2026-01-01 00:00:00] all is well\x1b[31m" + "x" * 10_000
    with pytest.raises(UnknownName) as caught:
        submit({"error": {"kind": "UnknownName", "text": words, "hint": words}})
    for text in (caught.value.text, caught.value.hint or ""):
        assert text.startswith("no [I 2026") and text.isprintable()
        assert len(text) <= 4000


def test_no_more_lines_than_were_asked_for() -> None:
    """A log of a million lines, or of things that are no lines, is cut."""
    answer = {"lines": [*range(1000)], "exit_code": "1", "job": None, "full": "x" * 100_000}
    log = asyncio.run(desk(answer).logs("carol", "jupyter-abcdefgh", 2))
    assert (log.lines, log.exit_code) == (("998", "999"), None)
    assert len(log.full) <= 1000


def test_the_program_gets_its_order_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret in the argv, none of the hub's variables, sudo to exactly this user."""
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "of the hub")
    runner = Answering('{"job": "7", "scheduler": "slurm"}')
    hub = Desk(["/program"], runner=runner)
    variables = {"JUPYTERHUB_API_TOKEN": "s3cret"}
    asyncio.run(
        hub.submit("carol", name="jupyter-abcdefgh", server="", choices={}, variables=variables)
    )
    [command] = runner.commands
    assert command.argv == ("/usr/bin/sudo", "-n", "-u", "carol", "--", "/program", "submit")
    assert command.input is not None and "s3cret" in command.input
    assert "of the hub" not in str(command)
    assert set(filter(None, command.environment.values())) == {"/usr/sbin:/usr/bin:/sbin:/bin"}


def test_a_user_of_their_own_hub_needs_no_sudo() -> None:
    """The hub acts as itself without any rule."""
    me = pwd.getpwuid(os.getuid()).pw_name
    runner = Answering('{"problems": {}}')
    asyncio.run(Desk(["/program"], runner=runner).cancel(me, ["7"]))
    assert runner.commands[0].argv == ("/program", "cancel")
