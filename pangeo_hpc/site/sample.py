"""A sample of every setting, and a reference page, both written from the models themselves."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from pangeo_hpc.site.lookup import fields_of, part_of
from pangeo_hpc.site.model import EnvironmentEntry, ObjectStore, SchedulerEntry, Site
from pangeo_hpc.site.model.base import Part
from pangeo_hpc.site.schema import json_schema

_WIDTH = 96
_HEAD = """\
# yaml-language-server: $schema=site.schema.json
#
# Every setting of a site, with an example. Only name, scheduler and one node type with cores,
# memory and walltime are needed. Write the schema for your editor with:
#     pangeo-hpc site schema > site.schema.json
"""

_REFERENCE = """\
# Settings of a site

Each key of a site YAML, with what it is when it is left out, and an example.
`pangeo-hpc site sample` prints them all in one file; `pangeo-hpc site schema` is for editors.
NAME stands for a name of your own.
This page is written from `pangeo_hpc/site/model/`; edit the descriptions there.
"""

# What cannot stand beside the key that is named: it is shown as a comment.
INSTEAD = {
    (EnvironmentEntry, "prefix"): "spec",
    (ObjectStore, "path"): "bucket",
    (SchedulerEntry, "server"): "cluster",
}


def sample() -> str:
    """Return a commented YAML with every setting; it loads as it is."""
    return _HEAD + "\n" + "\n".join(_part(Site, "")) + "\n"


def _part(model: type[Part], indent: str) -> Iterator[str]:
    for number, (key, field) in enumerate(fields_of(model).items()):
        if number and not indent:
            yield ""
        text = f"{field.description}{' Required.' if field.is_required() else ''}"
        for line in textwrap.wrap(text, _WIDTH - len(indent)):
            yield f"{indent}# {line}"
        other = INSTEAD.get((model, key))
        if other:
            yield f"{indent}# {key}: {flow((field.examples or [None])[0])}    # instead of {other}"
        else:
            yield from _value(key, field, indent)


def _value(key: str, field: FieldInfo, indent: str) -> Iterator[str]:
    below, inside = part_of(field.annotation)
    example = (field.examples or [{}])[0]
    if below is None:
        yield f"{indent}{key}: {flow(example)}"
    elif inside == "names":
        yield f"{indent}{key}:"
        yield f"{indent}  {next(iter(example))}:"
        yield from _part(below, f"{indent}    ")
    elif inside == "list":
        yield f"{indent}{key}:"
        yield f"{indent}  -"
        yield from _part(below, f"{indent}    ")
    else:
        yield f"{indent}{key}:"
        yield from _part(below, f"{indent}  ")


def flow(example: Any) -> str:
    """Return an example on one line of YAML; text is quoted where YAML would misread it."""
    if isinstance(example, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in example.items()) + "}"
    if isinstance(example, list):
        return "[" + ", ".join(flow(item) for item in example) + "]"
    if isinstance(example, str):
        return example if _harmless(example) else json.dumps(example, ensure_ascii=False)
    return json.dumps(example)


def _harmless(text: str) -> bool:
    return (
        (text[:1].isalpha() or text.startswith(("/", "~/")))
        and all(character.isalnum() or character in " ./_-%@" for character in text)
        and text.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
    ) or (text[:1].isdigit() and text.replace(" ", "").isalnum() and " " in text)


def reference() -> str:
    """Return every setting as Markdown, one table for each part of the YAML."""
    lines = [_REFERENCE]
    schema = json_schema()
    parts = {"Site": schema, **schema["$defs"]}
    for path, model in _sections(Site, ""):
        lines += [f"## {path or 'At the top'}", "", _sentence(model), ""]
        lines += ["| key | meaning | default | example |", "| --- | --- | --- | --- |"]
        for key, field in fields_of(model).items():
            example = (field.examples or [""])[0]
            default = _default(field, parts[model.__name__]["properties"][key])
            cells = (f"`{key}`", field.description or "", default, f"`{flow(example)}`")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _sections(model: type[Part], path: str) -> Iterator[tuple[str, type[Part]]]:
    yield path, model
    for key, field in fields_of(model).items():
        below, inside = part_of(field.annotation)
        if below:
            step = {"names": f"{key}.NAME", "list": f"{key}[]"}.get(inside or "", key)
            yield from _sections(below, f"{path}.{step}" if path else step)


def _sentence(model: type[Part]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _default(field: FieldInfo, schema: dict[str, Any]) -> str:
    if field.is_required():
        return "required"
    value = schema.get("default")
    return "" if value in (None, "", [], {}) else f"`{flow(value)}`"
