"""What PBS writes into a job's comment, by its meaning.

The comments are those of OpenPBS 23.06.06, recorded, and of its scheduler's table of messages.
"""

from pangeo_hpc.schedulers.reasons import Reason, Rule, advice, first
from pangeo_hpc.texts import phrase

KEYS = "reasons.pbs"
RULES = (
    Rule(r"Queue not started", "queue_stopped", "wait"),
    Rule(r"Queue not an execution queue", "queue_routes"),
    Rule(
        r"Insufficient amount of (?:queue |server )?resource: ?(?P<thing>\w+)",
        "not_free",
        "smaller",
    ),
    Rule(
        r"(set \S+ has|Too) (too )?few free resources|No available resources on nodes"
        r"|Not enough free nodes|Not enough of the right type of nodes",
        "nothing_free",
        "smaller",
    ),
    Rule(
        r"Not enough total nodes|can't fit in the largest placement set"
        r"|pack placement and won't fit|can't satisfy a multi-node job",
        "too_large",
        "cancel_less",
        lasting=True,
    ),
    Rule(
        r"(User has reached|job limit reached for user|per-user job limit)",
        "your_jobs",
        "yours_end",
    ),
    Rule(
        r"per-user limit reached on resource (?P<thing>\w+)"
        r"|would exceed user \S+ limit on resource (?P<thing_>\w+)",
        "your_resource",
        "yours_end",
    ),
    Rule(r"would exceed .*per-user limit", "your_queued", "yours_end"),
    Rule(
        r"(Group|Project) has reached|job limit reached for (group|project)"
        r"|per-(group|project) (job )?limit|would exceed (group|project) ",
        "group_limit",
        "others_end",
    ),
    Rule(
        r"(Queue \S+|Server) job limit (has been )?reached|would exceed overall limit"
        r"|Node has reached",
        "queue_limit",
        "wait",
    ),
    Rule(r"[Dd]edicated time", "dedicated_time", "before_it"),
    Rule(
        r"conflict with reservation or top job|interfere with a (confirmed )?reservation"
        r"|Provision(ing)? .*(conflict|interfere)",
        "reservation",
        "before_it",
    ),
    Rule(r"interfere with a top job|strict sorted order", "top_job", "gap"),
    Rule(r"(?:run in|cross into) (?:non)?-?prime ?time", "prime_time", "wait"),
    Rule(r"zero shares for fairshare|under job_sort_formula threshold", "share", "others_end"),
    Rule(r"Can't preempt enough", "preempt", "smaller"),
    Rule(
        r"ineligible state|requesting an exclusive node|Nodes not available|no PBS license",
        "nodes_unavailable",
        "wait",
    ),
    Rule(
        r"ineligible type|Specified \S+ does not exist|Cannot provision|not eligible for advance",
        "wrong_kind",
        "cancel_and_other",
        lasting=True,
    ),
    Rule(
        r"Job held by (?P<who>\w[\w.-]*)|^held by (?P<who_>.+)",
        "held",
        "release_pbs",
        lasting=True,
    ),
    Rule(r"dependency can never be met", "dependency_never", "start_again", lasting=True),
    Rule(r"^waits for its time|^waits until ", "begin_time"),
    Rule(r"^waits for .", "dependency"),
    Rule(r"moved to another server", "moved"),
    Rule(
        r"Internal Scheduling Error|^Not Running: PBS Error|execution .*failed|requeued",
        "could_not_start",
        "wait_or_support",
    ),
    Rule(r"Number of concurrent running subjobs", "array_limit"),
)


def explain(words: str) -> Reason | None:
    """Return what a comment means, None for one that is not known.

    PBS itself says when a job can never run, whatever the cause.
    """
    found = first(RULES, KEYS, words)
    if not words.startswith("Can Never Run"):
        return found
    sentence = found.sentence if found else phrase(f"{KEYS}.never")
    return Reason(sentence, advice("never"), True, words)
