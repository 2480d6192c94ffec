"""Slurm's reason codes in plain words (its page "Job Reason Codes", and those of 22.05).

The many codes about limits are read by their parts, for they are made of them: whose limit
(``Assoc``, ``QOS``), of what kind (``Grp``, ``Max``, ``Min``), on what, and for whom.
"""

import re

from pangeo_hpc.schedulers.reasons import Reason, Rule, first

_ASK = "Ask for less, or choose another node type."
_OTHER = "Cancel the job and choose another node type, or ask the support of your centre."
_MINE = "It starts when you release it (`scontrol release`); else cancel it and start again."
_WAIT = "Wait, or choose another node type."
_CHECK = "Cancel the job, and start it with another account."

_RULES = (
    Rule(
        r"ReqNodeNotAvail.*(maint|reserv)",
        "The nodes are reserved, mostly for maintenance: the job would not end before it begins.",
        "Ask for a walltime that ends before the maintenance, and it may start at once.",
    ),
    Rule(
        r"ReqNodeNotAvail.*UnavailableNodes:(?P<nodes>\S+)",
        "Nodes that the job needs are down or being repaired: {nodes}.",
        _WAIT,
    ),
    Rule(
        r"^ReqNodeNotAvail",
        "Nodes that the job needs are in use, reserved, or down.",
        "A shorter walltime may fit before a reservation; else choose another node type.",
    ),
    Rule(
        r"Nodes required for job are DOWN",
        "All nodes of this queue that fit are down, being repaired, or kept for more urgent jobs.",
        _WAIT,
    ),
    Rule(
        r"^Priority$",
        "Other jobs of this queue come first.",
        "A smaller or shorter job can often start in a gap before them.",
    ),
    Rule(
        r"^Resources$",
        "The job is next in line, and waits until enough cores and memory are free.",
        "A smaller or shorter job finds room sooner.",
    ),
    Rule(
        r"^DependencyNeverSatisfied",
        "The job waits for another job that can never end as it has to.",
        "It will not start: cancel it and start again.",
        lasting=True,
    ),
    Rule(r"^Dependency", "The job waits for another job to end."),
    Rule(r"^BeginTime", "The time at which the job may start has not come yet."),
    Rule(r"^JobHeldUser", "The job is held by its owner.", _MINE, lasting=True),
    Rule(
        r"^JobHeldAdmin",
        "The job is held by an administrator.",
        "Only the centre can release it: ask its support.",
        lasting=True,
    ),
    Rule(
        r"launch failed requeued held|^JobHoldMaxRequeue",
        "The job could not be launched on its nodes and is held now.",
        "Cancel it and start again; if it happens again, ask the support of your centre.",
        lasting=True,
    ),
    Rule(
        r"user env retrieval failed",
        "Your login environment could not be read on the node, and the job is held now.",
        "Look at your shell's startup files, then cancel the job and start again.",
        lasting=True,
    ),
    Rule(
        r"requeued in (held|special exit) state",
        "The job was put back into the queue and is held.",
        _MINE,
        lasting=True,
    ),
    Rule(
        r"^PartitionTimeLimit",
        "The walltime is longer than this queue allows.",
        "Cancel the job and ask for a shorter walltime, or choose another node type.",
        lasting=True,
    ),
    Rule(
        r"^PartitionNodeLimit|^Partition(Max|Min)Nodes",
        "The job asks for more or fewer nodes than this queue allows, or its nodes are down.",
        _OTHER,
        lasting=True,
    ),
    Rule(
        r"^PartitionDown",
        "This queue is closed: it takes jobs, but starts none.",
        _WAIT,
    ),
    Rule(r"^PartitionInactive", "This queue is switched off and starts no jobs.", _WAIT),
    Rule(r"^PartitionConfig", "The job is beyond a limit of this queue.", _ASK, lasting=True),
    Rule(r"^Licenses", "The job waits for a licence that others use.", "Wait, or leave it out."),
    Rule(
        r"^BadConstraints",
        "No node can ever give what the job asks for.",
        "Cancel the job, and ask for less or choose another node type.",
        lasting=True,
    ),
    Rule(r"^Constraints", "No node that fits is free at the moment.", _WAIT),
    Rule(r"^NodeDown", "A node that the job needs is down.", _WAIT),
    Rule(
        r"^AccountNotAllowed|^InvalidAccount",
        "The account may not be used in this queue, or is not known.",
        _CHECK,
        lasting=True,
    ),
    Rule(
        r"^InvalidQOS|^QOSNotAllowed",
        "The job's QOS is not known, or not allowed with this account and queue.",
        _OTHER,
        lasting=True,
    ),
    Rule(
        r"^QOSUsageThreshold",
        "The account has used so much that its jobs of this QOS have to wait.",
        "Another account may start sooner.",
    ),
    Rule(
        r"^AccountingPolicy",
        "The job is beyond a limit of your account or of its QOS.",
        _ASK,
    ),
    Rule(r"^ReservationDeleted", "The reservation is gone.", _OTHER, lasting=True),
    Rule(r"^Reservation", "The job waits for its reservation to begin."),
    Rule(r"^Cleaning", "The job was put back into the queue; its last run is being cleaned up."),
    Rule(r"^Prolog", "The node is being prepared for the job."),
    Rule(
        r"^DeadLine",
        "The job cannot end before its deadline.",
        "Cancel it, and ask for a shorter walltime or a later deadline.",
        lasting=True,
    ),
    Rule(
        r"^MaxMemPerLimit",
        "The job asks for more memory per core or per node than is allowed.",
        "Cancel it, and ask for less memory or more cores.",
        lasting=True,
    ),
    Rule(r"^JobArrayTaskLimit", "As many parts of this job run as may run at once."),
    Rule(r"^BurstBuffer", "The fast storage that the job asks for is not ready.", _WAIT),
    Rule(r"^FedJobLock", "The clusters are agreeing on which of them runs the job."),
    Rule(r"^Power", "Nodes are being switched on, or power is scarce."),
    Rule(
        r"^FrontEndDown|^SystemFailure|^SchedDefer",
        "The scheduler has a problem of its own.",
        "Wait; if it lasts, tell the support of your centre.",
    ),
    Rule(r"^(None|Unassigned)$", "The scheduler has not looked at the job yet."),
    Rule(
        r"^InactiveLimit", "The job was idle for longer than the centre allows.", "", lasting=True
    ),
    Rule(r"^JobLaunchFailure", "The job could not be launched on its node."),
    Rule(r"^NonZeroExitCode", "The job's program ended with an error."),
    Rule(r"^OutOfMemory", "The job needed more memory than it had."),
    Rule(r"^TimeLimit", "The job's walltime was over."),
    Rule(r"its output file could not be opened", "The job's log file could not be opened."),
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
    "GRES": "GPUs",
    "Billing": "billing units",
    "Energy": "energy",
    "License": "licences",
    "BB": "fast storage",
    "Wall": "walltime",
    "SubmitJob": "jobs",
    "Job": "jobs",
    "Time": "walltime",
}


