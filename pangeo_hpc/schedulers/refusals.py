"""What to do about a job that a scheduler did not take: as texts of the catalogue.

They are hints: lower-case, without a full stop.
"""

from collections.abc import Mapping, Sequence

from pangeo_hpc.texts import Phrase, english, phrase

KEYS = "refusals"
# The first whose mark is in the scheduler's words counts. Slurm's are recorded from 22.05.
SLURM = (
    ("Invalid account or account/partition", "account"),
    ("nvalid partition", "partition"),
    ("nvalid qos", "qos"),
    ("MaxSubmit", "max_submit"),
    ("time limit", "time_limit"),
    ("MaxWall", "max_wall"),
    ("Memory specification", "memory"),
    ("violates accounting/QOS policy", "policy"),
    ("node configuration is not available", "configuration"),
    ("Node count specification", "node_count"),
    ("More processors requested", "processors"),
    ("nvalid feature", "feature"),
    ("generic resource", "gpus"),
    ("job array specification", "array"),
    ("nvalid license", "licence"),
    ("reservation is invalid", "reservation"),
    ("Access denied to requested reservation", "reservation_denied"),
    ("dependency problem", "dependency"),
    ("partition configuration not available", "queue_closed_other"),
    ("partition not available", "queue_closed"),
    ("nvalid node name", "node_name"),
    ("Unable to open file", "script_gone"),
    ("temporarily unable to accept job", "full"),
    ("temporarily unavailable", "full"),
    ("Invalid user id", "user"),
    ("ermission denied", "permission"),
    ("directive found in batch script", "directive"),
    ("specification", "value"),
    ("option", "option"),
)
# Recorded from 23.06.06.
PBS = (
    ("Unknown queue", "queue"),
    ("Queue is not enabled", "queue_closed"),
    ("violates queue and/or server resource limits", "limits"),
    ("would exceed", "too_many"),
    ("Array job exceeds", "array"),
    ("Unauthorized Request", "permission"),
    ("Bad UID", "user"),
    ("Unknown resource", "resource"),
    ("Illegal attribute or resource value", "attribute"),
    ("annot be used with", "form"),
    ("usage:", "option"),
    ("directive error", "directive"),
    ("No such file", "script_gone"),
    ("script contains cr, lf", "carriage_return"),
    ("cannot send environment", "environment"),
    ("Supporting protocol failure", "protocol"),
    ("ccount", "account"),
    ("roject", "account"),
)
# What nobody knows is the site's own rule.
OTHER = "site_rule"
_TABLES: Mapping[str, Sequence[tuple[str, str]]] = {"slurm": SLURM, "pbs": PBS}


def hint(kind: str, words: str) -> str:
    """Return in English what could be done about a scheduler's words."""
    name = next((name for mark, name in _TABLES[kind] if mark in words), OTHER)
    return english()(f"{KEYS}.{kind}.{name}")


def advice(hint: str | None) -> Phrase | None:
    """Return the text of which a hint is the English, None if it is none of these."""
    for name, text in english().part(KEYS).items():
        if text == hint:
            return phrase(f"{KEYS}.{name}")
    return None
