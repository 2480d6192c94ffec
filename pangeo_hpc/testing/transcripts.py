"""Recorded calls of a scheduler's programs, read from text files and played back by argv.

A file holds steps, each with its command line, exit status and both streams byte-exact::

    #### step 2
    host: login
    user: alice
    command: qstat -f 12
    exit: 0
    stdout: 25 bytes
    Job Id: 12.server
    ...
    stderr: 0 bytes
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pangeo_hpc.run import Command, Result

_HEADS = ("host", "user", "cwd", "command", "note", "seconds", "exit")

# Letters of options that take a value, by program.
_WITH_VALUE = {
    "qstat": "FDuW",
    "qselect": "acehlmMNpPqrsTu",
    "qdel": "W",
    "pbsnodes": "CDFs",
    "squeue": "jnotupPAwM",
    "sacct": "jnoSEuAM",
}


@dataclass(frozen=True)
class Step:
    """One recorded call. `case` is the name of its file, `number` its place there."""

    case: str
    number: int
    command: str
    result: Result
    user: str = ""
    host: str = ""
    note: str = ""

    @property
    def argv(self) -> tuple[str, ...]:
        """Return the words of the command line, without variables set before the program."""
        words = shlex.split(self.command)
        while words and "=" in words[0]:
            words.pop(0)
        return tuple(words)


def read_transcript(path: Path) -> list[Step]:
    """Return the steps of one file, in order. Raise ValueError where the file is not one."""
    data = path.read_bytes()
    steps, position = [], 0
    while position < len(data):
        line, position = _line(data, position)
        if line.startswith(b"#### file ") and line.endswith(b" bytes"):
            position += int(line.split(b": ")[-1].removesuffix(b" bytes")) + 1
        elif line.startswith(b"#### step "):
            step, position = _step(path.stem, int(line[10:]), data, position)
            steps.append(step)
    if not steps:
        message = f"{path} holds no recorded step"
        raise ValueError(message)
    return steps


class Replay:
    """A runner that answers from recorded steps whose program, options and operands are the same.

    Steps recorded for the same call are given in turn, the last one again and again. A call that
    nobody recorded fails the test.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self.commands: list[Command] = []
        self._answers: dict[object, list[Result]] = {}
        for step in steps:
            self._answers.setdefault(_key(step.argv), []).append(step.result)

    def __call__(self, command: Command) -> Result:
        """Note the command and answer it."""
        self.commands.append(command)
        answers = self._answers.get(_key(command.argv))
        if not answers:
            message = f"nobody recorded {shlex.join(command.argv)}"
            raise AssertionError(message)
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _key(argv: tuple[str, ...]) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """Return what makes two calls the same: ``-xf -F json`` is ``-x -f -F json``."""
    if not argv:
        return "", frozenset(), ()
    program = Path(argv[0]).name
    letters = _WITH_VALUE.get(program, "")
    options, operands, words = set(), [], list(argv[1:])
    while words:
        word = words.pop(0)
        if word.startswith("--") or not word.startswith("-"):
            operands.append(word)
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter in letters:
                value = word[place:] or (words.pop(0) if words else "")
                options.add(f"{letter}={value}")
                break
            options.add(letter)
    return program, frozenset(options), tuple(operands)


def _line(data: bytes, position: int) -> tuple[bytes, int]:
    end = data.find(b"\n", position)
    end = len(data) if end < 0 else end
    return data[position:end], end + 1


def _step(case: str, number: int, data: bytes, position: int) -> tuple[Step, int]:
    heads: dict[str, str] = {}
    streams: dict[str, str] = {}
    last = ""
    while "stderr" not in streams:
        if position >= len(data):
            message = f"{case}: step {number} is cut off"
            raise ValueError(message)
        line, position = _line(data, position)
        key, _, value = line.decode(errors="surrogateescape").partition(": ")
        if key in ("stdout", "stderr") and value.endswith(" bytes"):
            size = int(value.removesuffix(" bytes"))
            stream = data[position : position + size]
            position += size + (size > 0 and not stream.endswith(b"\n"))
            streams[key] = stream.decode(errors="surrogateescape")
        elif key in _HEADS:
            last = key
            heads[key] = value
        else:
            heads[last] += "\n" + line.decode(errors="surrogateescape")
    return _made(case, number, heads, streams), position


def _made(case: str, number: int, heads: Mapping[str, str], streams: Mapping[str, str]) -> Step:
    command = heads["command"]
    result = Result(
        argv=(command,),
        returncode=int(heads["exit"]),
        stdout=streams["stdout"],
        stderr=streams["stderr"],
        seconds=float(heads.get("seconds", "0")),
    )
    return Step(
        case=case,
        number=number,
        command=command,
        result=result,
        user=heads.get("user", ""),
        host=heads.get("host", ""),
        note=heads.get("note", ""),
    )