def explain(words: str) -> Reason | None:
    """Return what one of Slurm's reasons means, None for one that is not known."""
    found = first(_RULES, words)
    if found is not None:
        return found
    match = _LIMIT.fullmatch(words.partition(",")[0])
    if match is None or not (match["whose"] or match["kind"]):
        return None
    return _limit(words, **match.groupdict(default=""))


def _limit(words: str, *, whose: str, kind: str, what: str, time: str, scope: str) -> Reason:
    """Return what a limit means, from the parts of its name."""
    thing = _THINGS.get(what.replace("CPU", "Cpu").removesuffix("s"), "one of its resources")
    owner = "your account" if whose in ("Assoc", "Association") else "the QOS of this queue"
    jobs = thing == "jobs"

    def told(sentence: str, advice: str, *, lasting: bool = False) -> Reason:
        return Reason(sentence, advice, lasting, words)

    if kind == "Min":
        text = f"The job asks for less than {owner} wants at least: {thing}."
        return told(text, "Cancel it, and ask for more.", lasting=True)
    if time == "Minutes" and not scope:
        text = f"The budget of time of {owner} is used up: {thing}."
        return told(text, _CHECK, lasting=True)
    if time == "RunMinutes":
        text = f"The running jobs of {owner} have as much time left as they may have: {thing}."
        return told(text, "Wait, or ask for a shorter walltime.")
    if time == "Duration" or (time == "Minutes" and scope):
        text = f"The walltime is longer than {owner} allows for one job: {thing}."
        return told(text, "Cancel it, and ask for a shorter walltime.", lasting=True)
    if scope in ("PerJob", "PerNode"):
        one = "one job" if scope == "PerJob" else "one node"
        text = f"The job asks for more than {owner} allows for {one}: {thing}."
        return told(text, "Cancel it, and ask for less.", lasting=True)
    if scope == "PerUser" or (kind == "Max" and jobs and scope != "PerAccount"):
        text = f"You have as much as {owner} allows you at once: {thing}."
        return told(text, "Wait until one of your jobs has ended, or cancel one.")
    if scope == "PerAccount":
        owner = "your account in this queue"
    text = f"All jobs of {owner} together have reached a limit: {thing}."
    return told(text, "Wait until some have ended, or use another account.")
