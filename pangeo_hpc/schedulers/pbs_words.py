"""What PBS says about itself: which words mean what, and the next step for each."""

import re

from pangeo_hpc.errors import SchedulerError, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Result
from pangeo_hpc.schedulers import refusals
from pangeo_hpc.schedulers.pbs_text import Key, key_of, printable

# Exit statuses are error numbers modulo 256: 15139 finished, 15001 unknown job.
FINISHED, UNKNOWN_JOB = 35, 153
NO_SUCH_JOB = (FINISHED, UNKNOWN_JOB)
USAGE = 2

_NO_SERVER = re.compile(
    r"cannot connect to server|Couldn't connect to cluster|^End of File|Connection reset", re.M
)
_NOBODY_LISTENS = re.compile(r"^Connection refused|^Unknown Host|errno=150(10|08)", re.M)
_HISTORY_OFF = "not configured to maintain job history"
_GONE = (
    re.compile(r"Unknown Job Id (\S+)"),
    re.compile(r"(\S+) Job has finished"),
    re.compile(r"Job has finished (\S+)"),
    re.compile(r"illegally formed job identifier: (\S+)"),
)
_PROGRAM = re.compile(r"^(?:/\S*/)?(?:qsub|qstat|qdel|qselect|pbsnodes): *")


def said(result: Result) -> str:
    """Return PBS's own words in one line, without the usage text that may follow them."""
    lines = []
    for line in printable(result.words).splitlines():
        if line.lower().startswith("usage:"):
            break
        lines.append(_PROGRAM.sub("", line).strip())
    return "; ".join(line for line in lines if line) or f"exit status {result.returncode}"


def check(result: Result) -> None:
    """Raise SchedulerUnreachable if the server gave no answer at all.

    Behind a firewall that drops packets the commands hang for 134 s, so ours have their own
    timeout. Exit statuses differ by command (162, 255, 160, 1), the words do not.
    """
    program = result.argv[0].rpartition("/")[2] if result.argv else "PBS"
    if result.timed_out or (result.returncode or 0) < 0:
        text = f"{program}: {said(result)}"
        hint = "PBS is overloaded, down or behind a firewall; try again in a few minutes"
        raise SchedulerUnreachable(text, hint=hint)
    if not result.returncode:
        return
    if _NO_SERVER.search(result.stderr):
        error = SchedulerUnreachable(f"{program}: {said(result)}", hint=_no_server(result.stderr))
        error.unsent = _NOBODY_LISTENS.search(result.stderr) is not None
        raise error
    if "Supporting protocol failure" in result.stderr:
        hint = "these commands are too old or too new for the server; see `bin` of this scheduler"
        raise SchedulerError(f"{program}: {said(result)}", hint=hint)


def _no_server(words: str) -> str:
    if "pbs conf" in words:
        return "PBS_CONF_FILE names no pbs.conf; set it in `environment` of this scheduler"
    if "15008" in words:
        return "check `server` of this scheduler in the site YAML: its name does not resolve"
    return "the PBS server is down or restarts; jobs that run go on, so try again in a few minutes"


def unexpected(result: Result) -> SchedulerError:
    """Return the error for an answer that has no meaning here."""
    program = result.argv[0].rpartition("/")[2] if result.argv else "PBS"
    hint = "run the same command by hand; if it is not PBS's own, set `bin` of this scheduler"
    return SchedulerError(f"{program}: {said(result)}", hint=hint)


def cut_off(result: Result) -> SchedulerUnreachable:
    """Return the error for an answer whose end is missing: no news, not an end of any job."""
    program = result.argv[0].rpartition("/")[2] if result.argv else "PBS"
    return SchedulerUnreachable(
        f"{program}: the answer cannot be read or was cut off", hint="try again in a minute"
    )


def gone(result: Result) -> set[Key]:
    """Return the jobs that PBS said it does not have, or has no more."""
    found = set()
    for line in result.stderr.splitlines():
        for pattern in _GONE:
            match = pattern.search(line)
            key = key_of(match[1]) if match else None
            if key:
                found.add(key)
    return found


def history_off(result: Result) -> bool:
    """Tell whether the server keeps no history, its default; the exit status is 0 then."""
    return _HISTORY_OFF in result.stderr


def refused(result: Result) -> SubmitRefused:
    """Return the error for a job that qsub did not take."""
    words = result.words
    return SubmitRefused(f"PBS refused the job: {said(result)}", hint=refusals.hint("pbs", words))


def cancel_problems(result: Result, ids: list[str]) -> dict[str, str]:
    """Return what went wrong for each id; one that is gone, or unknown, is no problem."""
    keys = {key_of(job_id): job_id for job_id in ids}
    problems: dict[str, str] = {}
    unexplained = []
    for raw in result.stderr.splitlines():
        line = _PROGRAM.sub("", printable(raw)).strip()
        if any(pattern.search(line) for pattern in _GONE) or not line:
            continue
        words, _, last = line.rpartition(" ")
        job_id = keys.get(key_of(last))
        if job_id is None:
            unexplained.append(line)
        else:
            problems[job_id] = _cancel_hint(words.strip(), job_id)
    if unexplained and not problems and result.returncode not in (0, *NO_SUCH_JOB):
        return dict.fromkeys(ids, "; ".join(unexplained))
    return problems


def _cancel_hint(words: str, job_id: str) -> str:
    if "could not connect to MOM" in words:
        return f"{words}; its node does not answer: qdel -W force {job_id}"
    return words
