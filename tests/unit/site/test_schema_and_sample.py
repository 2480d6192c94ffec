"""What is written from the models: JSON Schema, sample, reference."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from pangeo_hpc.site import Site, load_site, shipped
from pangeo_hpc.site.lookup import fields_of, models
from pangeo_hpc.site.sample import INSTEAD, flow, reference, sample
from pangeo_hpc.site.schema import DIALECT, json_schema


def problems(checker, value) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]


def test_the_sample_loads_and_is_valid_to_an_editor(tmp_path, environ, schema_check):
    """It can be saved as it is."""
    path = tmp_path / "sample.yaml"
    path.write_text(sample())
    assert load_site(path, environ=environ).name == "alpha"
    assert problems(schema_check, yaml.safe_load(sample())) == []


def test_the_agreed_example_loads(environ, schema_check):
    """The YAML that users were promised is a site, word for word."""
    path = Path(__file__).with_name("alpha.yaml")
    site = load_site(path, environ=environ)
    assert list(site.node_types) == ["shared", "compute"]
    assert problems(schema_check, yaml.safe_load(path.read_text())) == []


def test_the_sample_has_every_setting_with_its_description():
    """A key that cannot stand beside another is there as a comment."""
    text = sample()
    flat = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for model in models(Site):
        for key, field in fields_of(model).items():
            commented = (model, key) in INSTEAD
            assert re.search(rf"^\s*{'# ' if commented else ''}{key}:", text, re.MULTILINE), key
            assert field.description in flat, key


@pytest.mark.parametrize("name", [name for name, _ in shipped()])
def test_shipped_sites_are_valid_to_an_editor(name, schema_check):
    """The schema accepts what the loader accepts."""
    text = dict(shipped())[name].read_text()
    assert problems(schema_check, yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: alpha", "name: 010"),
        ("cores: 4", "cores: 4, qos: null, max_nodes: ~, hub: "),
        ("cores: 4", "cores: 4, queue: on"),
        ("cores: 4", "cores: 4, local_disk: $TMPDIR"),
        ("cores: 4", "cores: 4, local_disk: {path: /tmp, size: 1 GiB}"),
        ("memory: 16 GiB", "memory: 512M"),
        ('walltime: "04:00:00"', "walltime: 90 minutes"),
        ("scheduler: slurm", "scheduler: slurm\nschedulers: {slurm: {bin: /opt/slurm/bin}, pbs: }"),
        ('path: "/scratch/{project}/{user}"', 'path: "/s/{user}", quarantine: 0, max_share: 33.3%'),
    ],
)
def test_what_the_loader_takes_the_schema_takes(old, new, small, environ, schema_check):
    """Raw text, empty keys, short forms and units."""
    new = new.replace(", hub: ", "")
    text = small.read_text().replace(old, new, 1)
    small.write_text(text)
    load_site(small, environ=environ)
    assert problems(schema_check, yaml.safe_load(text)) == []


def test_the_schema_says_what_each_key_means():
    """An editor shows description and examples at every key; what it offers is valid."""
    schema = json_schema()
    assert schema["$schema"] == DIALECT
    for part in (schema, *schema["$defs"].values()):
        for key, field in part["properties"].items():
            assert field["description"], key
            assert field["examples"], key
            checker = Draft202012Validator(field | {"$defs": schema["$defs"]})
            for value in (*field["examples"], field.get("default", field["examples"][0])):
                assert problems(checker, value) == []
    json.dumps(schema)


def test_the_reference_names_every_setting():
    """One table for each part, one row for each key."""
    text = reference()
    for model in models(Site):
        for key in fields_of(model):
            assert f"| `{key}` |" in text
    assert "## node_types.NAME.options.NAME" in text


def test_examples_are_quoted_where_yaml_would_misread_them():
    """What is written is read as the same text."""
    for text in (
        "on",
        "04:00:00",
        "-A",
        "a, b",
        "{user}",
        "[x]",
        "25 %",
        "60 days",
        "~/x",
        "a: b",
        "#",
        "",
    ):
        assert yaml.safe_load(flow(text)) == text
        assert yaml.safe_load(flow({"k": [text]})) == {"k": [text]}
