"""A server that is stopped while its submission has no answer leaves no job behind."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused, UnknownName
from pangeo_hpc.hub import submission
from pangeo_hpc.hub.desk import Submitted
from pangeo_hpc.hub.spawner import SiteSpawner
from pangeo_hpc.hub.state import ServerState

JOB = Submitted("7", "slurm")
SILENT = SchedulerUnreachable("nobody answers")


class Desk:
    """Answers in turn, and notes what it was asked."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers, self.asked = answers, list[str]()

    def __getattr__(self, verb: str) -> Any:
        async def order(user: str, *words: Any, **named: Any) -> Any:
            self.asked.append(verb)
            answer = self.answers[verb].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer() if callable(answer) else answer

        return order


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        # it is answered after the stop
        ({"submit": ["stop"], "find": [JOB], "cancel": [{}]}, ["submit", "find", "cancel"]),
        # it is not clear for a while
        (
            {"submit": [SILENT], "find": [SILENT, JOB], "cancel": [{}]},
            ["submit", "find", "find", "cancel"],
        ),
        # it was never taken
        ({"submit": [SILENT], "find": [None]}, ["submit", "find"]),
        ({"submit": [SILENT], "find": [UnknownName("never began")]}, ["submit", "find"]),
        ({"submit": ["stop and refuse"]}, ["submit"]),
    ],
)
def test_a_job_that_nobody_wants_any_more(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[Any]], asked: list[str]
) -> None:
    """Whatever the scheduler says late, it is asked until it is clear, and the job is cancelled."""
    spawner = SiteSpawner()
    state = ServerState.new("token")
    spawner.server_state = state

    def stop() -> Submitted:
        spawner.server_state = None
        return JOB

    async def sleep(seconds: float) -> None:
        stop()

    def refuse() -> Submitted:
        stop()
        raise SubmitRefused("no such account")

    acts = {"stop": stop, "stop and refuse": refuse}
    desk = Desk(
        **{
            verb: [acts[each] if isinstance(each, str) else each for each in told]
            for verb, told in answers.items()
        }
    )
    monkeypatch.setattr(submission.asyncio, "sleep", sleep)
    monkeypatch.setattr(SiteSpawner, "office", SimpleNamespace(desk=desk))
    monkeypatch.setattr(SiteSpawner, "_log_name", "alice:")
    monkeypatch.setattr(spawner, "_remember", lambda: state)
    monkeypatch.setattr(spawner, "get_env", dict)
    spawner.user = SimpleNamespace(name="alice")
    spawner.orm_spawner = SimpleNamespace(name="", server=None)
    asyncio.run(spawner._submit())
    assert desk.asked == asked
