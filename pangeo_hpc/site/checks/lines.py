"""Checks of the lines that go into a job's header."""

import re

from pangeo_hpc.site.checks.finding import Finding
from pangeo_hpc.site.checks.patterns import allows_blanks
from pangeo_hpc.site.model import NodeType, Option, Site
from pangeo_hpc.site.people import PLACEHOLDERS, placeholders


def directives(site: Site) -> list[Finding]:
    """Refuse lines with the scheduler's own mark, and lines that are not an option."""
    found = []
    for name, node in site.node_types.items():
        lines = [
            (f"node_types.{name}.directives[{number}]", line)
            for number, line in enumerate(node.directives)
        ]
        for key, option in node.options.items():
            lines.append((f"node_types.{name}.options.{key}.directive", option.directive))
        if node.local_disk and node.local_disk.directive:
            lines.append((f"node_types.{name}.local_disk.directive", node.local_disk.directive))
        found += [finding for path, line in lines if (finding := _one_line(path, line))]
    return found


def _one_line(path: str, line: str) -> Finding | None:
    if line.startswith("#"):
        bare = re.sub(r"^#\s*(SBATCH|PBS)?\s*", "", line)
        return Finding(path, "the mark of the scheduler is added by us", f"write only: {bare}")
    if not line.startswith("-"):
        hint = "begin with a dash, as in --reservation=abc or -l wd"
        return Finding(path, f"{line!r} is not an option of the scheduler", hint)
    return None


def options(site: Site) -> list[Finding]:
    """Refuse options whose value has no place, or whose pattern lets too much through."""
    found = []
    for name, node in site.node_types.items():
        for key, option in node.options.items():
            found += _one_option(f"node_types.{name}.options.{key}", option)
    return found


def _one_option(here: str, option: Option) -> list[Finding]:
    found = []
    if "value" not in placeholders(option.directive):
        text = "there is no {value} in it, so the user's value goes nowhere"
        hint = f"write it as {option.directive.rstrip('=')}={{value}}"
        found.append(Finding(f"{here}.directive", text, hint))
    try:
        pattern = re.compile(option.pattern)
    except re.error as error:
        text = f"this is not a regular expression: {error.msg}"
        hint = "write one such as [A-Za-z0-9_.:-]+"
        return [*found, Finding(f"{here}.pattern", text, hint)]
    loose = allows_blanks(option.pattern)
    if loose:
        text = f"{loose} in it lets blanks or newlines through, which could add other options"
        hint = "name the characters that are allowed, as in [A-Za-z0-9_.:-]+"
        found.append(Finding(f"{here}.pattern", text, hint))
    default = option.default
    if default is not None and not placeholders(default) and not pattern.fullmatch(default):
        text = f"{default!r} does not match {option.pattern}"
        hint = "the pattern must match the whole value"
        found.append(Finding(f"{here}.default", text, hint, needs=(f"{here}.pattern",)))
    return found


def local_disk(site: Site) -> list[Finding]:
    """Refuse a directive that asks for a size that is not there, and shell code as a path."""
    found = []
    for name, node in site.node_types.items():
        disk = node.local_disk
        if disk is None:
            continue
        here = f"node_types.{name}.local_disk"
        if disk.directive and "total" in placeholders(disk.directive) and disk.size is None:
            text = "{total} stands for a size, and there is none"
            finding = Finding(f"{here}.directive", text, "add size", needs=(f"{here}.size",))
            found.append(finding)
        if not re.fullmatch(r"(/|\$\w|\$\{\w+\}|~)[\w./${}+-]*", disk.path) or "$(" in disk.path:
            text = f"{disk.path!r} is not a path on the node"
            hint = "write an absolute path, or a variable of the job such as $TMPDIR"
            found.append(Finding(f"{here}.path", text, hint, needs=(here,)))
    return found


def placeholders_of(node: NodeType, here: str) -> list[tuple[str, str, frozenset[str]]]:
    """Return the lines of a node type that have placeholders: path, text, names allowed there."""
    lines = [
        (f"{here}.directives[{number}]", line, PLACEHOLDERS)
        for number, line in enumerate(node.directives)
    ]
    lines.append((f"{here}.account", node.account, PLACEHOLDERS))
    for key, option in node.options.items():
        path = f"{here}.options.{key}"
        lines.append((f"{path}.directive", option.directive, PLACEHOLDERS | {"value"}))
        lines.append((f"{path}.default", option.default or "", PLACEHOLDERS))
    if node.local_disk:
        path, line = f"{here}.local_disk.directive", node.local_disk.directive or ""
        lines.append((path, line, PLACEHOLDERS | {"total"}))
    return lines


def unknown(path: str, text: str, known: frozenset[str]) -> list[Finding]:
    """Return a finding for each placeholder of a text that is not known."""
    listed = ", ".join(f"{{{name}}}" for name in sorted(known))
    return [
        Finding(path, f"{{{name}}} is not a placeholder", f"known here are {listed}")
        for name in placeholders(text)
        if name not in known
    ]


def all_placeholders(site: Site) -> list[Finding]:
    """Refuse placeholders in job lines that nothing fills."""
    found = []
    for name, node in site.node_types.items():
        for path, text, known in placeholders_of(node, f"node_types.{name}"):
            found += unknown(path, text, known)
    return found
