"""The form of a server's choices, from what a request gave or a user chose last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader
from jupyterhub.spawner import SpawnException

from pangeo_hpc.errors import PangeoHpcError, Problem, RequestRefused
from pangeo_hpc.hub import fields, usage
from pangeo_hpc.schedulers.base import Account

if TYPE_CHECKING:
    from pangeo_hpc.hub.remembering import Shared
    from pangeo_hpc.hub.spawner import SiteSpawner

TEMPLATES = Path(__file__).with_name("templates")
# Names of a request that are JupyterHub's or a button's own; its links may also say ``opt-cores``.
OURS = ("_xsrf", "_show", "next", "display_name")
PREFIX = "opt-"
_LONGEST = 200


class Refused(SpawnException):
    """A request outside the limits, with every problem."""

    def __init__(self, text: str, problems: Sequence[Problem]) -> None:
        super().__init__(text, reason="refused")
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request says: values of fields, each a list of texts.

    With `shown`, the page shows what the hub found out (see `pages.told`); `message` is an error
    that belongs to no field. `is_checked` says whether problems are shown: not those of an empty
    form.
    """

    given: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    is_checked: bool = False


async def render(spawner: "SiteSpawner", asked: Asked | None = None) -> str:
    """Return the form's fields and buttons as HTML; without `asked`, with the last choices."""
    office, problems = spawner.office, tuple[Problem, ...]()
    site, texts = office.site, office.texts
    if asked is None or not asked.is_checked:
        asked = Asked(given=remembered(spawner), message=asked.message if asked else "")
    else:
        problems = problems_of(spawner, asked.given)
    seen = fields.Seen(
        given={name: str(values[0])[:_LONGEST] for name, values in asked.given.items() if values},
        problems=problems,
        free={
            node.name: free
            for node in fields.offered(site)
            if (free := await office.conditions.free(node)) is not None
        },
        accounts=await _accounts(spawner),
        used=usage.last_of(spawner),
    )
    words = {
        "slider": texts("form.walltime_slider"),
        "asking": texts("form.asking"),
        "no_answer": texts("form.no_answer"),
        "no_offers": texts("form.no_offers"),
        "chosen": texts.raw("form.chosen"),
    }
    template = _environment().get_template("form.html")
    return template.render(
        **fields.context(site, texts, seen),
        ask=ask_path(spawner),
        message=asked.message,
        script_texts=texts.part("form.script"),
        shown=asked.shown,
        texts=texts,
        words=words,
        xsrf=_xsrf(spawner),
    )


def refusal(error: PangeoHpcError) -> SpawnException:
    """Return what is said to a request outside the limits."""
    problems = error.problems if isinstance(error, RequestRefused) else [Problem("", error.text)]
    return Refused(str(error), problems)


def problems_of(spawner: "SiteSpawner", given: Mapping[str, Sequence[str]]) -> tuple[Problem, ...]:
    """Return what is wrong with choices: the very check that a start makes."""
    try:
        spawner.options_from_form(given)
    except Refused as error:
        return error.problems
    return ()


def of_request(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, list[str]]:
    """Return the choices in the arguments of a request, without what is not ours."""
    found = {
        name.removeprefix(PREFIX): [value.decode(errors="replace") for value in values]
        for name, values in arguments.items()
    }
    return {name: values for name, values in found.items() if name not in OURS}


def remembered(spawner: "SiteSpawner") -> dict[str, list[str]]:
    """Return the last choices for this server, else the user's last ones for any.

    What the site does not allow any more is left out.
    """
    own = spawner.orm_spawner
    others = sorted(
        spawner.user.orm_user._orm_spawners,  # noqa: SLF001 - JupyterHub's own pages read it
        key=lambda each: str(each.last_activity or each.started or ""),
        reverse=True,
    )
    kept = next((each.user_options for each in (own, *others) if each.user_options), None) or {}
    given = {str(name): [value] for name, value in kept.items() if isinstance(value, str)}
    wrong = {fields.field_of(each.path) for each in problems_of(spawner, given)}
    if "" in wrong:
        return {}
    given = {name: values for name, values in given.items() if name not in wrong}
    return given if not problems_of(spawner, given) else {}


def link(spawner: "Shared", choices: Mapping[str, str]) -> str:
    """Return the address that fills the form with choices and starts nothing."""
    return f"{_path(spawner, 'spawn')}?{urlencode(choices)}"


def ask_path(spawner: "SiteSpawner") -> str:
    """Return where the page's script asks."""
    return _path(spawner, "api/pangeo-hpc/form")


def _path(spawner: "Shared", place: str) -> str:
    from jupyterhub.utils import url_escape_path, url_path_join

    names = [spawner.user.escaped_name, *([url_escape_path(spawner.name)] if spawner.name else [])]
    return str(url_path_join(spawner.hub.base_url, place, *names))


def _xsrf(spawner: "SiteSpawner") -> str:
    handler = getattr(spawner, "handler", None)
    return handler.xsrf_token.decode("ascii") if handler else ""


async def _accounts(spawner: "SiteSpawner") -> list[Account]:
    """Return the user's accounts on all schedulers of the site."""
    site, found = spawner.office.site, dict[str, Account]()
    keys = dict.fromkeys(site.scheduler_of(node)[0] for node in fields.offered(site))
    for key in keys:
        for each in await spawner.office.conditions.accounts(key, spawner.user.name):
            found.setdefault(each.name, each)
    return list(found.values())


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
