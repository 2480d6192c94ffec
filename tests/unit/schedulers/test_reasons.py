"""Why a job waits, in plain words: every reason of Slurm's, and the comments of PBS."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from pangeo_hpc.schedulers import reasons, reasons_pbs, reasons_slurm, refusals
from pangeo_hpc.schedulers.reasons import Reason, explain
from pangeo_hpc.texts import Phrase, english, fields_of

# every name in Slurm 22.05.8 and on its page "Job Reason Codes"
SLURM = Path(__file__).with_name("slurm_reasons.txt").read_text().split()

# as they were recorded, or stand in OpenPBS's table of messages
PBS = {
    "Not Running: Insufficient amount of resource: ncpus (R: 12 A: 8 T: 24)": "cores",
    "Not Running: Insufficient amount of resource: mem (R: 64gb A: 1gb T: 128gb)": "memory",
    "Not Running: Insufficient amount of server resource: licences (R: 2 A: 0 T: 9)": "licences",
    "Not Running: Queue not started.": "stopped",
    "Not Running: Server per-user limit reached on resource ncpus": "as much of cores",
    "Not Running: User has reached queue develop running job limit.": "You have as many jobs",
    "Not Running: User has reached server running job limit.": "You have as many jobs",
    "Not Running: Queue develop job limit reached for user alice": "You have as many jobs",
    "Not Running: Queue develop job limit has been reached.": "this queue or this cluster",
    "Not Running: Group has reached queue develop running limit.": "group or project",
    "Not Running: would exceed group climate's limit on resource ncpus in complex": "group",
    "Not Running: would exceed user alice's limit on resource mem in queue develop": "of memory",
    "Not Running: would exceed project p1's limit on resource ncpus in queue develop": "project",
    "Not Running: would exceed overall limit on resource ncpus in complex": "as this queue or",
    "would exceed queue generic's per-user limit": "You have as much queued",
    "Not Running: Not enough free nodes available": "No node has as much free",
    "Not Running: Host set host=cpu01 has too few free resources": "No node has as much free",
    "Not Running: Dedicated time conflict": "maintenance",
    "Not Running: Job would cross dedicated time boundary": "maintenance",
    "Not Running: Job would interfere with a top job": "Other jobs come first",
    "Not Running: Job would conflict with reservation or top job": "reservation",
    "Not Running: Job would break strict sorted order": "Other jobs come first",
    "Not Running: Job will run in nonprimetime only": "certain hours",
    "Not Running: Job will cross into primetime": "certain hours",
    "Not Running: Job is under job_sort_formula threshold value": "share",
    "Not Running: Node is in an ineligible state: offline": "in use or down",
    "Not Running: Node is of an ineligible type: gpu": "of the kind",
    "Not Running: PBS Error: Execution server rejected request": "could not be started",
    "Can Never Run: Insufficient amount of resource: ncpus (R: 99 A: 24 T: 24)": "cores",
    "Can Never Run: Not enough total nodes available": "can never give",
    "Can Never Run: something nobody has seen": "No node can ever",
    "Job held by alice on Sun Nov 22 01:20:20 2026": "held by alice",
    "held by the system": "held by the system",
    "waits for beforeok:12.pbs": "another job",
    "waits until 2026-11-22 01:20 UTC": "later",
    "its dependency can never be met: afterok:3.pbs": "can never end",
}


def sentence(reason: Reason) -> str:
    """Return what a reason says in English."""
    return english().say(reason.sentence) if reason.sentence else reason.words


def advice(reason: Reason) -> str:
    return english().say(reason.advice) if reason.advice else ""


@pytest.mark.parametrize("code", SLURM)
def test_every_reason_of_slurm_has_a_sentence(code: str) -> None:
    """No code is told as a code: each is a whole sentence with nothing left to fill in."""
    reason = explain("slurm", code)
    assert reason.words == code
    assert sentence(reason) != code
    for text in filter(None, (sentence(reason), advice(reason))):
        assert re.fullmatch(r"[A-Z][^{}]* [^{}]*\.", text), text
        assert "None" not in text
        assert "  " not in text


@pytest.mark.parametrize(
    ("code", "says", "lasting"),
    [
        ("AssocGrpCPUMinutesLimit", "budget of time of your account is used up: cores", True),
        ("AssocGrpCPURunMinutesLimit", "time left", False),
        ("AssocGrpCpuLimit", "All jobs of your account together", False),
        ("AssocMaxWallDurationPerJobLimit", "walltime is longer than your account", True),
        ("AssocMaxJobsLimit", "You have as much as your account allows you at once: jobs", False),
        ("QOSMaxCpuPerUserLimit", "QOS of this queue allows you at once: cores", False),
        ("QOSMaxJobsPerUserLimit", "allows you at once: jobs", False),
        ("QOSMaxSubmitJobPerUserLimit", "allows you at once: jobs", False),
        ("QOSMaxMemoryPerJob", "more than the QOS of this queue allows for one job: memory", True),
        ("QOSMinCpuNotSatisfied", "wants at least: cores", True),
        ("QOSGrpNodeLimit", "reached a limit: nodes", False),
        ("QOSGrpGRES", "reached a limit: GPUs", False),
        ("MaxGRESPerAccount", "of your account in this queue", False),
        ("ReqNodeNotAvail, UnavailableNodes:c[1-3]", "down or being repaired: c[1-3]", False),
        ("ReqNodeNotAvail, Reserved for maintenance", "maintenance", False),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher", "down", False),
        ("launch failed requeued held", "could not be launched", True),
        ("job requeued in held state", "put back into the queue and is held", True),
        ("(Priority)", "(Priority)", False),
    ],
)
def test_the_parts_of_a_limit_are_read(code: str, says: str, lasting: bool) -> None:
    """Whose limit it is, on what, and whether waiting helps."""
    reason = explain("slurm", code)
    assert says in sentence(reason)
    assert reason.lasting is lasting


@pytest.mark.parametrize("comment", PBS)
def test_every_comment_of_pbs_has_a_sentence(comment: str) -> None:
    """Comments become sentences, and what PBS says can never run is told as such."""
    reason = explain("pbs", comment)
    assert PBS[comment] in sentence(reason)
    assert reason.words == comment
    assert re.fullmatch(r"[A-Z][^{}]* [^{}]*\.", sentence(reason)), sentence(reason)
    if comment.startswith("Can Never Run"):
        assert reason.lasting
        assert "will not start" in advice(reason)


def test_every_recorded_comment_is_known() -> None:
    """What a real PBS said of jobs that wait is in the table."""
    folder = Path(__file__).parents[2] / "recordings" / "pbs"
    text = "\n".join(path.read_text(errors="replace") for path in folder.glob("*.txt"))
    found = set(re.findall(r"(?:Not Running|Can Never Run|Job held)[^\n\"|]*", text))
    whole = {each for each in found if ": " in each and len(each) > 25} | {"Can Never Run: "}
    assert len(whole) > 4
    for comment in whole:
        assert sentence(explain("pbs", comment)) != comment, comment


@pytest.mark.parametrize("kind", ["slurm", "pbs", "local", "of a third party"])
def test_an_unknown_reason_is_told_as_it_is(kind: str) -> None:
    """Nobody's words are lost, and none are made up."""
    assert explain(kind, "NewReason,  with\nmore") == Reason(words="NewReason, with more")
    assert explain(kind, "") == Reason()


