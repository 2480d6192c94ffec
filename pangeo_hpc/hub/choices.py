"""What a user asks of a server: one reader for the form, links, REST options and stored choices.

Whatever way it comes, it ends as `Choices` and is held to the site's limits by `jobs.plan`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any

from pangeo_hpc import jobs
from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.hub import login
from pangeo_hpc.hub.login import LOGIN
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.site import Person, Site
from pangeo_hpc.texts import problem

OPTION = "option."
BATCH = "batch"
# What a browser adds of its own.
_NOISE = {"_xsrf"}
_LONGEST = 1000
_MOST_OPTIONS = 50


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user chose; None and absent options leave a choice to the site.

    All values are text as it was typed; `working_directory` is absolute, or relative to the
    user's home.
    """

    profile: str | None = None
    node_type: str | None = None
    environment: str | None = None
    cores: str | None = None
    memory: str | None = None
    gpus: str | None = None
    walltime: str | None = None
    account: str | None = None
    working_directory: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def ask(self) -> jobs.Ask:
        """Return the part that describes a job."""
        return jobs.Ask(
            node_type=self.node_type,
            cores=self.cores,
            memory=self.memory,
            gpus=self.gpus,
            walltime=self.walltime,
            account=self.account,
            options=self.options,
        )

    def plain(self) -> dict[str, str]:
        """Return the choices that were made, flat and JSON-able; `read` takes them back."""
        named = {name: getattr(self, name) for name in NAMES}
        told = {name: value for name, value in named.items() if value is not None}
        return told | {f"{OPTION}{name}": value for name, value in self.options.items()}


NAMES = tuple(each.name for each in fields(Choices) if each.name != "options")
# What the login profile leaves to the site: a form sends its fields for all profiles.
_BATCH_ONLY = ("node_type", "cores", "memory", "gpus", "walltime", "account")


def read(given: Mapping[str, Any]) -> Choices:
    """Return the choices in form data, a link's parameters or REST options.

    A form gives each field as a list of one text, and empty for no choice. Options of the node type
    are ``option.NAME``, or a mapping under ``options``. Raise RequestRefused with every problem.
    """
    problems: list[Problem] = []
    found: dict[str, str] = {}
    options: dict[str, str] = {}
    for key, value in _flat(given, problems):
        text = _text(key, value, problems)
        if text is None:
            continue
        if key in NAMES:
            found[key] = text
        elif key.startswith(OPTION) and len(key) > len(OPTION):
            options[key.removeprefix(OPTION)] = text
        else:
            near = get_close_matches(key, NAMES, 1)
            problems.append(_unknown(key[:40], "no_choice", near, "known", NAMES))
    problems += _directory(found.get("working_directory"))
    if problems:
        raise RequestRefused(problems)
    return Choices(**found, options=options)


