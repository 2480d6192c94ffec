"""Ask qstat about jobs: few calls, and never a job taken as gone because one answer lacks it.

JSON first, for each id that it leaves open the text. Seen so far: no "Jobs" at all (fine, there is
none), invalid JSON for one odd job of anybody (up to 23.06.06), and several ids of which only the
first is answered, with exit status 0 (builds of 2025 and later, OpenPBS issue 2672).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pangeo_hpc.run import Command, Conversation, Result
from pangeo_hpc.schedulers import pbs_words as words
from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.schedulers.pbs_parse import job_status
from pangeo_hpc.schedulers.pbs_text import Key, Record, key_of, read_json, read_text
from pangeo_hpc.schedulers.pbs_words import NO_SUCH_JOB

# 500 jobs took 0.3 s asked all at once, 200 ids 1.9 s; so from here on ask for all and choose.
MANY = 100

Records = dict[Key, tuple[str, Record]]


class Caller(Protocol):
    """Makes the command for a PBS program and its arguments."""

    def __call__(self, program: str, *arguments: str) -> Command:
        """Return the command."""
        ...


@dataclass(frozen=True)
class _Question:
    """Jobs to ask for in one call of qstat, or, with `everything`, by asking for every job."""

    flags: tuple[str, ...]
    ids: Mapping[Key, str]
    everything: bool = False


def ask_jobs(
    call: Caller, ids: Collection[str], *, history: bool
) -> Conversation[dict[str, JobStatus]]:
    """Return the status of each job that PBS knows, under the id it was asked by.

    An array's id answers with its elements. What is no id of PBS is not asked.
    """
    asked: dict[Key, list[str]] = {}
    for job_id in ids:
        key = key_of(job_id)
        if key is not None:
            asked.setdefault(key, []).append(job_id)
    records: Records = {}
    for question in _questions(asked, history):
        records |= yield from _ask(call, question)
    return _statuses(asked, records)


def _questions(asked: Mapping[Key, list[str]], history: bool) -> Iterator[_Question]:
    """Divide what is asked: whole arrays need -t, which would unfold everybody's arrays too."""
    elements = Counter(number for number, index in asked if index)
    whole = {number for number, index in asked if index == ""}
    whole |= {number for number, count in elements.items() if count > 1}
    flags = ("-x",) if history else ()
    alone = {key: ids[0] for key, ids in asked.items() if key[0] not in whole}
    if len(alone) > MANY and not history:
        yield _Question((*flags, "-f"), alone, everything=True)
    else:
        yield from _chunks((*flags, "-f"), alone)
    arrays: dict[Key, str] = {}
    for (number, _), ids in asked.items():
        if number in whole:
            arrays[number, ""] = re.sub(r"\[\d+\]", "[]", ids[0])
    yield from _chunks((*flags, "-t", "-f"), arrays)


def _chunks(flags: tuple[str, ...], ids: Mapping[Key, str]) -> Iterator[_Question]:
    items = list(ids.items())
    for start in range(0, len(items), MANY):
        yield _Question(flags, dict(items[start : start + MANY]))


def _ask(call: Caller, question: _Question) -> Conversation[Records]:
    ids = () if question.everything else question.ids.values()
    result = yield call("qstat", *question.flags, "-F", "json", *ids)
    words.check(result)
    if words.history_off(result):
        return {}
    read = read_json(result.stdout, "Jobs")
    records = _keyed(read or {}, question)
    if read is not None and question.everything:
        return records
    left = {
        key: job_id
        for key, job_id in question.ids.items()
        if key not in records and key not in words.gone(result)
    }
    for part in _chunks(question.flags, left):
        records |= yield from _ask_text(call, part)
    return records


def _ask_text(call: Caller, question: _Question) -> Conversation[Records]:
    """Ask for the text form, by id only: it can be forged by whoever owns one of the jobs."""
    result = yield from _call_text(call, question.flags, question.ids.values())
    if words.history_off(result):
        return {}
    told = read_text(result.stdout, "Job Id: ")
    if not told.complete:
        raise words.cut_off(result)
    gone = words.gone(result)
    records = {k: v for k, v in _keyed(told.records, question).items() if k not in gone}
    if set(question.ids) - set(records) - gone and result.returncode not in (0, *NO_SUCH_JOB):
        raise words.unexpected(result)
    for key in [key for key, (name, _) in records.items() if name in told.twice]:
        name, _ = records.pop(key)
        records |= yield from _ask_one(call, question.flags, key, name)
    return records


def _ask_one(call: Caller, flags: tuple[str, ...], key: Key, job_id: str) -> Conversation[Records]:
    """Ask for one job, of which only the first record counts: nothing can come before it."""
    result = yield from _call_text(call, flags, (job_id,))
    told = read_text(result.stdout, "Job Id: ")
    name = next(iter(told.records), "")
    return {key: (name, told.records[name])} if key_of(name) == key else {}


def _call_text(call: Caller, flags: tuple[str, ...], ids: Iterable[str]) -> Conversation[Result]:
    """Return the text answer; clients without -w fold it, which can be undone."""
    result = yield call("qstat", *flags, "-w", *ids)
    if result.returncode == words.USAGE:
        result = yield call("qstat", *flags, *ids)
    words.check(result)
    return result


def _keyed(read: Mapping[str, Record], question: _Question) -> Records:
    """Return the records of the jobs that were asked for, and of their elements."""
    numbers = {number for number, _ in question.ids}
    result: Records = {}
    for name, record in read.items():
        key = key_of(name)
        if key is not None and key[0] in numbers:
            result.setdefault(key, (name, record))
    return result


def _statuses(asked: Mapping[Key, list[str]], records: Records) -> dict[str, JobStatus]:
    known: dict[str, JobStatus] = {}
    for key, (name, record) in records.items():
        number, index = key
        array = records.get((number, ""))
        names = list(asked.get(key, ()))
        if index == "":
            continue
        if index and (number, "") in asked:
            names.append(name)
        for job_id in names:
            known[job_id] = job_status(job_id, record, array[1] if index and array else None)
    return known
