"""A commented site YAML from a survey: pure text, which loads without a problem."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from pangeo_hpc._version import __version__
from pangeo_hpc.detect.queues import (
    default_first,
    names_of,
    no_queues,
    node_type,
    nodes_of,
    trouble,
)
from pangeo_hpc.detect.survey import Survey
from pangeo_hpc.detect.words import one_line, plain_name, printable, quoted
from pangeo_hpc.errors import SiteError
from pangeo_hpc.machine import Machine, this_machine
from pangeo_hpc.site.builtin import local_yaml
from pangeo_hpc.site.find import Source
from pangeo_hpc.site.load import read_site


def draft_site(survey: Survey, machine: Machine | None = None) -> str:
    """Return a draft of the site that was surveyed. Raise SiteError if it would not load."""
    if survey.kind == "local":
        text = _local(survey, machine or this_machine())
    else:
        text = "\n".join(printable(line) for line in _cluster(survey)) + "\n"
    _, _, problems = read_site(text, Source("draft", text))
    if problems:
        raise SiteError(problems)
    return text


def _head(survey: Survey) -> Iterator[str]:
    version = ".".join(map(str, survey.version))
    yield f"# Drafted by pangeo-hpc {__version__} on {survey.host}; edit it freely."
    yield "# All settings: pangeo-hpc site sample. Check it: pangeo-hpc site validate FILE"
    if version:
        yield f"# The scheduler says it is {survey.kind} {version}."
    for words in survey.missing:
        yield f"# Not known: {one_line(words)}"


def _local(survey: Survey, machine: Machine) -> str:
    nothing = "# No scheduler was found here (no sbatch, no qsub)."
    lines = [*map(printable, _head(survey)), nothing, ""]
    name = plain_name(survey.host.split(".")[0], "workstation")
    body = local_yaml(machine).replace("name: local\n", f"name: {quoted(name)}\n", 1)
    body = body.replace("without any site file", "with jobs in a small queue of your own")
    return "\n".join(lines) + body


def _cluster(survey: Survey) -> Iterator[str]:
    yield from _head(survey)
    yield ""
    yield f"name: {quoted(_site_name(survey.host))}    # check: short name of the cluster"
    yield f"scheduler: {survey.kind}"
    yield f"# login_hosts: [{survey.host}]    # what users give to ssh"
    yield ""
    yield "# Runs, leases and private files. Compute nodes must see this folder."
    yield 'user_state: "~/.local/state/pangeo-hpc"'
    yield ""
    yield from _accounts(survey)
    yield "node_types:"
    queues = default_first(survey.queues)
    usable = [queue for queue in queues if trouble(queue, nodes_of(queue, survey)) is None]
    # a site needs one node type, so that one is written even if all are down today
    shown = usable or queues[:1]
    names = names_of([*shown, *(queue for queue in queues if queue not in shown)])
    for number, queue in enumerate(shown):
        marked = number == 0 and len(shown) > 1
        yield from node_type(names[queue.name], queue, survey, default=marked)
    if not queues:
        yield from no_queues()
    for queue in queues:
        if queue not in shown:
            why = trouble(queue, nodes_of(queue, survey))
            yield f"  # {queue.name} cannot be used now: {why}"
            yield from _commented(node_type(names[queue.name], queue, survey, default=False))
    yield ""
    yield from _scratch(survey)
    yield ""
    yield from _environments(survey)


def _accounts(survey: Survey) -> Iterator[str]:
    if not survey.accounts:
        return
    yield f"# Accounts of {survey.person.user}:"
    for account in survey.accounts:
        qos = f"; qos {', '.join(account.qos)}" if account.qos else ""
        yield f"#   {one_line(account.name)}{' (default)' if account.default else ''}{qos}"
    yield "# Each user sets their own: account in ~/.config/pangeo-hpc/user.yaml, or --account."


def _scratch(survey: Survey) -> Iterator[str]:
    likely = [mount for mount in survey.mounts if mount.likely]
    names = Counter(plain_name(mount.root.rsplit("/", 1)[-1], "scratch") for mount in likely)
    if not likely:
        yield "# No scratch filesystem was seen; without one, data goes to ~/pangeo-scratch."
        yield "# scratch:"
        yield '#   scratch: {path: "/scratch/{user}"}'
    else:
        yield "# check: where users' own directories are, and what the site purges"
        yield "scratch:"
    for number, mount in enumerate(likely):
        short = plain_name(mount.root.rsplit("/", 1)[-1], "scratch")
        name = short if names[short] == 1 else f"{short}-{number + 1}"
        yield f"  {name}:    # seen by {mount.why}"
        yield f'    path: "{mount.path}"'
        yield "    # purge: {after: 60 days, enforced_by: site}"
        if number == 0 and len(likely) > 1:
            yield "    default: true"
    for mount in survey.mounts:
        if not mount.likely:
            yield f"# perhaps scratch, too: {mount.root} ({mount.why})"


def _environments(survey: Survey) -> Iterator[str]:
    yield f"# Without environments, jobs use the Python that runs pangeo-hpc: {survey.prefix}"
    if survey.conda and survey.conda != survey.prefix:
        yield "# A conda environment is active; it serves once it can import pangeo_hpc."
        yield "# environments:"
        yield f'#   {plain_name(survey.conda.name, "conda")}: {{prefix: "{survey.conda}"}}'


def _commented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"  # {line.removeprefix('  ')}"


def _site_name(host: str) -> str:
    """Return a likely name of the cluster: login01.alpha.example is of alpha."""
    first, _, rest = host.partition(".")
    plain = re.sub(r"[-_]?\d+$", "", first)
    if rest and re.fullmatch(r"(login|log|head|front|frontend|submit|master|mgmt|l)[a-z]*", plain):
        plain = rest.split(".")[0]
    name = plain_name(plain, "cluster")
    return "cluster" if name == "local" else name
