"""What a Slurm shows and keeps: others' jobs, history, QOS."""

import re
from collections.abc import Callable, Mapping

from pangeo_hpc.errors import CommandMissing
from pangeo_hpc.run import Command, Conversation
from pangeo_hpc.schedulers import slurm_words
from pangeo_hpc.schedulers.base import Qos, Settings
from pangeo_hpc.schedulers.slurm_text import is_whole, walltime

_QOS = "format=Name,MaxWall"
_LEVEL = "format=User,AdminLevel"
_OVERSEERS = ("Operator", "Administrator")
_KEEP = "run slurmdbd, and set AccountingStorageType=accounting_storage/slurmdbd in slurm.conf"
_WAKE = "start slurmdbd, or look into its log: `sacctmgr show cluster` must answer"


def ask(
    call: Callable[..., Command], config: Mapping[str, str], user: str
) -> Conversation[Settings]:
    """Return the settings, from the configuration and from slurmdbd where there is one.

    The level of a user who is not an operator is not told where PrivateData has users.
    """
    private = "jobs" in config.get("PrivateData", "none").lower().split(",")
    overseer: bool | None = True if user == "root" else None
    history: bool | None = False
    qos: tuple[Qos, ...] | None = None
    if config.get("AccountingStorageType", "").endswith("slurmdbd"):
        history, _ = yield from _answer(call("sacct", *_QUIET, "--starttime=now", "--format=JobID"))
        show = (*_QUIET, "show")
        told, text = yield from _answer(call("sacctmgr", *show, "qos", _QOS, with_cluster=False))
        qos = parse_qos(text) if told else None
        if overseer is None:
            words = (*show, "user", user, _LEVEL)
            told, text = yield from _answer(call("sacctmgr", *words, with_cluster=False))
            overseer = is_overseer(text, user) if told else None
    elif overseer is None:
        overseer = False
    return Settings(
        private_jobs=private,
        overseer=overseer,
        history=history,
        qos=qos,
        to_see_all=f"sacctmgr modify user {user} set adminlevel=operator",
        to_keep_history=_WAKE if history is None else _KEEP,
    )


def parse_config(text: str) -> dict[str, str]:
    """Return the keys and values of ``scontrol show config``."""
    rows = re.findall(r"^(\w+) *= *(.*?)\s*$", text, re.M)
    return dict(rows)


def parse_qos(text: str) -> tuple[Qos, ...]:
    """Return the QOS of ``sacctmgr show qos``; a line that is none is a banner."""
    rows = [line.split("|") for line in text.splitlines()]
    return tuple(
        Qos(name=row[0], max_walltime=walltime(row[1])) for row in rows if len(row) == 2 and row[0]
    )


def is_overseer(text: str, user: str) -> bool:
    """Tell whether a user is an operator or an administrator of Slurm."""
    return any(f"{user}|{level}" in text.splitlines() for level in _OVERSEERS)


def _answer(command: Command) -> Conversation[tuple[bool | None, str]]:
    """Return whether slurmdbd told something, and what; None if it does not answer."""
    try:
        result = yield command
    except CommandMissing:
        return None, ""
    if slurm_words.storage_off(result):
        return False, ""
    if result.returncode or slurm_words.no_answer(result) or not is_whole(result.stdout):
        return None, ""
    return True, result.stdout


_QUIET = ("--noheader", "--parsable2")
