"""What Slurm says about itself: which words mean what, and the next step for each."""

import re

from pangeo_hpc.errors import SchedulerError, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Result

_NO_ANSWER = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Zero Bytes were transmitted"
    r"|Communication connection failure|Communication shutdown failure|Transport endpoint"
    r"|Connection (refused|reset|timed out)|in standby mode|Unable to establish controller"
    r"|can't be reached now|configuration source|Unable to process configuration"
    r"|Unexpected message received|Protocol authentication error|[Mm]unge"
)
_NOBODY_LISTENS = re.compile(r"\(connect failure\)|Connection refused|configuration source")
_NOT_KNOWN = re.compile(r"Invalid job id specified")
_ENDED = re.compile(
    r"Invalid job id specified|already completing or completed|already finished|Job is finished"
)
_MISUSE = re.compile(
    r"(unrecognized|invalid|ambiguous) option|Invalid user|[Ii]nvalid (job format|field)"
    r"|[Uu]nknown (field|fields)|Invalid field"
)
_STORAGE_OFF = re.compile(
    r"accounting storage is disabled|not running a supported accounting_storage"
)
_BUSY = re.compile(
    r"temporarily unable|temporarily unavailable|MaxSubmit|queue is full|MaxJobCount|AssocMaxJobs"
    r"|QOSMaxJobs"
)
_PROGRAM = re.compile(r"^(?:/\S*/)?s[a-z]+: *(?:error: *|fatal: *)?")
_CANCEL = re.compile(
    r"error on (?:job|step)? ?(?:step )?(?:job )?id ([\d_]+(?:\[[\d,-]+\])?)(?:\.\w+)?: (.*)"
)

_MINE = "`sacctmgr show assoc user=$USER` lists what you may use"
# The first that matches gives the hint of a refused submission (recorded from 22.05).
_REFUSALS = (
    (
        "Invalid account or account/partition",
        f"check --account, or `account` in ~/.config/pangeo-hpc/user.yaml; {_MINE}",
    ),
    (
        "nvalid partition",
        "`sinfo -s` lists the partitions; correct `queue` of the node type",
    ),
    ("nvalid qos", f"correct `qos` of the node type; {_MINE}"),
    ("MaxSubmit", "you have as many jobs queued as you may; wait until some have ended"),
    ("time limit", "lower the walltime, or choose a node type whose queue allows it"),
    ("MaxWall", "lower the walltime, or choose a node type whose QOS allows it"),
    ("Memory specification", "ask for less memory: no node of this queue has so much"),
    (
        "violates accounting/QOS policy",
        f"ask for less: it is beyond a limit of your account or of its QOS; {_MINE}",
    ),
    (
        "node configuration is not available",
        "no node of this queue has so many cores, so much memory or such GPUs; see `sinfo -N -l`",
    ),
    ("Node count specification", "ask for fewer nodes: this queue has not so many"),
    ("More processors requested", "ask for fewer cores or nodes"),
    ("nvalid feature", "correct `constraint` of the node type; `sinfo -o %f` lists the features"),
    (
        "generic resource",
        "this site has no such GPUs; `sinfo -o %G` lists them for `gpus` and `gpu_type`",
    ),
    ("job array specification", "ask for fewer jobs at once: the limit is Slurm's MaxArraySize"),
    ("nvalid license", "correct the license in the site's `directives` or `options`"),
    ("reservation is invalid", "`scontrol show reservation` lists the reservations you may use"),
    ("Access denied to requested reservation", "ask its owner, or leave the reservation out"),
    ("dependency problem", "the job named after --after is not known any more; leave it out"),
    ("partition configuration not available", "this queue takes no jobs now; choose another"),
    ("partition not available", "this queue takes no jobs now; choose another node type or wait"),
    ("nvalid node name", "correct the hosts in the site's `directives` or `options`"),
    ("Unable to open file", "the job script is gone; submit again"),
    ("temporarily unable to accept job", "Slurm has as many jobs as it can hold; try again later"),
    ("temporarily unavailable", "Slurm has as many jobs as it can hold; try again later"),
    ("Invalid user id", "submit as yourself: Slurm does not know this user"),
    ("ermission denied", "you may not use this queue; ask the centre, or choose another node type"),
    ("directive found in batch script", "a line of the site's `directives` or `options` is wrong"),
    ("specification", "a value in the site's `directives` or `options` cannot be read by sbatch"),
    ("option", "an option in the site's `directives` or `options` is not one of this Slurm"),
)


