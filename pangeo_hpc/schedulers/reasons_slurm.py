"""Slurm's reason codes by their meaning (its page "Job Reason Codes", and those of 22.05).

The many codes about limits are read by their parts, for they are made of them: whose limit
(``Assoc``, ``QOS``), of what kind (``Grp``, ``Max``, ``Min``), on what, and for whom.
"""

import re

from pangeo_hpc.schedulers.reasons import Reason, Rule, advice, first, thing
from pangeo_hpc.texts import phrase

KEYS = "reasons.slurm"
RULES = (
    Rule(r"ReqNodeNotAvail.*(maint|reserv)", "maintenance", "before_maintenance"),
    Rule(r"ReqNodeNotAvail.*UnavailableNodes:(?P<nodes>\S+)", "nodes_down", "wait"),
    Rule(r"^ReqNodeNotAvail", "nodes_unavailable", "shorter_or_other"),
    Rule(r"Nodes required for job are DOWN", "all_nodes_down", "wait"),
    Rule(r"^Priority$", "priority", "gap"),
    Rule(r"^Resources$", "resources", "smaller"),
    Rule(r"^DependencyNeverSatisfied", "dependency_never", "again", lasting=True),
    Rule(r"^Dependency", "dependency"),
    Rule(r"^BeginTime", "begin_time"),
    Rule(r"^JobHeldUser", "held_by_owner", "release_slurm", lasting=True),
    Rule(r"^JobHeldAdmin", "held_by_administrator", "centre_releases", lasting=True),
    Rule(
        r"launch failed requeued held|^JobHoldMaxRequeue",
        "launch_failed",
        "again_or_support",
        lasting=True,
    ),
    Rule(r"user env retrieval failed", "environment_unreadable", "startup_files", lasting=True),
    Rule(r"requeued in (held|special exit) state", "requeued_held", "release_slurm", lasting=True),
    Rule(r"^PartitionTimeLimit", "partition_time", "shorter_walltime", lasting=True),
    Rule(
        r"^PartitionNodeLimit|^Partition(Max|Min)Nodes",
        "partition_nodes",
        "cancel_other",
        lasting=True,
    ),
    Rule(r"^PartitionDown", "partition_down", "wait"),
    Rule(r"^PartitionInactive", "partition_inactive", "wait"),
    Rule(r"^PartitionConfig", "partition_limit", "less_or_other", lasting=True),
    Rule(r"^Licenses", "licenses", "wait_or_leave_out"),
    Rule(r"^BadConstraints", "bad_constraints", "cancel_less", lasting=True),
    Rule(r"^Constraints", "constraints", "wait"),
    Rule(r"^NodeDown", "node_down", "wait"),
    Rule(
        r"^AccountNotAllowed|^InvalidAccount",
        "account_not_allowed",
        "other_account",
        lasting=True,
    ),
    Rule(r"^InvalidQOS|^QOSNotAllowed", "qos_not_allowed", "cancel_other", lasting=True),
    Rule(r"^QOSUsageThreshold", "qos_usage", "account_sooner"),
    Rule(r"^AccountingPolicy", "policy", "less_or_other"),
    Rule(r"^ReservationDeleted", "reservation_gone", "cancel_other", lasting=True),
    Rule(r"^Reservation", "reservation"),
    Rule(r"^Cleaning", "cleaning"),
    Rule(r"^Prolog", "prolog"),
    Rule(r"^DeadLine", "deadline", "deadline", lasting=True),
    Rule(r"^MaxMemPerLimit", "memory_limit", "less_memory", lasting=True),
    Rule(r"^JobArrayTaskLimit", "array_limit"),
    Rule(r"^BurstBuffer", "burst_buffer", "wait"),
    Rule(r"^FedJobLock", "federation"),
    Rule(r"^Power", "power"),
    Rule(r"^FrontEndDown|^SystemFailure|^SchedDefer", "scheduler_failed", "wait_or_support"),
    Rule(r"^(None|Unassigned)$", "not_looked_at"),
    Rule(r"^InactiveLimit", "inactive", lasting=True),
    Rule(r"^JobLaunchFailure", "launch_failure"),
    Rule(r"^NonZeroExitCode", "program_failed"),
    Rule(r"^OutOfMemory", "out_of_memory"),
    Rule(r"^TimeLimit", "time_limit"),
    Rule(r"its output file could not be opened", "output_failed"),
)

_LIMIT = re.compile(
    r"(?P<whose>Assoc|QOS|Association)?(?P<kind>Grp|Max|Min)?"
    r"(?P<what>Cpu|CPU|Memory|Mem|Node|GRES|Billing|Energy|License|BB|Unknown|Wall|SubmitJobs?|Jobs?"
    r"|Resource|Time)"
    r"(?P<time>RunMinutes|Minutes|Duration)?(?P<scope>PerJob|PerNode|PerUser|PerAccount)?"
    r"(?:NotSatisfied)?(?:Limit)?"
)
_THINGS = {
    "Cpu": "cores",
    "Memory": "memory",
    "Mem": "memory",
    "Node": "nodes",
    "GRES": "gpus",
    "Billing": "billing",
    "Energy": "energy",
    "License": "licences",
    "BB": "fast_storage",
    "Wall": "walltime",
    "SubmitJob": "jobs",
    "Job": "jobs",
    "Time": "walltime",
}


def explain(words: str) -> Reason | None:
    """Return what one of Slurm's reasons means, None for one that is not known."""
    found = first(RULES, KEYS, words)
    if found is not None:
        return found
    match = _LIMIT.fullmatch(words.partition(",")[0])
    if match is None or not (match["whose"] or match["kind"]):
        return None
    return _limit(words, **match.groupdict(default=""))


def _limit(words: str, *, whose: str, kind: str, what: str, time: str, scope: str) -> Reason:
    """Return what a limit means, from the parts of its name."""
    named = _THINGS.get(what.replace("CPU", "Cpu").removesuffix("s"), "other")
    owner = "account" if whose in ("Assoc", "Association") else "qos"
    jobs = named == "jobs"

    def told(name: str, step: str, *, lasting: bool = False) -> Reason:
        said = phrase(f"{KEYS}.limits.{owner}.{name}", thing=thing(named))
        return Reason(said, advice(step), lasting, words)

    if kind == "Min":
        return told("too_little", "more", lasting=True)
    if time == "Minutes" and not scope:
        return told("budget", "other_account", lasting=True)
    if time == "RunMinutes":
        return told("time_left", "wait_or_shorter")
    if time == "Duration" or (time == "Minutes" and scope):
        return told("walltime", "cancel_shorter", lasting=True)
    if scope in ("PerJob", "PerNode"):
        one = "one_job" if scope == "PerJob" else "one_node"
        return told(one, "cancel_and_less", lasting=True)
    if scope == "PerUser" or (kind == "Max" and jobs and scope != "PerAccount"):
        return told("yours", "yours_end")
    return told("account_here" if scope == "PerAccount" else "together", "others_end")
