"""Start a lab once: the one that runs or waits is taken again, whoever asks."""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pangeo_hpc import envs, files, jobs, private, scratch
from pangeo_hpc.errors import SubmitUnclear, UsageError
from pangeo_hpc.lab import python
from pangeo_hpc.lab.folder import DEFAULT, Order, Start, named
from pangeo_hpc.run import Runner, run
from pangeo_hpc.schedulers.base import JobRequest, JobState
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.server import address, wording
from pangeo_hpc.site import Person, Site
from pangeo_hpc.units import format_memory, format_walltime


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A lab as a user asks for it: its name, the environment of new notebooks, and the job."""

    ask: jobs.Ask
    name: str = DEFAULT
    environment: str | None = None


def request_for(
    site: Site, person: Person, wanted: Wanted, chosen: envs.Environment, start: Start
) -> JobRequest:
    """Return the job of one start; nothing is written and nothing submitted.

    `chosen` runs the server. Raise RequestRefused for what the site does not allow.
    """
    told = {
        **chosen.variables,
        **scratch.variable(site, person),
        "PANGEO_HPC_SITE": str(start.site_file),
        "PYTHONUNBUFFERED": "1",
    }
    path = os.environ.get("PYTHONPATH")
    if path and chosen.name == envs.CURRENT:
        told["PYTHONPATH"] = path
    return jobs.plan(
        site,
        wanted.ask,
        name=wanted.name,
        # -P: a notebook's neighbour may be called like one of the server's modules
        command=(str(chosen.python), "-P", "-m", "pangeo_hpc.lab.job", str(start.path)),
        use="notebook",
        person=person,
        setup=chosen.setup,
        environment=told,
        working_directory=Path.cwd(),
        folder=start.path,
    )


def preview(site: Site, person: Person, wanted: Wanted) -> str:
    """Return the job script that `launch` would submit."""
    request = _first(site, person, wanted, python.choose(site, person, wanted.environment))
    scheduler = jobs.scheduler_named(site, request.scheduler, person)
    return render(scheduler.directives(request), request)


def launch(
    site: Site, person: Person, wanted: Wanted, *, runner: Runner = run
) -> tuple[Start, bool]:
    """Return the start of a lab, and whether it is a new one: whoever waits or runs is kept.

    Raise UsageError if the one that is there is not what is asked for, RequestRefused before
    anything is written, and the errors of `jobs.submit`.
    """
    chosen = python.choose(site, person, wanted.environment)
    request = _first(site, person, wanted, chosen)
    folder = named(site, person, wanted.name)
    with files.refusals(folder.path):
        private.ensure_directory(folder.path)
    busy = "wait for that one; pangeo-hpc lab list shows it"
    with jobs.alone(folder.path, f"lab {wanted.name}", busy):
        there = folder.newest()
        if there is not None:
            status = jobs.statuses(site, person, [there.job], runner=runner)[0]
            if not status.state.ended and status.state is not JobState.ENDING:
                _refuse_another(site, wanted, request, there)
                return there, False
            there.forget_secrets()
        with files.refusals(folder.path):
            start = folder.new()
        request = request_for(site, person, wanted, chosen, start)
        _submit(site, person, wanted, request, start, runner)
        return start, True


def _first(site: Site, person: Person, wanted: Wanted, chosen: envs.Environment) -> JobRequest:
    """Return the job as a first start would have it."""
    place = named(site, person, wanted.name).path / "0001"
    return request_for(site, person, wanted, chosen, Start(place))


def _submit(
    site: Site,
    person: Person,
    wanted: Wanted,
    request: JobRequest,
    start: Start,
    runner: Runner,
) -> None:
    """Write what the job will read and submit it; after a refusal no secret is left."""
    try:
        files.write_json(start.site_file, site.dump(), mode=0o600)
        wording.write(start.path, site.hub.texts if site.hub else None)
        token = private.put(start.path, "token", secrets.token_urlsafe(32))
        start.write_order(_order(site, wanted, request, token))
        scheduler = jobs.scheduler_named(site, request.scheduler, person)
        jobs.submit(scheduler, request, start.path, user=person.user, runner=runner)
    except SubmitUnclear as error:
        error.hint = "pangeo-hpc lab list looks for it once the scheduler answers"
        raise
    except BaseException:
        if not (start.path / "job.json").exists():
            shutil.rmtree(start.path, ignore_errors=True)
        elif start.job.state in ("refused", "not taken"):
            start.forget_secrets()
        raise


def _order(site: Site, wanted: Wanted, request: JobRequest, token: Path) -> Order:
    node = site.node_type(request.node_type)
    return Order(
        environment=_environment(site, wanted),
        token=token.name,
        interface=node.interface,
        callers=address.outward_addresses(),
        loopback=site.scheduler_of(node)[1].type == "local",
        ports=site.hub.port_range if site.hub else address.PORTS,
        setup=tuple(node.setup),
        options=dict(wanted.ask.options),
    )


def _environment(site: Site, wanted: Wanted) -> str:
    """Return the name of the environment of new notebooks."""
    return site.environment(wanted.environment).name if site.environments else envs.CURRENT


def _refuse_another(site: Site, wanted: Wanted, request: JobRequest, there: Start) -> None:
    """Raise UsageError if what is there differs in anything that was asked for by name."""
    kept, order, ask = there.job.request, there.order, wanted.ask
    seconds = timedelta(seconds=kept["walltime"])
    differences = [
        f"{word} {have} instead of {now}"
        for word, asked, have, now in (
            ("node type", ask.node_type, kept["node_type"], request.node_type),
            ("cores", ask.cores, kept["cores"], request.cores),
            ("memory", ask.memory, _memory(kept["memory"]), _memory(request.memory)),
            ("gpus", ask.gpus, kept["gpus"], request.gpus),
            ("walltime", ask.walltime, format_walltime(seconds), format_walltime(request.walltime)),
            ("account", ask.account, kept["account"] or "none", request.account or "none"),
            ("environment", wanted.environment, order.environment, _environment(site, wanted)),
            ("options", ask.options or None, _pairs(order.options), _pairs(ask.options)),
        )
        if asked is not None and have != now
    ]
    if differences:
        text = f"lab {there.lab} is there already, with {' and '.join(differences)}"
        stop = "pangeo-hpc lab stop" + ("" if there.lab == DEFAULT else f" {there.lab}")
        hint = f"leave that out to go on with it; {stop} ends it; --name starts another beside it"
        raise UsageError(text, hint=hint)


def _memory(amount: int | None) -> str:
    return format_memory(amount) if amount is not None else "none"


def _pairs(options: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(options.items())) or "none"
