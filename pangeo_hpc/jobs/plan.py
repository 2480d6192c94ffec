"""Turn what a user asks into a decided request, or refuse it with every reason at once."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pangeo_hpc._version import __version__
from pangeo_hpc.errors import PangeoHpcError, Problem, RequestRefused, UnknownName
from pangeo_hpc.jobs.submit import with_nonce
from pangeo_hpc.schedulers import registry
from pangeo_hpc.schedulers.base import JobRequest, Scheduler, SchedulerOptions
from pangeo_hpc.site import NodeType, Person, Site, current_person, expand
from pangeo_hpc.units import (
    format_memory,
    format_walltime,
    parse_memory,
    parse_walltime,
    whole_mib,
)

Value = TypeVar("Value", int, timedelta)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a user asks for; None leaves a choice to the node type.

    `cores`, `memory` and `gpus` are per node. Values may be text, as a form or a command line
    gives them. `options` are names and values of the node type's `options`.
    """

    node_type: str | None = None
    nodes: int | str | None = None
    cores: int | str | None = None
    memory: int | str | None = None
    gpus: int | str | None = None
    walltime: timedelta | str | None = None
    account: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def scheduler_of(
    site: Site, node_type: str | None = None, person: Person | None = None
) -> Scheduler:
    """Return the scheduler that runs jobs of a node type."""
    key, _ = site.scheduler_of(site.node_type(node_type))
    return scheduler_named(site, key, person)


def scheduler_named(site: Site, key: str, person: Person | None = None) -> Scheduler:
    """Return the scheduler of a key of the site's `schedulers`. Raise UnknownName without one."""
    if key not in site.schedulers:
        hint = f"schedulers here: {', '.join(site.schedulers)}"
        raise UnknownName(f"site {site.name} has no scheduler {key!r}", hint=hint)
    entry = site.schedulers[key]
    state = None
    if entry.type == "local":
        # only here: the hub's own account, for one, may have no {project} to put into the path
        state = site.user_state_path(person or current_person()) / "localqueue"
    options = SchedulerOptions(
        bin=entry.bin,
        cluster=entry.cluster,
        server=entry.server,
        request=entry.request,
        account_option=entry.account_option,
        environment=dict(entry.environment),
        state=state,
    )
    return registry.make(entry.type, options)


def plan(
    site: Site,
    ask: Ask,
    *,
    name: str,
    command: Sequence[str],
    use: str = "batch",
    person: Person | None = None,
    setup: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    working_directory: Path | None = None,
    folder: Path | None = None,
    after: Sequence[str] = (),
    requeue: bool = False,
    nonce: str | None = None,
    array: int | None = None,
) -> JobRequest:
    """Return the request for one job, or for `array` equal ones, held to the limits of the site.

    This is the only way in: forms, links, options and Python calls all end here. `use` is what
    the job is for: ``notebook``, ``dask`` or ``batch``. `setup` are lines of the environment, never
    of the user. `folder` will hold what the job prints and its exit status. `nonce` is one that is
    remembered already. Each element of an array keeps its own in a folder named by its index.
    Raise RequestRefused with every problem, or UnknownName for a node type that
    is not there.
    """
    node = site.node_type(ask.node_type)
    defaults = site.defaults
    who = (person or current_person()).with_defaults(defaults.account, defaults.project)
    desk = _Desk(node, who, site)
    own = folder / "{index}" if folder and array is not None else folder
    request = JobRequest(
        name=f"{desk.name(name)}-{nonce}" if nonce else with_nonce(desk.name(name)),
        command=tuple(command),
        node_type=node.name,
        scheduler=site.scheduler_of(node)[0],
        nodes=desk.nodes(ask.nodes),
        cores=desk.amount("cores", ask.cores, node.cores, node.max_cores, _whole, str),
        memory=desk.amount(
            "memory", ask.memory, node.memory, node.max_memory, parse_memory, format_memory
        ),
        gpus=desk.amount("gpus", ask.gpus, node.gpus, node.max_gpus, _whole, str),
        gpu_type=node.gpu_type,
        walltime=desk.walltime(ask.walltime),
        queue=node.queue,
        qos=node.qos,
        account=desk.account(ask.account),
        constraint=node.constraint,
        resources=dict(node.resources),
        exclusive=node.exclusive,
        threads_per_core=node.threads_per_core,
        omit=frozenset(node.omit),
        setup=(*node.setup, *setup),
        environment=dict(environment or {}),
        working_directory=working_directory,
        output=own / "output.log" if own else None,
        exit_file=own / "exit" if own else None,
        array=array,
        after=tuple(after),
        requeue=requeue,
        made_by=f"pangeo-hpc {__version__} from site {site.name}, node type {node.name}",
    )
    desk.use(use)
    directives = desk.directives(request, ask.options)
    if desk.problems:
        raise RequestRefused(desk.problems)
    return replace(request, directives=directives)


