"""Every recorded call of every PBS program is understood, or refused in words."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pangeo_hpc.errors import PangeoHpcError, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Command, Result, converse
from pangeo_hpc.schedulers.base import JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.pbs_text import key_of, read_json, read_text
from pangeo_hpc.testing import Replay, Step, read_transcript
from pangeo_hpc.testing.contract import REQUEST

RECORDINGS = Path(__file__).parents[2] / "recordings" / "pbs"
FILES = sorted(RECORDINGS.glob("*.txt"))
STEPS = [step for path in FILES for step in read_transcript(path)]
pbs = PBS(SchedulerOptions())


def program(step: Step) -> str:
    """Return the PBS program of a step that is one plain call, else nothing."""
    shell = any(mark in step.command for mark in ("|", "$(", ";", "for ", "timeout ", "< "))
    return "" if shell else Path(step.argv[0]).name


def operands(step: Step) -> list[str]:
    return [word for word in step.argv[1:] if key_of(word)]


def always(result: Result) -> Callable[[Command], Result]:
    return lambda command: replace(result, argv=command.argv)


def conversations(ids: list[str]) -> Iterator[Callable[[], object]]:
    yield lambda: pbs.status(ids)
    yield lambda: pbs.history(ids)
    yield lambda: pbs.cancel(ids)
    yield lambda: pbs.submit(Path("/work/job.sh"), REQUEST)
    yield lambda: pbs.find("hello", "alice")
    yield pbs.nodes
    yield pbs.queues
    yield pbs.version


def test_all_files_are_here():
    """The 35 cases that were recorded are there, with all their steps."""
    assert len(FILES) == 35
    assert len(STEPS) == 974


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_no_answer_breaks_a_parser(path):
    """Whatever a program said, whole or cut off, any question ends in an answer or in words."""
    errors = []
    for step in read_transcript(path):
        ids = operands(step) or ["12.pbs-login", "13[].pbs-login"]
        out = step.result.stdout
        for size in {len(out), len(out) * 2 // 3, len(out) // 3, 60}:
            runner = always(replace(step.result, stdout=out[:size]))
            for conversation in conversations(ids):
                try:
                    converse(conversation(), runner)
                except PangeoHpcError as error:
                    errors.append(error)
    assert all(error.text and error.hint for error in errors)


@pytest.mark.parametrize(
    "step",
    [step for step in STEPS if program(step) == "qsub" and "--version" not in step.command],
    ids=lambda step: f"{step.case}-{step.number}",
)
def test_every_submission(step):
    """Each recorded qsub gives its id, is refused in PBS's words, or is known to be unclear."""
    conversation = pbs.submit(Path("/work/job.sh"), REQUEST)
    result = replace(step.result, argv=("/opt/pbs/bin/qsub", "job.sh"))
    if result.stdout.strip():
        assert converse(conversation, always(result)) == result.stdout.strip()
    elif result.returncode == 0 or "cannot connect" in result.stderr:
        with pytest.raises(SchedulerUnreachable):
            converse(conversation, always(result))
    else:
        with pytest.raises(SubmitRefused) as caught:
            converse(conversation, always(result))
        first = result.stderr.splitlines()[0].removeprefix("qsub:").strip()
        assert first in caught.value.text
        assert caught.value.hint
        assert "usage" not in caught.value.text


def jobs_in_json() -> list[Step]:
    wanted = []
    for step in STEPS:
        if program(step) == "qstat" and '"Jobs"' in step.result.stdout and "-u" not in step.argv:
            wanted.append(step)
    return wanted


@pytest.mark.parametrize("step", jobs_in_json(), ids=lambda step: f"{step.case}-{step.number}")
def test_every_job_in_json(step):
    """Each job that was recorded in JSON has a state, a name, an owner and times."""
    records = read_json(step.result.stdout, "Jobs")
    if records is None:
        assert "/opt/pbs-old/" in step.command, "only old clients print invalid JSON"
        return
    asked = list(records)
    known = converse(pbs.history(asked), always(replace(step.result, stderr="")))
    elements = [job_id for job_id in asked if "[]" not in job_id]
    assert set(known) >= set(elements)
    for status in known.values():
        assert status.name
        assert status.user in ("alice", "bob")
        assert status.submitted is not None
        assert status.state.ended == (status.word == "F")
        assert status.walltime is not None


def pairs() -> Iterator[tuple[Step, Step]]:
    """Yield each job that was asked for in JSON and, at the same moment, in text."""
    for steps in pairwise(STEPS):
        in_json = [step for step in steps if "-f -F json" in step.command]
        in_text = [step for step in steps if step.result.stdout.startswith("Job Id: ")]
        plain = [step for step in in_text if "-F" not in step.argv]
        if in_json and plain and operands(in_json[0]) == operands(plain[0]):
            yield in_json[0], plain[0]


PAIRS = [pair for pair in pairs() if pair[0].case == pair[1].case]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].case}-{pair[0].number}")
def test_text_says_the_same_as_json(pair):
    """A job is the same job in JSON and in the folded text that stands in for it."""

    def status(answers: list[Result]) -> dict[str, JobStatus]:
        left = list(answers)
        return converse(pbs.history(operands(pair[0])), lambda command: left.pop(0))

    in_json, in_text = pair[0].result, pair[1].result
    broken = replace(in_json, stdout="{", returncode=0, stderr="")
    assert status([broken, in_text]) == status([in_json])


def test_json_and_text_were_compared_often():
    """The comparison above is not empty."""
    assert len(PAIRS) >= 30


def test_replayed_by_argv():
    """The recorded steps answer our own command lines: options in any order, ids last."""
    replay = Replay(step for step in STEPS if program(step))
    known = converse(pbs.history(["11.pbs-login"]), replay)
    assert known["11.pbs-login"].name == "ok"
    assert replay.commands[0].argv == ("qstat", "-x", "-f", "-F", "json", "11.pbs-login")
    with pytest.raises(AssertionError, match="nobody recorded qstat"):
        converse(pbs.status(["4711"]), replay)


def test_a_transcript_that_is_none(tmp_path):
    """A file without steps, or cut off within one, is no transcript."""
    path = tmp_path / "x.txt"
    path.write_text("hello\n")
    with pytest.raises(ValueError, match="no recorded step"):
        read_transcript(path)
    path.write_text("#### step 1\ncommand: qstat\nexit: 0\n")
    with pytest.raises(ValueError, match="cut off"):
        read_transcript(path)


@settings(database=None, deadline=None)
@given(st.text())
def test_any_text_is_read(text):
    """No text whatever makes the readers fail."""
    read_json("{" + text, "Jobs")
    read_json(text, "nodes")
    read_text(text, "Job Id: ")
    read_text(text, "")


@settings(database=None, deadline=None)
@given(
    st.dictionaries(st.text(), st.text() | st.none() | st.booleans() | st.floats() | st.integers())
)
def test_any_values_are_read(record):
    """Values of any type become text: PBS types its JSON by guesswork."""
    text = json.dumps({"pbs_version": "x", "Jobs": {"1.s": record}})
    read = read_json(text, "Jobs")
    assert read is not None
    known = converse(pbs.status(["1"]), always(Result(("qstat",), 0, text)))
    assert list(known) == ["1"]
