"""The JSON Schema of a site YAML, for editors: it accepts what the loader accepts."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from pangeo_hpc.site.fields import FrozenDict
from pangeo_hpc.site.lookup import fields_of, models
from pangeo_hpc.site.model import Site
from pangeo_hpc.site.model.base import Part

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generate(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        return {} if isinstance(dft, FrozenDict) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12, with the description and examples of every key."""
    schema = Site.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generate)
    parts = schema.get("$defs", {})
    for model in models(Site):
        part = parts.get(model.__name__, schema)
        _write_defaults(model, part)
        _accept_null(part)
    # what the loader does before it looks at the fields
    _optional(parts["SchedulerEntry"], "type")
    entries = schema["properties"]["schedulers"]["anyOf"][0]
    entries["additionalProperties"] = {"anyOf": [entries["additionalProperties"], {"type": "null"}]}
    parts["NodeType"]["properties"]["local_disk"]["anyOf"].append({"type": "string"})
    title = "A site of pangeo-hpc"
    return {"$schema": DIALECT, **schema, "title": title}


def _write_defaults(model: type[Part], part: dict[str, Any]) -> None:
    """Say defaults as a file would: `7 days`, `25 %`."""
    for key, field in fields_of(model).items():
        if not field.is_required() and field.default_factory is None:
            kind: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            default = kind.dump_python(field.default, mode="json", by_alias=True)
            part["properties"][key]["default"] = default


def _accept_null(part: dict[str, Any]) -> None:
    """Let every optional key stand without a value, which is as if it were absent."""
    required = part.get("required", [])
    for key, field in part.get("properties", {}).items():
        field.pop("title", None)
        if key not in required:
            _with_null(field)


def _with_null(field: dict[str, Any]) -> None:
    options = field.get("anyOf")
    if options and {"type": "null"} in options:
        return
    kept = ("description", "examples", "default")
    value = {key: field.pop(key) for key in list(field) if key not in kept}
    field["anyOf"] = [value, {"type": "null"}]


def _optional(part: dict[str, Any], key: str) -> None:
    part["required"] = [name for name in part.get("required", []) if name != key]
    _with_null(part["properties"][key])