def keys_used() -> set[str]:
    """Return the key of every text that a reason can say, by its tables and by Slurm's limits."""
    found = {f"reasons.things.{name}" for name in reasons._THINGS.values()}
    found |= {f"reasons.things.{name}" for name in (*reasons_slurm._THINGS.values(), "other")}
    found |= {f"reasons.who.{name}" for name in reasons._WHO.values()}
    for table in (reasons_slurm, reasons_pbs):
        found |= {f"{table.KEYS}.{rule.name}" for rule in table.RULES}
        found |= {f"reasons.advice.{rule.step}" for rule in table.RULES if rule.step}
    more = [explain("slurm", code) for code in (*SLURM, *LIMITS)]
    more += [explain("pbs", "Can Never Run: something nobody has seen")]
    said = [each for reason in more for each in (reason.sentence, reason.advice)]
    return found | {each.key for each in said if isinstance(each, Phrase)}


# every whose, what kind, of what time and for whom: more than Slurm itself has names for
LIMITS = [
    f"{whose}{kind}Cpu{time}{scope}"
    for whose in ("Assoc", "QOS")
    for kind in ("Grp", "Max", "Min")
    for time in ("", "Minutes", "RunMinutes", "Duration")
    for scope in ("", "PerJob", "PerNode", "PerUser", "PerAccount")
]


def test_every_key_of_the_reasons_has_a_text_and_every_text_a_reason() -> None:
    """A reason cannot be one that the catalogue does not know, and no text is left over."""
    assert keys_used() == {f"reasons.{key}" for key in english().part("reasons")}


def test_every_refusal_has_a_text_and_every_text_a_refusal() -> None:
    """What was not taken is told on a page by the same table as on a command line."""
    found = {f"slurm.{name}" for _, name in refusals.SLURM}
    found |= {f"pbs.{name}" for _, name in refusals.PBS}
    found |= {f"{kind}.{refusals.OTHER}" for kind in ("slurm", "pbs")}
    assert found == set(english().part(refusals.KEYS))
    hint = refusals.hint("slurm", "error: Memory specification can not be satisfied")
    told = refusals.advice(hint)
    assert told == Phrase("refusals.slurm.memory")
    assert english().say(told) == hint
    assert refusals.advice("try again") is None
    assert refusals.advice(None) is None


@pytest.mark.parametrize("table", [reasons_slurm, reasons_pbs], ids=lambda table: table.KEYS)
def test_a_reason_has_a_value_for_each_placeholder(table: ModuleType) -> None:
    """What a sentence needs is a named group of its pattern."""
    for rule in table.RULES:
        names = {name.rstrip("_") for name in re.compile(rule.pattern).groupindex}
        assert fields_of(english().raw(f"{table.KEYS}.{rule.name}")) == names, rule.name
