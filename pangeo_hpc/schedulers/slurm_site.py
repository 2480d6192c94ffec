"""What Slurm tells about the cluster: its nodes, partitions and accounts."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pangeo_hpc.schedulers.base import Account, Node, NodeState, Queue
from pangeo_hpc.schedulers.slurm_text import walltime
from pangeo_hpc.units import MIB

ACCOUNT_COLUMNS = ("Cluster", "DefaultAccount", "Account", "DefaultQOS", "QOS")

_KEY = re.compile(r"(?:^|\s)([A-Za-z][\w:/]*)=")
_GPUS = re.compile(r"gres/gpu=(\d+)")
_GRES = re.compile(r"\bgpu(?::[^:,()]+)?:(\d+)(?=[,(]|$)")
# A node with one of these takes no work, whatever else it is.
_UNUSABLE = {
    "DOWN",
    "DRAIN",
    "DRAINED",
    "DRAINING",
    "ERROR",
    "FAIL",
    "FUTURE",
    "INVALID_REG",
    "MAINT",
    "MAINTENANCE",
    "NOT_RESPONDING",
    "REBOOT_ISSUED",
    "UNKNOWN",
}
_TAKEN = {"ALLOCATED", "COMPLETING", "RESERVED"}


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Return the nodes of ``scontrol --details --oneliner show node``."""
    return tuple(_node(facts) for facts in _lines(text, "NodeName"))


def parse_queues(text: str) -> tuple[Queue, ...]:
    """Return the partitions of ``scontrol --oneliner show partition``."""
    return tuple(_queue(facts) for facts in _lines(text, "PartitionName"))


def parse_accounts(text: str, cluster: str | None) -> tuple[Account, ...]:
    """Return the accounts of one cluster, one each, its own default QOS first."""
    found: dict[str, Account] = {}
    for row in account_rows(text):
        if cluster not in (None, row["Cluster"]):
            continue
        name, first = row["Account"], row["DefaultQOS"]
        names = [first, *row["QOS"].split(",")]
        known = found.get(name, Account(name=name, default=name == row["DefaultAccount"]))
        qos = dict.fromkeys(qos for qos in (*known.qos, *names) if qos)
        found[name] = replace(known, qos=tuple(qos))
    return tuple(found.values())


def account_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of sacctmgr's answer; what has other columns is a banner."""
    rows = [line.split("|") for line in text.splitlines()]
    return [
        dict(zip(ACCOUNT_COLUMNS, row, strict=True))
        for row in rows
        if len(row) == len(ACCOUNT_COLUMNS)
    ]


def cluster_name(text: str) -> str | None:
    """Return this cluster's name from ``scontrol show config``."""
    match = re.search(r"^ClusterName\s*=\s*(\S+)", text, re.M)
    return match[1] if match else None


def pairs(line: str) -> dict[str, str]:
    """Return the ``Key=value`` of a line; values may hold blanks, and the first of a key counts.

    A node's reason is an administrator's text, which may look like facts; who wrote it and when
    stands behind it in brackets.
    """
    line, _, reason = line.partition(" Reason=")
    marks = list(_KEY.finditer(line))
    found = {"Reason": re.sub(r"\s*\[[^\s\]]+@[^\s\]]+\].*$", "", reason).strip()}
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        end = after.start() if after else len(line)
        found.setdefault(mark[1], line[mark.end() : end].strip())
    return found


def _lines(text: str, first: str) -> Iterable[Mapping[str, str]]:
    return [pairs(line) for line in text.splitlines() if line.startswith(f"{first}=")]


def _node(facts: Mapping[str, str]) -> Node:
    words = set(re.findall(r"[A-Z_]+", facts.get("State", "UNKNOWN")))
    features = facts.get("ActiveFeatures", "(null)")
    partitions = facts.get("Partitions", "")
    cores, used = _number(facts, "CPUEfctv") or _number(facts, "CPUTot"), _number(facts, "CPUAlloc")
    configured, taken = facts.get("CfgTRES", ""), facts.get("AllocTRES", "")
    return Node(
        name=facts["NodeName"],
        state=_state(words, cores, used),
        queues=tuple(partitions.split(",")) if partitions else (),
        features=frozenset() if features == "(null)" else frozenset(features.split(",")),
        cores=cores,
        cores_used=used,
        sockets=_number(facts, "Sockets"),
        memory=_number(facts, "RealMemory") * MIB,
        memory_used=_number(facts, "AllocMem") * MIB,
        gpus=_gpus(configured, facts.get("Gres", "")),
        gpus_used=_gpus(taken, facts.get("GresUsed", "")),
        reason=facts["Reason"],
    )


def _state(words: set[str], cores: int, used: int) -> NodeState:
    if words & _UNUSABLE:
        return NodeState.DOWN
    if words & _TAKEN or (used and used >= cores):
        return NodeState.BUSY
    return NodeState.PARTLY if used or "MIXED" in words else NodeState.IDLE


def _gpus(counted: str, listed: str) -> int:
    """Return how many GPUs: Slurm counts them only where the site lets it, else it lists them."""
    match = _GPUS.search(counted)
    return int(match[1]) if match else sum(int(number) for number in _GRES.findall(listed))


def _queue(facts: Mapping[str, str]) -> Queue:
    return Queue(
        name=facts["PartitionName"],
        # DOWN takes jobs and starts none; DRAIN and INACTIVE take none.
        enabled=facts.get("State") in ("UP", "DOWN"),
        default=facts.get("Default") == "YES",
        max_walltime=walltime(facts.get("MaxTime", "")),
        default_walltime=walltime(facts.get("DefaultTime", "")),
        max_nodes=_number(facts, "MaxNodes") or None,
        max_cores=_number(facts, "MaxCPUsPerNode") or None,
        max_memory=_number(facts, "MaxMemPerNode") * MIB or None,
    )


def _number(facts: Mapping[str, str], key: str) -> int:
    """Return a number, 0 for UNLIMITED and what is not there."""
    text = facts.get(key, "")
    return int(text) if text.isdecimal() else 0