def said(result: Result) -> str:
    """Return Slurm's own words in one line, without the names of its programs."""
    text = "".join(char for char in result.words if char.isprintable() or char == "\n")
    lines = [_PROGRAM.sub("", line).strip() for line in text.splitlines()]
    kept = [line for line in dict.fromkeys(lines) if line and not line.startswith('Try "')]
    return "; ".join(kept) or f"exit status {result.returncode}"


def program_of(result: Result) -> str:
    """Return the name of the program that answered."""
    return result.argv[0].rpartition("/")[2] if result.argv else "slurm"


def no_answer(result: Result) -> bool:
    """Tell whether nobody answered, or the answer did not arrive whole."""
    ended = result.timed_out or (result.returncode or 0) < 0
    return ended or _NO_ANSWER.search(result.stderr) is not None


def unreachable(result: Result) -> SchedulerUnreachable:
    """Return the error for a question that was not answered: no news about any job."""
    hint = "Slurm is overloaded or down; jobs that run go on, so try again in a few minutes"
    if "configuration" in result.stderr:
        hint = "no slurm.conf was found; set SLURM_CONF in `environment` of this scheduler"
    return SchedulerUnreachable(f"{program_of(result)}: {said(result)}", hint=hint)


def check(result: Result) -> None:
    """Raise SchedulerUnreachable if a question failed, SchedulerError if it was a wrong one.

    With several clusters squeue answers with exit status 0 although one of them did not.
    """
    if not result.returncode and not no_answer(result):
        return
    if not no_answer(result) and _MISUSE.search(result.stderr):
        hint = "run the same command by hand; if it is not Slurm's own, set `bin` of this scheduler"
        raise SchedulerError(f"{program_of(result)}: {said(result)}", hint=hint)
    raise unreachable(result)


def cut_off(result: Result) -> SchedulerUnreachable:
    """Return the error for an answer whose end is missing: no news, not an end of any job."""
    text = f"{program_of(result)}: the answer was cut off"
    return SchedulerUnreachable(text, hint="try again in a minute")


def no_such_job(result: Result) -> bool:
    """Tell whether squeue or scontrol failed because they do not know the job any more."""
    return bool(result.returncode) and _NOT_KNOWN.search(result.stderr) is not None


def storage_off(result: Result) -> bool:
    """Tell whether this Slurm keeps no accounts and no history: it runs without slurmdbd."""
    return _STORAGE_OFF.search(result.stderr + result.stdout) is not None


def accepted(result: Result, script_says: str = r"(\d+)(?:;\S+)?") -> str | None:
    """Return the job's id from sbatch's answer: the last whole line that is one.

    Banners may come first. sbatch may have been ended after it had answered. A last line without
    its end may lack digits, so it is no answer.
    """
    found = None
    for line in result.stdout.splitlines(keepends=True):
        match = re.fullmatch(rf"(?:{script_says}|Submitted batch job (\d+).*)\n", line)
        if match:
            found = match[1] or match[2]
    return found


def refused(result: Result) -> SubmitRefused:
    """Return the error for a job that sbatch did not take."""
    words = said(result)
    hint = "this is the site's own rule; its documentation or support can say more"
    for mark, step in _REFUSALS:
        if mark in words:
            hint = step
            break
    error = SubmitRefused(f"slurm refused the job: {words}", hint=hint)
    error.retry = _BUSY.search(words) is not None
    return error


def unclear(result: Result) -> SchedulerUnreachable:
    """Return the error for a submission without a clear answer.

    After a timeout on its socket slurmctld still takes the job when it wakes (measured on 22.05);
    where nobody listens, no job can have been taken.
    """
    if _NOBODY_LISTENS.search(result.stderr) and not result.timed_out:
        error = unreachable(result)
        error.unsent = True
        return error
    hint = "the job may or may not exist; look for it by its name before submitting again"
    return SchedulerUnreachable(f"{program_of(result)}: {said(result)}", hint=hint)


def cancel_problems(result: Result, ids: list[str]) -> dict[str, str]:
    """Return what went wrong for each id; one that is gone, or unknown, is no problem."""
    problems: dict[str, str] = {}
    unexplained = []
    for line in result.stderr.splitlines():
        match = _CANCEL.search(line)
        if _ENDED.search(line) or not line.strip():
            continue
        if match:
            problems[match[1]] = match[2].strip()
        else:
            unexplained.append(_PROGRAM.sub("", line).strip())
    if unexplained and not problems and result.returncode:
        return dict.fromkeys(ids, "; ".join(unexplained))
    return problems
