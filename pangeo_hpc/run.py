"""The only door to other programs: argv in, `Result` out.

Schedulers do not start anything. They hold *conversations*: generators that yield a `Command`,
are sent its `Result`, and return an answer. `converse` and `aconverse` carry one out, so that the
synchronous command line and the asynchronous hub share every word of it.
"""

import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pangeo_hpc.errors import CommandMissing, NotAllowed

if TYPE_CHECKING:
    import asyncio
    import asyncio.subprocess

T = TypeVar("T")

# sbatch hands this environment to the job: a script expects to know its user there.
PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL"),
    *("SLURM_CONF", "PBS_CONF_FILE", "PBS_SERVER"),
)
FIXED = {"TZ": "UTC", "LC_ALL": "C"}
# Seconds for a program to go once it was ended; one that runs as somebody else cannot be, and is
# left alone then.
_GOING = 5.0


@dataclass(frozen=True)
class Command:
    """One call of another program.

    `timeout` is in seconds. `environment` is laid over the little that is passed on; a value of
    None takes a variable away. `most` are the bytes it may print before its time is up: it is held
    to this where others share the event loop.
    """

    argv: tuple[str, ...]
    input: str | None = None
    timeout: float = 30.0
    environment: Mapping[str, str | None] = field(default_factory=dict)
    cwd: Path | None = None
    most: int = 1 << 28


@dataclass(frozen=True)
class Result:
    """What a program answered; `returncode` is None when its time was up."""

    argv: tuple[str, ...]
    returncode: int | None
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def timed_out(self) -> bool:
        """Tell whether the program was ended because its time was up."""
        return self.returncode is None

    @property
    def words(self) -> str:
        """Return what the program said about itself, for quoting in an error."""
        said = self.stderr.strip() or self.stdout.strip()
        if self.timed_out:
            return f"no answer within {self.seconds:.0f} s" + (f": {said}" if said else "")
        return said or f"exit status {self.returncode}, and no message"


Conversation = Generator[Command, Result, T]
Runner = Callable[[Command], Result]
AsyncRunner = Callable[[Command], Awaitable[Result]]


def minimal_environment(
    extra: Mapping[str, str | None], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment another program gets: a short list, never the whole of ours."""
    ours = os.environ if environ is None else environ
    result = {name: ours[name] for name in PASSED_ON if name in ours} | FIXED
    for name, value in extra.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def run(command: Command) -> Result:
    """Run one program to its end or to its timeout.

    Raise CommandMissing if it does not exist and NotAllowed if it may not be started. An exit
    status other than 0 is an answer, not an exception.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(command.argv, **_options(command))
    except OSError as error:
        raise _cannot_start(command, error) from error
    code: int | None
    try:
        out, err = process.communicate(_given(command), timeout=command.timeout)
        code = process.returncode
    except subprocess.TimeoutExpired:
        _end(process.pid)
        out, err = _last_words(process)
        code = None
    except BaseException:
        _end(process.pid)
        _last_words(process)
        raise
    return _result(command, code, out, err, started)


async def arun(command: Command) -> Result:
    """Run one program like `run`, without blocking the event loop."""
    import asyncio

    started = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(*command.argv, **_options(command))
    except OSError as error:
        raise _cannot_start(command, error) from error
    talk = asyncio.ensure_future(_talk(process, _given(command), command.most))
    code: int | None
    try:
        out, err = await asyncio.wait_for(asyncio.shield(talk), command.timeout)
        code = process.returncode
    except (TimeoutError, OverflowError):
        out, err = await _ended(process, talk)
        code = None
    except BaseException:
        await _ended(process, talk)
        raise
    return _result(command, code, out, err, started)


async def _talk(
    process: "asyncio.subprocess.Process", given: bytes | None, most: int
) -> tuple[bytes, bytes]:
    """Return what a program prints until its end. Raise OverflowError if it is more than `most`."""
    import asyncio

    async def feed() -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(given or b"")
                await process.stdin.drain()
            process.stdin.close()

    async def read(stream: "asyncio.StreamReader | None") -> bytes:
        found = bytearray()
        while stream is not None and (piece := await stream.read(65536)):
            found += piece
            if len(found) > most:
                message = f"more than {most} bytes were printed"
                raise OverflowError(message)
        return bytes(found)

    _, out, err = await asyncio.gather(feed(), read(process.stdout), read(process.stderr))
    await process.wait()
    return out, err


async def _ended(
    process: "asyncio.subprocess.Process", talk: "asyncio.Future[tuple[bytes, bytes]]"
) -> tuple[bytes, bytes]:
    """End a program and return its last words; leave one that we have no right to end."""
    import asyncio

    _end(process.pid)
    await asyncio.wait([talk], timeout=_GOING)
    if talk.done() and talk.exception() is None:
        return talk.result()
    talk.cancel()
    with suppress(asyncio.CancelledError, OverflowError):
        await talk
    # there is no public way to let go of a process that has not ended
    with suppress(PermissionError):
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
    # one that we could end is gone in a moment, and is not left as a zombie
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _GOING)
    return b"", b""


