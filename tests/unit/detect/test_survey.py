"""What is asked, of whom, and what happens if there is no answer."""

from collections.abc import Generator
from pathlib import Path

import pytest

from pangeo_hpc.detect import draft_site, survey_machine
from pangeo_hpc.detect.survey import find_scheduler
from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.run import Command, Recorder, Result
from pangeo_hpc.schedulers.base import Account, Node, NodeState, Queue


class Talker:
    """A scheduler that answers from a list; `silent` are the questions it does not answer."""

    kind = "slurm"

    def __init__(self, *silent: str) -> None:
        self.silent = silent
        self.asked: list[str] = []

    def _talk(self, what: str, answer: object) -> Generator[Command, Result, object]:
        self.asked.append(what)
        result = yield Command(("ask", what))
        if what in self.silent:
            raise SchedulerUnreachable(f"{what}: {result.words}")
        return answer

    def queues(self):
        return self._talk("queues", (Queue(name="short", default=True),))

    def nodes(self):
        nodes = (Node(name="n1", state=NodeState.IDLE, queues=("short",), cores=8, memory=2**34),)
        return self._talk("nodes", nodes)

    def accounts(self, user: str):
        return self._talk("accounts", (Account(name=f"of-{user}", default=True),))

    def version(self):
        return self._talk("version", (22, 5, 8))


def runner() -> Recorder:
    return Recorder([Result(("ask",), 1, "", "cannot connect")] * 4)


def test_everything_is_asked_once(tmp_path):
    """Four questions, and no other program."""
    talker, asked = Talker(), runner()
    found = survey_machine({"HOME": str(tmp_path)}, scheduler=talker, runner=asked, mounts="")
    assert talker.asked == ["queues", "nodes", "accounts", "version"]
    assert len(asked.commands) == 4
    assert found.accounts[0].name == f"of-{found.person.user}"
    assert found.missing == ()
    assert "    max_cores: 8" in draft_site(found)


def test_answers_that_fail_are_noted_and_the_draft_goes_on(tmp_path):
    """Accounting may be off, and nodes hidden from users."""
    talker = Talker("accounts", "nodes", "version")
    found = survey_machine({"HOME": str(tmp_path)}, scheduler=talker, runner=runner(), mounts="")
    assert len(found.missing) == 3
    text = draft_site(found)
    assert "# Not known: accounts could not be asked: accounts: cannot connect" in text
    assert "check cores and memory" in text


def test_without_queues_there_is_nothing_to_draft(tmp_path):
    """The scheduler's own words are passed on."""
    with pytest.raises(SchedulerUnreachable, match="cannot connect"):
        survey_machine(
            {"HOME": str(tmp_path)}, scheduler=Talker("queues"), runner=runner(), mounts=""
        )


@pytest.mark.parametrize(
    ("program", "kind"), [("sbatch", "slurm"), ("qsub", "pbs"), (None, "local")]
)
def test_the_scheduler_is_the_one_whose_commands_are_here(program, kind, tmp_path):
    """PATH decides, nothing is started."""
    if program:
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    assert find_scheduler({"PATH": str(tmp_path)}) == kind


def test_a_machine_without_a_scheduler_is_asked_nothing(tmp_path):
    """No program is run at all."""
    nobody = Recorder([])
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path), "CONDA_PREFIX": "/opt/conda"}
    found = survey_machine(environ, runner=nobody)
    assert (found.kind, found.queues, nobody.commands) == ("local", (), [])
    assert found.conda == Path("/opt/conda")
