"""The one door to other programs."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from pangeo_hpc.errors import CommandMissing, NotAllowed
from pangeo_hpc.run import (
    Command,
    Recorder,
    Result,
    aconverse,
    arun,
    converse,
    minimal_environment,
    run,
)

PYTHON = sys.executable


def python(code: str, **more: object) -> Command:
    return Command((PYTHON, "-c", code), **more)  # type: ignore[arg-type]


def both(command: Command) -> list[Result]:
    return [run(command), asyncio.run(arun(command))]


def test_answers_are_whole() -> None:
    """Exit status, both streams and input pass through, the same for both ways."""
    code = "import sys; print(sys.stdin.read()); sys.stderr.write('oh'); sys.exit(3)"
    for result in both(python(code, input="in")):
        assert (result.returncode, result.stdout, result.stderr) == (3, "in\n", "oh")
        assert result.words == "oh"


def test_the_environment_is_a_short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours is passed on that is not named; time and language are fixed."""
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    for result in both(python("import os; print(sorted(os.environ))")):
        assert "SECRET_TOKEN" not in result.stdout
        assert "SLURM_CONF" in result.stdout
    assert minimal_environment({}, {"PATH": "/bin", "X": "1"}) == {
        "PATH": "/bin",
        "TZ": "UTC",
        "LC_ALL": "C",
    }


def test_variables_can_be_added_and_taken_away() -> None:
    """None takes a variable away, so that a submission does not carry our time zone."""
    found = minimal_environment({"TZ": None, "PBS_SERVER": "s"}, {})
    assert found == {"LC_ALL": "C", "PBS_SERVER": "s"}


def test_a_timeout_ends_the_whole_tree(tmp_path: Path) -> None:
    """When time is up, the program and its children end, and what it said is kept."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    for result in both(python(code, timeout=1.0)):
        assert result.timed_out
        assert "no answer within 1 s" in result.words
        pid = int(result.stdout)
        _, alive = psutil.wait_procs([p for p in [child_of(pid)] if p], timeout=10)
        assert not alive


def child_of(pid: int) -> psutil.Process | None:
    """Return a process unless it has gone, or only waits to be reaped by init."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def test_a_missing_program_is_named() -> None:
    """A command that is not there is an error with a hint, not a traceback."""
    with pytest.raises(CommandMissing, match="qsub-of-nobody: command not found"):
        run(Command(("qsub-of-nobody",)))
    with pytest.raises(CommandMissing):
        asyncio.run(arun(Command(("qsub-of-nobody",))))


def test_a_program_that_may_not_start(tmp_path: Path) -> None:
    """A file that is not executable, and a directory that is not there, are said to be so."""
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(NotAllowed):
        run(Command((str(plain),)))
    with pytest.raises(NotAllowed, match="no such directory"):
        run(Command((PYTHON,), cwd=tmp_path / "nowhere"))


def test_bytes_that_are_not_text_survive() -> None:
    """Output that is not UTF-8 is kept, so that a parser sees all of it."""
    result = run(python(r"import sys; sys.stdout.buffer.write(b'\xff\n')"))
    assert result.stdout.encode(errors="surrogateescape") == b"\xff\n"


def test_both_ways_carry_out_a_conversation() -> None:
    """The second question depends on the first answer; a missing command can be caught."""

    def talk() -> Generator[Command, Result, str]:
        first = yield python("print(1)")
        try:
            yield Command(("not-there",))
        except CommandMissing:
            second = yield python(f"print({first.stdout.strip()} + 1)")
        return second.stdout.strip()

    assert converse(talk()) == "2"
    assert asyncio.run(aconverse(talk())) == "2"


def test_the_recorder_notes_and_answers() -> None:
    """The twin for tests starts nothing when it has answers, and fails beyond them."""
    twin = Recorder([Result(("squeue",), 0, "x")])
    assert twin(Command(("squeue",))).stdout == "x"
    with pytest.raises(AssertionError, match="no recorded answer"):
        twin(Command(("squeue", "-a")))
    assert [command.argv for command in twin.commands] == [("squeue",), ("squeue", "-a")]
    counting = Recorder()
    assert counting(python("print(7)")).stdout == "7\n"
    assert len(counting.commands) == 1


def test_the_child_has_no_terminal_of_ours() -> None:
    """Programs lead their own session: Ctrl-C at our terminal does not reach them."""
    result = run(python("import os; print(os.getpid(), os.getsid(0))"))
    pid, session = map(int, result.stdout.split())
    assert session == pid
    assert session != os.getsid(0)


@pytest.mark.parametrize("way", [run, lambda command: asyncio.run(arun(command))])
def test_a_program_that_cannot_be_ended_is_left(
    way: Callable[[Command], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that runs as somebody else, and was stopped by them, keeps nobody waiting."""

    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.killpg", refuse)
    # what asyncio does itself when it lets go of a program
    monkeypatch.setattr(subprocess.Popen, "kill", lambda self: refuse())
    monkeypatch.setattr("pangeo_hpc.run._GOING", 0.2)
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        result = way(Command(("sleep", "6.25"), timeout=0.3))
        for child in psutil.Process().children():
            if child.cmdline() == ["sleep", "6.25"]:
                child.kill()
        # asyncio holds on to it in a thread that waits for its end
        for thread in threading.enumerate():
            if thread.name.startswith("asyncio-waitpid"):
                thread.join(5)
        gc.collect()
    assert result.timed_out
    assert time.monotonic() - began < 5


def test_what_prints_without_end_is_ended() -> None:
    """The event loop of a hub reads no more than it asked for."""
    result = asyncio.run(arun(Command(("yes",), timeout=20, most=1 << 20)))
    assert result.returncode is None
    assert result.seconds < 10
    assert asyncio.run(arun(Command(("echo", "hello"), most=6))).stdout == "hello\n"
