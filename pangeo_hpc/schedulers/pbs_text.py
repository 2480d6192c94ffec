"""Read what the PBS commands print: JSON where it is valid, else their text.

Both become flat records of text, ``{"job_state": "R", "Resource_List.mem": "100mb"}``. The JSON is
typed by guesswork (a job called 1e5 may be a number), so every value is taken back to its text.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Record = Mapping[str, str]
Key = tuple[str, str | None]

_ID = re.compile(r"(\d+)(?:\[(\d*)\])?(?:\.[A-Za-z0-9][A-Za-z0-9.-]*)?")
_ATTRIBUTE = re.compile(r" {4,5}([A-Za-z_][\w.]*) = ?(.*)")
_TIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d+) (\d+):(\d+):(\d+) (\d{4})")
_SIZE = re.compile(r"(\d+) ?([kmgtp]?)b?", re.IGNORECASE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def key_of(job_id: str) -> Key | None:
    """Return number and index of a job id, None if it is none.

    The index is None for a single job, empty for an array and a number for an element.
    """
    match = _ID.fullmatch(job_id)
    return (match[1], match[2]) if match else None


@dataclass(frozen=True)
class Told:
    """Records read from text. `twice` are the names that came more than once.

    Values may hold line breaks of a user's choosing, and so pretend to be another record: what is
    told twice is not to be believed. `complete` is False where the end is missing.
    """

    records: Mapping[str, Record]
    twice: frozenset[str]
    complete: bool


def read_json(text: str, section: str) -> dict[str, Record] | None:
    """Return the records of one section (Jobs, nodes, Queue, Server), None if it is not JSON.

    A document without the section is valid: there is nothing of that kind. A banner may come
    first. Releases up to 23.06.06 print ``inf``, ``nan`` and a lone backslash as they are, and
    then nothing of the document can be read.
    """
    start = re.search(r"^\{", text, re.MULTILINE)
    if not start:
        return None
    twice: list[str] = []

    def collect(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(name for name in result if names.count(name) > 1)
        return result

    decoder = json.JSONDecoder(
        parse_int=str,
        parse_float=str,
        parse_constant=str,
        strict=False,
        object_pairs_hook=collect,
    )
    try:
        document, end = decoder.raw_decode(text, start.start())
    except (ValueError, RecursionError):
        return None
    forged = any(key_of(name) for name in twice)
    if forged or "pbs_version" not in document or text[end:].strip():
        return None
    found = document.get(section, {})
    if not isinstance(found, dict):
        return None
    return {name: dict(_flat(value)) for name, value in found.items() if isinstance(value, dict)}


def _flat(values: Mapping[str, object], stem: str = "") -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            result += _flat(value, f"{stem}{name}.")
        elif isinstance(value, list):
            result.append((stem + name, ",".join(map(_text, value))))
        else:
            result.append((stem + name, _text(value)))
    return result


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return printable(str(value))


def printable(text: str) -> str:
    """Return text that can be shown: bytes that were not UTF-8 become question marks."""
    return text.encode(errors="replace").decode()


def read_text(text: str, head: str) -> Told:
    """Return the records of ``qstat -f`` or ``pbsnodes -a``; each starts with `head` and a name.

    Long lines are folded at a tab, in the middle of a word if need be. Every record ends with an
    empty line, so an answer without one was cut off.
    """
    records: dict[str, dict[str, str]] = {}
    twice: set[str] = set()
    current: dict[str, str] = {}
    last = ""
    for line in text.replace("\n\t", "").split("\n"):
        match = _ATTRIBUTE.fullmatch(line)
        if match:
            last = match[1]
            current[last] = printable(match[2])
        elif line.startswith(head) and line.strip() and not line.startswith(" "):
            name = line.removeprefix(head).strip()
            if name in records:
                twice.add(name)
            current, last = {}, ""
            records.setdefault(name, current)
        elif line and last:
            current[last] += "\n" + printable(line)
    complete = not text or (bool(records) and text.endswith("\n\n"))
    return Told(records, frozenset(twice), complete)


def parse_time(text: str) -> datetime | None:
    """Return a ctime string or seconds since 1970 as UTC, which we let the commands print."""
    match = _TIME.fullmatch(text.strip())
    if match and match[1] in _MONTHS:
        month = _MONTHS.index(match[1]) + 1
        day, hour, minute, second, year = (int(match[n]) for n in range(2, 7))
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return None
    if re.fullmatch(r"\d{9,11}", text):
        return datetime.fromtimestamp(int(text), UTC)
    return None


def parse_period(text: str) -> timedelta | None:
    """Return ``HH:MM:SS`` (hours may exceed 99) or plain seconds as a time."""
    parts = text.split(":")
    if not all(part.isdecimal() for part in parts) or len(parts) > 3:
        return None
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return timedelta(seconds=seconds)


def parse_size(text: str) -> int | None:
    """Return ``100mb``, ``512000kb`` or a bare number in bytes; units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        return None
    power = "_kmgtp".index(match[2].lower() or "_")
    return int(match[1]) << (10 * power)


def parse_number(text: str) -> int | None:
    """Return a whole number, None for anything else such as ``<various>``."""
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None
