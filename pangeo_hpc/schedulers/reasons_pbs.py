"""What PBS writes into a job's comment, in plain words.

The comments are those of OpenPBS 23.06.06, recorded, and of its scheduler's table of messages.
"""

import re

from pangeo_hpc.schedulers.reasons import Reason, Rule, first

_WAIT = "Wait, or choose another node type."
_SMALLER = "A smaller or shorter job finds room sooner."
_SHORTER = "Ask for a walltime that ends before it, and it may start at once."
_MINE = "Wait until one of your jobs has ended, or cancel one."
_THEIRS = "Wait until some have ended, or use another account."

_THINGS = {
    "ncpus": "cores",
    "mem": "memory",
    "vmem": "memory",
    "ngpus": "GPUs",
    "nodes": "nodes",
    "walltime": "walltime",
}

_RULES = (
    Rule(r"Queue not started", "This queue is stopped: it takes jobs, but starts none.", _WAIT),
    Rule(r"Queue not an execution queue", "This queue only hands jobs on, and has not yet."),
    Rule(
        r"Insufficient amount of (?:queue |server )?resource: ?(?P<thing>\w+)"
        r"(?: \(R: (?P<asked>\S+) A: (?P<free>\S+) T: (?P<total>[^)\s]+)\))?",
        "What the job asks for is not free yet: {thing}.",
        _SMALLER,
    ),
    Rule(
        r"(set \S+ has|Too) (too )?few free resources|No available resources on nodes"
        r"|Not enough free nodes|Not enough of the right type of nodes",
        "No node has as much free as the job asks for.",
        _SMALLER,
    ),
    Rule(
        r"Not enough total nodes|can't fit in the largest placement set"
        r"|pack placement and won't fit|can't satisfy a multi-node job",
        "This cluster, or this queue, can never give one job so much.",
        "Cancel the job, and ask for less or choose another node type.",
        lasting=True,
    ),
    Rule(
        r"(User has reached|job limit reached for user|per-user job limit)",
        "You have as many jobs running as you may have at once.",
        _MINE,
    ),
    Rule(
        r"per-user limit reached on resource (?P<thing>\w+)"
        r"|would exceed user \S+ limit on resource (?P<other>\w+)",
        "Your running jobs have as much of {thing}{other} as you may have at once.",
        _MINE,
    ),
    Rule(r"would exceed .*per-user limit", "You have as much queued as you may have.", _MINE),
    Rule(
        r"(Group|Project) has reached|job limit reached for (group|project)"
        r"|per-(group|project) (job )?limit|would exceed (group|project) ",
        "The jobs of your group or project together have reached its limit.",
        _THEIRS,
    ),
    Rule(
        r"(Queue \S+|Server) job limit (has been )?reached|would exceed overall limit"
        r"|Node has reached",
        "As many jobs run as this queue or this cluster allows at once.",
        _WAIT,
    ),
    Rule(
        r"[Dd]edicated time",
        "The cluster is reserved soon, mostly for maintenance.",
        _SHORTER,
    ),
    Rule(r"conflict with reservation or top job|interfere with a (confirmed )?reservation"
         r"|Provision(ing)? .*(conflict|interfere)",
        "The job would get in the way of a reservation.", _SHORTER),
    Rule(
        r"interfere with a top job|strict sorted order",
        "Other jobs come first.",
        "A smaller or shorter job can often start in a gap before them.",
    ),
    Rule(
        r"(?:run in|cross into) (?P<time>(?:non)?-?prime ?time)",
        "This queue runs jobs at certain hours of the day only.",
        "Wait, or choose another node type.",
    ),
    Rule(r"zero shares for fairshare|under job_sort_formula threshold",
        "Your share of the cluster is used up for now.", _THEIRS),
    Rule(r"Can't preempt enough", "Not enough can be set aside for the job yet.", _SMALLER),
    Rule(
        r"ineligible state|requesting an exclusive node|Nodes not available|no PBS license",
        "Nodes that the job needs are in use or down.",
        _WAIT,
    ),
    Rule(
        r"ineligible type|Specified \S+ does not exist|Cannot provision|not eligible for advance",
        "No node is of the kind that the job asks for.",
        "Cancel the job, and choose another node type.",
        lasting=True,
    ),
    Rule(
        r"Job held by (?P<who>\w[\w.-]*)|^held by (?P<whom>.+)",
        "The job is held by {who}{whom}.",
        "It starts when it is released (`qrls`); else cancel it and start again.",
        lasting=True,
    ),
    Rule(
        r"dependency can never be met",
        "The job waited for another job that can never end as it has to.",
        "Start it again.",
        lasting=True,
    ),
    Rule(r"^waits for its time|^waits until ", "The job starts later, as it was asked."),
    Rule(r"^waits for .", "The job waits for another job to end."),
    Rule(r"moved to another server", "The job was handed to another cluster."),
    Rule(r"Internal Scheduling Error|^Not Running: PBS Error|execution .*failed|requeued",
        "The job could not be started and was put back into the queue.",
        "Wait; if it lasts, tell the support of your centre."),
    Rule(r"Number of concurrent running subjobs", "As many parts of this job run as may at once."),
)  # fmt: skip


def explain(words: str) -> Reason | None:
    """Return what a comment means, None for one that is not known.

    PBS itself says when a job can never run, whatever the cause.
    """
    never = words.startswith("Can Never Run")
    found = first(_RULES, _named(words))
    if found is None and never:
        found = Reason("No node can ever give what the job asks for.")
    if found is None:
        return None
    if not never:
        return Reason(found.sentence, found.advice, found.lasting, words)
    advice = "It will not start: cancel it, and ask for less or choose another node type."
    return Reason(found.sentence, advice, True, words)


def _named(words: str) -> str:
    """Return the words with resources by the names that people use."""
    return re.sub(
        r"(?<=resource: )(\w+)|(?<=resource )(\w+)",
        lambda match: _THINGS.get(match[0], match[0]).replace(" ", "_"),
        words,
    )