def _last_words(process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
    """Return what a program that was ended has printed; leave one that we had no right to end."""
    try:
        return process.communicate(timeout=_GOING)
    except subprocess.TimeoutExpired as error:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return error.output or b"", error.stderr or b""


def converse(conversation: Conversation[T], runner: Runner = run) -> T:
    """Carry out a scheduler's conversation and return its answer."""
    try:
        command = next(conversation)
        while True:
            try:
                result = runner(command)
            except CommandMissing as error:
                command = conversation.throw(error)
            else:
                command = conversation.send(result)
    except StopIteration as stop:
        answer: T = stop.value
        return answer


async def aconverse(conversation: Conversation[T], runner: AsyncRunner = arun) -> T:
    """Carry out a scheduler's conversation like `converse`, without blocking."""
    try:
        command = next(conversation)
        while True:
            try:
                result = await runner(command)
            except CommandMissing as error:
                command = conversation.throw(error)
            else:
                command = conversation.send(result)
    except StopIteration as stop:
        answer: T = stop.value
        return answer


class Recorder:
    """A runner that notes every command, for tests and for counting.

    With `answers`, nothing is started: they are given in turn, and one too many calls fails.
    """

    def __init__(self, answers: Sequence[Result] | None = None, runner: Runner = run) -> None:
        self.commands: list[Command] = []
        self._answers = list(answers) if answers is not None else None
        self._runner = runner

    def __call__(self, command: Command) -> Result:
        """Note the command and answer it."""
        self.commands.append(command)
        if self._answers is None:
            return self._runner(command)
        if not self._answers:
            message = f"no recorded answer is left for {' '.join(command.argv)}"
            raise AssertionError(message)
        return self._answers.pop(0)


def _options(command: Command) -> dict[str, Any]:
    """Return how every program is started, by either of the two ways."""
    return {
        "stdin": subprocess.PIPE if command.input is not None else subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": minimal_environment(command.environment),
        "cwd": command.cwd,
        "start_new_session": True,
    }


def _given(command: Command) -> bytes | None:
    return None if command.input is None else command.input.encode()


def _result(command: Command, code: int | None, out: bytes, err: bytes, started: float) -> Result:
    return Result(
        argv=command.argv,
        returncode=code,
        stdout=out.decode(errors="surrogateescape"),
        stderr=err.decode(errors="surrogateescape"),
        seconds=time.monotonic() - started,
    )


def _cannot_start(command: Command, error: OSError) -> CommandMissing | NotAllowed:
    program = command.argv[0]
    if isinstance(error, FileNotFoundError):
        if command.cwd is not None and not command.cwd.is_dir():
            return NotAllowed(f"{program} cannot start in {command.cwd}: no such directory")
        hint = "load the scheduler's module, or set `bin` of this scheduler in the site YAML"
        return CommandMissing(f"{program}: command not found", hint=hint)
    return NotAllowed(f"{program} cannot be started: {error.strerror}")


def _end(pid: int) -> None:
    """End a program and its children: it leads a session of its own."""
    try:
        os.killpg(pid, 9)
    except (ProcessLookupError, PermissionError):
        return