class _Desk:
    """Where a request is looked at: every rule adds its problem and goes on."""

    def __init__(self, node: NodeType, person: Person, site: Site) -> None:
        self.node, self.person, self.site = node, person, site
        self.problems: list[Problem] = []

    def refuse(self, path: str, text: str, hint: str | None = None) -> None:
        self.problems.append(Problem(path, text, hint))

    def name(self, name: str) -> str:
        if not NAME.fullmatch(name):
            hint = "use letters, digits, dot, dash and underscore, at most 60, a letter first"
            self.refuse("name", f"{name!r} cannot be the name of a job", hint)
        return name

    def use(self, use: str) -> None:
        if use not in self.node.uses:
            fit = [name for name, other in self.site.node_types.items() if use in other.uses]
            hint = f"node types for it: {', '.join(fit)}" if fit else None
            self.refuse("node_type", f"{self.node.name} is not for {use} jobs", hint)

    def nodes(self, asked: int | str | None) -> int:
        most = self.node.max_nodes or 1
        number = self.parsed("nodes", asked, _whole, int)
        if number is None:
            return 1
        if number < 1:
            self.refuse("nodes", f"{number} is not a number of nodes", "ask for 1 or more")
        if number > most:
            self.refuse(
                "nodes",
                f"{number} is more than one job of node type {self.node.name} may have ({most})",
                f"the limit is max_nodes of this node type in site {self.site.name}",
            )
        return number

    def amount(
        self,
        what: str,
        asked: int | str | None,
        default: int,
        most: int | None,
        parse: Callable[[object], int],
        show: Callable[[int], str],
    ) -> int:
        number = self.parsed(what, asked, parse, int)
        if number is None or number == default:
            return default
        of = f"node type {self.node.name}"
        if most is None or most == default:
            hint = f"leave {what} out, or choose another node type"
            self.refuse(what, f"{of} has a fixed {show(default)}, not {show(number)}", hint)
        elif number > most:
            hint = f"ask for {show(most)} or less, or choose a larger node type"
            self.refuse(what, f"{show(number)} is more than {of} allows ({show(most)})", hint)
        elif number < (0 if what == "gpus" else 1):
            self.refuse(what, f"{show(number)} is too little")
        return number

    def walltime(self, asked: timedelta | str | None) -> timedelta:
        time = self.parsed("walltime", asked, parse_walltime, timedelta)
        most = self.node.max_walltime
        if time is None:
            return self.node.walltime
        if time <= timedelta(0):
            self.refuse("walltime", f"{time} is no time at all")
        elif time > most:
            self.refuse(
                "walltime",
                f"{format_walltime(time)} is more than node type {self.node.name} allows "
                f"({format_walltime(most)})",
                "ask for less, or split the work: a run goes on where it stopped",
            )
        return time

    def account(self, asked: str | None) -> str | None:
        rule = self.node.account
        given = asked or self.person.account
        if given is not None and not _ACCOUNT.fullmatch(given):
            self.refuse("account", f"{given!r} cannot be an account")
            return None
        if rule == "none":
            if asked:
                self.refuse(
                    "account", f"node type {self.node.name} takes no account", "leave it out"
                )
            return None
        if rule in ("required", "optional", None):
            if given is None and rule == "required":
                self.refuse(
                    "account",
                    f"node type {self.node.name} needs an account",
                    "give --account, or set account in ~/.config/pangeo-hpc/user.yaml",
                )
            return given
        if "{" not in rule:
            if asked and asked != rule:
                self.refuse("account", f"node type {self.node.name} always charges {rule}")
            return rule
        return self.filled(rule, f"node_types.{self.node.name}.account", given)

    def directives(self, request: JobRequest, asked: Mapping[str, str]) -> tuple[str, ...]:
        """Return the site's own lines, and those a user may fill, each value matched whole."""
        key = f"node_types.{self.node.name}"
        account = request.account
        lines = [self.filled(line, f"{key}.directives", account) for line in self.node.directives]
        disk = self.node.local_disk
        if disk is not None and disk.directive:
            total = f"{whole_mib((disk.size or 0) * request.nodes)}MB"
            lines.append(self.filled(disk.directive, f"{key}.local_disk", account, total=total))
        lines += self.options(asked, account)
        return tuple(line for line in lines if line is not None)

    def options(self, asked: Mapping[str, str], account: str | None) -> Iterator[str | None]:
        """Yield the lines of declared options; user text reaches the header in no other way."""
        known = self.node.options
        for name in asked:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"options: {', '.join(known) or '-'}"
                text = f"node type {self.node.name} has no such option"
                self.refuse(f"option {name}", text, hint)
        for name, option in known.items():
            key = f"node_types.{self.node.name}.options.{name}"
            value = asked.get(name)
            if value is None and option.default is not None:
                value = self.filled(option.default, key, account)
            if value is None:
                continue
            if not re.fullmatch(option.pattern, value) or not value.isprintable():
                self.refuse(f"option {name}", f"{value!r} does not match {option.pattern}")
                continue
            yield self.filled(option.directive, key, account, value=value)

    def parsed(
        self,
        what: str,
        asked: Value | str | None,
        parse: Callable[[object], Value],
        kind: type[Value],
    ) -> Value | None:
        if asked is None:
            return None
        if isinstance(asked, kind) and not isinstance(asked, bool):
            return asked
        try:
            return parse(asked)
        except ValueError as error:
            self.refuse(what, str(error))
            return None

    def filled(self, template: str, key: str, account: str | None, **more: str) -> str | None:
        person = replace(self.person, account=account or self.person.account)
        try:
            return expand(template, key, person, **more)
        except PangeoHpcError as error:
            self.refuse(key, error.text.removeprefix(f"{key}: "), error.hint)
            return None


def _whole(value: object) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"-?\d{1,9}", text):
        message = f"{text!r} is not a whole number"
        raise ValueError(message)
    return int(text)