def of_form(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return form data without the fields that belong to another profile than the chosen one.

    A browser sends them all; whoever names them in a REST call means them.
    """
    chosen = given.get("profile")
    if chosen not in (LOGIN, [LOGIN]):
        return dict(given)
    return {
        key: value
        for key, value in given.items()
        if key not in (*_BATCH_ONLY, "options") and not key.startswith(OPTION)
    }


def profile(site: Site, choices: Choices) -> str:
    """Return the profile that is meant: the chosen one, else the site's first.

    Whoever says anything of a job, but not of a profile, means a job.
    """
    offered = site.hub.profiles if site.hub else (BATCH,)
    if choices.profile is not None:
        return choices.profile
    if BATCH in offered and (choices.options or any(getattr(choices, n) for n in _BATCH_ONLY)):
        return BATCH
    return offered[0] if offered else BATCH


def planned(site: Site, choices: Choices) -> tuple[Site, jobs.Ask]:
    """Return what `jobs.plan` is to be asked, and of which site: that of the profile.

    Raise RequestRefused for a profile that the site does not offer, or what a profile has not.
    """
    kind = profile(site, choices)
    if kind not in (site.hub.profiles if site.hub else (BATCH,)):
        raise RequestRefused([no_such_profile(site, kind)])
    if kind != LOGIN:
        return site, choices.ask()
    problems = [
        problem(name, "limits.login", "limits.login_hint")
        for name in (*_BATCH_ONLY, *(f"{OPTION}{name}" for name in choices.options))
        if name.startswith(OPTION) or getattr(choices, name) is not None
    ]
    if problems:
        raise RequestRefused(problems)
    return login.prepared(site), jobs.Ask(node_type=LOGIN)


def decide(site: Site, choices: Choices, person: Person, *, name: str = "jupyter") -> JobRequest:
    """Return the job that the choices ask for, without what only the submission knows.

    This is the same check that the submission makes again. Raise RequestRefused with every problem,
    or UnknownName.
    """
    problems: list[Problem] = []
    if choices.environment is not None:
        known = site.environments or ("current",)
        if choices.environment not in known:
            near = get_close_matches(choices.environment, known, 1)
            told = {"site": site.name, "value": repr(choices.environment)}
            problems.append(
                _unknown("environment", "no_environment", near, "it_has", known, **told)
            )
    if choices.node_type is not None and choices.node_type not in site.node_types:
        near = get_close_matches(choices.node_type, site.node_types, 1)
        told = {"site": site.name, "value": repr(choices.node_type)}
        wrong = _unknown("node_type", "no_node_type", near, "it_has", site.node_types, **told)
        raise RequestRefused([*problems, wrong])
    try:
        where, ask = planned(site, choices)
        request = jobs.plan(where, ask, name=name, command=("true",), use="notebook", person=person)
    except RequestRefused as error:
        raise RequestRefused([*problems, *error.problems]) from None
    if problems:
        raise RequestRefused(problems)
    return request


def no_such_profile(site: Site, profile: str | None) -> Problem:
    """Return what is wrong with a profile that the site does not offer."""
    profiles = site.hub.profiles if site.hub else (BATCH,)
    return _unknown("profile", "no_profile", [], "it_has", profiles, value=repr(profile))


def _unknown(
    path: str, name: str, near: Sequence[str], hint: str, known: Iterable[str], **values: str
) -> Problem:
    """Return what is wrong with a name that is none, with a guess or all that there are."""
    told = {"near": "".join(near[:1]), "names": ", ".join(known), **values}
    return problem(path, f"limits.{name}", f"limits.{'guess' if near else hint}", **told)


def _flat(given: Mapping[str, Any], problems: list[Problem]) -> list[tuple[str, Any]]:
    """Return keys and values, with the mapping under ``options`` laid flat."""
    pairs: list[tuple[str, Any]] = []
    for key, value in given.items():
        if key in _NOISE:
            continue
        if key == "options" and isinstance(value, Mapping):
            pairs += [(f"{OPTION}{name}", each) for name, each in value.items()]
        else:
            pairs.append((str(key), value))
    if len(pairs) > _MOST_OPTIONS:
        problems.append(problem("", "limits.too_many", number=str(len(pairs))))
        return []
    return pairs


def _text(key: str, value: Any, problems: list[Problem]) -> str | None:
    """Return one choice as text, None for no choice."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) > 1:
            problems.append(problem(key, "limits.twice"))
            return None
        value = value[0] if value else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        told = repr(str(value)[:40])
        problems.append(problem(key, "limits.not_text", "limits.quotes", value=told))
        return None
    text = str(value).strip()
    if len(text) > _LONGEST or not text.isprintable():
        problems.append(problem(key, "limits.not_plain"))
        return None
    return text or None


def _directory(text: str | None) -> list[Problem]:
    if text is None:
        return []
    if text.startswith("~") and text != "~" and not text.startswith("~/"):
        return [_no_place("others_home", "home_hint", text)]
    if ".." in PurePosixPath(text).parts:
        return [_no_place("climbs", "climbs_hint", text)]
    return []


def _no_place(name: str, hint: str, text: str) -> Problem:
    return problem("working_directory", f"limits.{name}", f"limits.{hint}", value=repr(text))
