"""How many jobs a user may submit to Slurm: in one array, and at all."""

from collections.abc import Callable, Iterable, Mapping

from pangeo_hpc.errors import CommandMissing
from pangeo_hpc.run import Command, Conversation
from pangeo_hpc.schedulers import slurm_words
from pangeo_hpc.schedulers.base import JobRequest, Room
from pangeo_hpc.schedulers.slurm_text import is_whole, number

_ASSOCIATION = ("Account", "MaxSubmitJobs", "GrpSubmitJobs", "DefaultQOS")
_QOS = ("Name", "MaxSubmitJobsPerUser", "GrpSubmitJobs")


def ask(
    call: Callable[..., Command], config: Mapping[str, str], request: JobRequest, user: str
) -> Conversation[Room]:
    """Return the limits; slurmdbd is asked for the user's own where there is one.

    The indices of an array are below MaxArraySize, and each element counts as a job.
    """
    told = number(config.get("MaxArraySize", ""))
    # 0 means no arrays at all: jobs go one by one
    elements = None if told is None else max(told, 1)
    if not config.get("AccountingStorageType", "").endswith("slurmdbd"):
        return Room(elements=elements)
    quiet = ("--noheader", "--parsable2", "show")
    mine = (
        f"user={user}",
        *((f"cluster={config['ClusterName']}",) if "ClusterName" in config else ()),
    )
    text = yield from _answer(
        call, *quiet, "assoc", "where", *mine, f"format={','.join(_ASSOCIATION)}"
    )
    rows = _rows(text, _ASSOCIATION)
    rows = [row for row in rows if row["Account"] == request.account] or rows
    names = {request.qos} if request.qos else {row["DefaultQOS"] or "normal" for row in rows}
    text = yield from _answer(call, *quiet, "qos", f"format={','.join(_QOS)}")
    rows += [row for row in _rows(text, _QOS) if row["Name"] in names]
    return Room(elements=elements, jobs=_least(rows))


def _answer(call: Callable[..., Command], *arguments: str) -> Conversation[str]:
    """Return what sacctmgr says; nothing where it is not there or does not answer."""
    try:
        result = yield call("sacctmgr", *arguments, with_cluster=False)
    except CommandMissing:
        return ""
    if result.returncode or slurm_words.no_answer(result) or not is_whole(result.stdout):
        return ""
    return result.stdout


def _rows(text: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    rows = [line.split("|") for line in text.splitlines()]
    return [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]


def _least(rows: Iterable[Mapping[str, str]]) -> int | None:
    told = (number(value) for row in rows for key, value in row.items() if "Submit" in key)
    return min((limit for limit in told if limit is not None), default=None)
