"""A start that failed, or a server that ended by itself, as it is kept, shown and told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from jupyterhub.spawner import SpawnException

from pangeo_hpc.hub.choices import BATCH, OPTION
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.texts import Texts

TEMPLATES = Path(__file__).with_name("templates")
# A server that was stopped while it waited did not fail.
STOPPED = "stopped"
# What a node type decides itself, when another one is chosen.
_OF_A_NODE_TYPE = ("cores", "memory", "gpus", "walltime")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a start came to nothing, or why a server that was up ended; and a way on.

    `kind` is one word, such as ``walltime``; `words` are the scheduler's own; `asked` and `changes`
    are choices by their names, as `choices.Choices.plain` gives them. `lines` are the end of the
    log, for the server's user and administrators only. `when` is in seconds since 1970. `up` says
    that the server had been up.
    """

    kind: str
    sentence: str
    advice: str
    when: float
    state: str = ""
    exit_code: int | None = None
    words: str = ""
    job: str = ""
    asked: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    up: bool = False

    @classmethod
    def revive(cls, kept: Mapping[str, Any]) -> "Failure | None":
        """Return the failure that `plain` gave, None for anything else."""
        names = {each.name for each in fields(cls)}
        try:
            return cls(**{key: value for key, value in kept.items() if key in names})
        except TypeError:
            return None

    def plain(self) -> dict[str, Any]:
        """Return what the hub's database keeps: JSON-able, and without the user's log."""
        return {key: value for key, value in asdict(self).items() if key != "lines"}

    @property
    def stopped(self) -> bool:
        """Tell whether somebody cancelled it from the hub."""
        return self.kind == STOPPED

    @property
    def title(self) -> str:
        """Return the key of the text that stands above it on a page of its own."""
        if self.up:
            return "failure.ended_title"
        return "failure.cancelled_title" if self.stopped else "failure.title"

    def earlier(self, server: str, texts: Texts) -> str:
        """Return what stands before it among other things; `server` is empty for the default."""
        start = "failure.ended" if self.up else "failure.earlier"
        return texts(f"{start}_named", server=server) if server else texts(start)

    @property
    def retry(self) -> dict[str, str]:
        """Return the choices for the next try, with the fix filled in."""
        asked = dict(self.asked)
        if "node_type" in self.changes:
            asked = {
                name: value
                for name, value in asked.items()
                if name not in _OF_A_NODE_TYPE and not name.startswith(OPTION)
            }
            if "profile" in asked:
                asked["profile"] = BATCH
        return asked | dict(self.changes)

    def said_state(self, texts: Texts) -> str:
        """Return the job's last state in the words of a catalogue; one of old as it is."""
        known = next((each for each in JobState if each == self.state), None)
        return texts(f"states.{known.name.lower()}") if known else self.state

    def text(self, texts: Texts) -> str:
        """Return all of it as plain text, for answers of the REST API."""
        facts = [self.sentence, self.advice]
        state = self.said_state(texts)
        named = {"job": self.job, "state": state, "exit_code": self.exit_code}
        facts += [
            f"{texts(f'failure.{name}')}: {value}"
            for name, value in named.items()
            if value not in ("", None)
        ]
        if self.words:
            facts.append(f"{texts('failure.words')}: {self.words}")
        log = [f"{texts('failure.log')}:", *self.lines] if self.lines else []
        return "\n".join([*facts, *log])

    def html(self, texts: Texts, link: str) -> str:
        """Return all of it as a part of a page; whatever came from a log is escaped."""
        template = _environment().get_template("failure.html")
        return template.render(failure=self, texts=texts, link=link)


class ServerFailed(SpawnException):
    """A start that failed, with its reason; what JupyterHub logs has nothing of the user's log."""

    def __init__(self, failure: Failure, texts: Texts, link: str) -> None:
        text, html = failure.text(texts), failure.html(texts, link)
        super().__init__(text, reason=failure.kind, message_html=html)
        self.failure = failure
        # the base class has put the whole message here; JupyterHub writes this into its log
        self.log_message = f"{failure.kind}: {failure.sentence} {failure.words}".replace("%", "%%")
        # pages and the stream of events look for these
        self.jupyterhub_message, self.jupyterhub_html_message = text, html


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
