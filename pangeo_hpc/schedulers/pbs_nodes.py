"""From records of pbsnodes and ``qstat -Q`` to nodes and queues."""

import re
from collections.abc import Collection, Iterable, Mapping

from pangeo_hpc.schedulers.base import Node, NodeState, Queue, Room, Settings, destinations
from pangeo_hpc.schedulers.pbs_text import Record, parse_number, parse_period, parse_size

_BUSY = {"job-busy", "job-exclusive", "resv-exclusive", "busy"}

# Resources every node has; others are the site's own and can be asked for in `resources`.
_COMMON = {
    "host",
    "vnode",
    "mem",
    "vmem",
    "hbmem",
    "ncpus",
    "ngpus",
    "naccelerators",
    "accelerator_memory",
}


def nodes(records: Mapping[str, Record]) -> tuple[Node, ...]:
    """Return each host once, however many vnodes (``cpu02[0]``) it is made of."""
    vnodes: dict[str, list[Record]] = {}
    for name, record in records.items():
        if "state" in record:
            host = record.get("resources_available.host") or name.partition("[")[0]
            vnodes.setdefault(host, []).append(record)
    return tuple(_node(host, parts) for host, parts in vnodes.items())


def _node(host: str, parts: Collection[Record]) -> Node:
    cores = _sum(parts, "resources_available.ncpus")
    # Zero values of what is assigned are left out.
    used = _sum(parts, "resources_assigned.ncpus")
    state, reason = _state(parts, cores, used)
    return Node(
        name=host,
        state=state,
        queues=tuple(dict.fromkeys(part["queue"] for part in parts if part.get("queue"))),
        features=frozenset(_features(parts)),
        cores=cores,
        cores_used=used,
        memory=_bytes(parts, "resources_available.mem"),
        memory_used=_bytes(parts, "resources_assigned.mem"),
        gpus=_sum(parts, "resources_available.ngpus"),
        gpus_used=_sum(parts, "resources_assigned.ngpus"),
        reason=reason,
    )


def _state(parts: Collection[Record], cores: int, used: int) -> tuple[NodeState, str]:
    """Return a state; one of ``state-unknown,down`` and any word we do not know is down."""
    said = [word for part in parts for word in part["state"].split(",")]
    strange = [word for word in said if word != "free" and word not in _BUSY]
    if strange:
        comments = [part["comment"] for part in parts if part.get("comment")]
        return NodeState.DOWN, (comments or [",".join(dict.fromkeys(strange))])[0]
    taken = any(part.get("jobs") for part in parts) or used > 0
    if (cores and used >= cores) or all(word in _BUSY for word in said):
        return NodeState.BUSY, ""
    return (NodeState.PARTLY if taken else NodeState.IDLE), ""


def _features(parts: Iterable[Record]) -> Iterable[str]:
    """Return the site's own resources as ``cpu_type=milan``."""
    for part in parts:
        for name, value in part.items():
            resource = name.removeprefix("resources_available.")
            if resource != name and resource not in _COMMON and value != "<various>":
                yield f"{resource}={value}"


def _sum(parts: Collection[Record], name: str) -> int:
    return sum(parse_number(part.get(name, "")) or 0 for part in parts)


def _bytes(parts: Collection[Record], name: str) -> int:
    return sum(parse_size(part.get(name, "")) or 0 for part in parts)


def queues(records: Mapping[str, Record], default: str) -> tuple[Queue, ...]:
    """Return the queues; one that does not take jobs, or starts none, is not enabled."""
    return tuple(_queue(name, record, name == default) for name, record in records.items())


def _queue(name: str, record: Record, default: bool) -> Queue:
    users = None
    if record.get("acl_user_enable") == "True":
        listed = (user.strip().lstrip("+") for user in record.get("acl_users", "").split(","))
        users = tuple(user.partition("@")[0] for user in listed if user and user[0] != "-")
    return Queue(
        name=name,
        enabled=record.get("enabled") == record.get("started") == "True",
        default=default,
        max_walltime=parse_period(record.get("resources_max.walltime", "")),
        default_walltime=parse_period(record.get("resources_default.walltime", "")),
        max_nodes=parse_number(record.get("resources_max.nodect", "")),
        max_cores=parse_number(record.get("resources_max.ncpus", "")),
        max_memory=parse_size(record.get("resources_max.mem", "")),
        users=users,
        routes=_routes(record.get("route_destinations", "")),
    )


def _routes(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def counts_as(asked: str, found: str, known: Iterable[Queue]) -> bool:
    """Tell whether a job seen in one queue may have been submitted to another.

    A routing queue hands its jobs on, maybe to a further routing queue; qstat then names the
    last. A part ``@server`` does not matter.
    """
    begin, end = asked.partition("@")[0], found.partition("@")[0]
    return end == begin or end in destinations(known, begin)


def settings(server: Record, user: str) -> Settings:
    """Return what the record of a server says; history is off unless it says otherwise."""
    listed = f"{server.get('managers', '')},{server.get('operators', '')}".split(",")
    shown = server.get("query_other_jobs")
    return Settings(
        private_jobs=None if shown is None else shown != "True",
        overseer=user in {"root", *(entry.strip().partition("@")[0] for entry in listed)},
        history=server.get("job_history_enable") == "True",
        to_see_all=f'qmgr -c "set server operators += {user}@*"',
        to_keep_history='qmgr -c "set server job_history_enable = True"',
    )


def room(records: Iterable[Record], user: str) -> Room:
    """Return the least limits that the server and a queue have for a user.

    ``[u:PBS_GENERIC=40],[u:alice=80]``: a user's own limit counts in place of everybody's.
    """
    sizes, most = [], []
    for record in records:
        sizes.append(parse_number(record.get("max_array_size", "")))
        told = dict(re.findall(r"u:([^=\]]+)=(\d+)", record.get("max_queued", "")))
        most.append(parse_number(told.get(user) or told.get("PBS_GENERIC") or ""))
    return Room(
        elements=min((size for size in sizes if size is not None), default=None),
        jobs=min((limit for limit in most if limit is not None), default=None),
    )
