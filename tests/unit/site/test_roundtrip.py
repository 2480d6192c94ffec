"""A site that was written is the same site when it is read."""

import json
import string
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pangeo_hpc import units
from pangeo_hpc.errors import SiteError
from pangeo_hpc.machine import this_machine
from pangeo_hpc.site import builtin, load_site, shipped
from pangeo_hpc.site.find import Source
from pangeo_hpc.site.load import read_site
from pangeo_hpc.site.sample import sample

SHIPPED = dict(shipped())


def again(site, folder: Path, environ: dict[str, str], *, as_yaml: bool = False):
    path = folder / "again.json"
    content = site.dump()
    text = yaml.safe_dump(content, allow_unicode=True) if as_yaml else json.dumps(content)
    path.write_text(text)
    return load_site(path, environ=environ)


@pytest.mark.parametrize("as_yaml", [False, True])
@pytest.mark.parametrize("name", ["sample", "local", *SHIPPED])
def test_a_dumped_site_loads_as_itself(name, as_yaml, tmp_path, environ):
    """Also from another folder: relative paths were made absolute."""
    if name == "sample":
        (tmp_path / "sample.yaml").write_text(sample())
        site = load_site(tmp_path / "sample.yaml", environ=environ)
    else:
        site = load_site(name, environ=environ)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert again(site, folder, environ, as_yaml=as_yaml) == site
    assert site.dump()["format"] == 1


def test_amounts_are_text_with_units_in_a_dump(small, environ):
    """Nobody has to know what unit a bare number would be."""
    node = load_site(small, environ=environ).dump()["node_types"]["compute"]
    assert (node["memory"], node["max_memory"]) == ("109 GiB", "109 GiB")
    assert (node["walltime"], node["max_walltime"]) == ("02:00:00", "02:00:00")
    assert node["uses"] == ["batch", "dask", "notebook"]


words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
tokens = st.text(string.ascii_letters + string.digits + "._:/@+=,-", min_size=1).filter(
    lambda text: not text.startswith("-")
)
printable = st.text().filter(str.isprintable)


@st.composite
def node_types(draw: st.DrawFn) -> dict[str, object]:
    seconds = draw(st.integers(1, 10**7))
    node: dict[str, object] = {
        "cores": draw(st.integers(1, 10**6)),
        "memory": f"{draw(st.integers(1, 2**50))} B",
        "walltime": units.format_walltime(timedelta(seconds=seconds)),
        "description": draw(printable),
        "queue": draw(st.none() | tokens),
        "qos": draw(st.none() | tokens),
        "max_nodes": draw(st.none() | st.integers(1, 10**5)),
        "exclusive": draw(st.booleans()),
        "omit": draw(st.lists(st.sampled_from(["queue", "memory", "walltime"]), unique=True)),
        "resources": draw(st.dictionaries(words, tokens, max_size=3)),
        "uses": draw(st.lists(st.sampled_from(["notebook", "dask", "batch"]), min_size=1)),
        "setup": draw(st.lists(printable.map(str.strip).filter(bool), max_size=2)),
    }
    return node


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=words,
    nodes=st.dictionaries(words, node_types(), min_size=1, max_size=1),
    share=st.integers(1, 100),
    grace=st.integers(0, 10**7),
)
def test_any_valid_site_survives(name, nodes, share, grace, tmp_path, environ):
    """Names like on and 010, amounts of odd bytes, any letters of any script."""
    content = {
        "name": name,
        "scheduler": "slurm",
        "node_types": nodes,
        "scratch": {
            "s": {
                "path": "/s/{user}",
                "root": "/s",
                "max_share": f"{share} %",
                "purge": {"after": "1 day", "grace": f"{grace} seconds"},
            }
        },
    }
    if name == "local":
        return
    path = tmp_path / "any.json"
    path.write_text(json.dumps(content))
    site = load_site(path, environ=environ)
    assert site.name == name
    assert list(site.node_types) == list(nodes)
    assert again(site, tmp_path, environ) == site


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


def nested(below: st.SearchStrategy) -> st.SearchStrategy:
    names = st.text(max_size=5)
    return st.lists(below, max_size=2) | st.dictionaries(names, below, max_size=2)


anything = st.recursive(scalars, nested)


def paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    below = []
    if isinstance(value, dict):
        below = [each for key, item in value.items() for each in paths(item, (*path, key))]
    if isinstance(value, list):
        below = [each for i, item in enumerate(value) for each in paths(item, (*path, i))]
    return [path, *below] if path else below


SAMPLE = yaml.safe_load(sample())
PLACES = paths(SAMPLE)


@settings(max_examples=100, deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), anything), min_size=1, max_size=3))
def test_whatever_stands_anywhere_is_a_site_or_a_list_of_problems(changes):
    """No value at any place of the sample gives a traceback or foreign words."""
    content = json.loads(json.dumps(SAMPLE))
    for path, value in changes:
        try:
            parent = content
            for part in path[:-1]:
                parent = parent[part]
            parent[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    text = yaml.safe_dump(content, allow_unicode=True)
    site, _, problems = read_site(text, Source("any", text), environ={}, schedulers=("slurm",))
    assert (site is None) == bool(problems)
    if site is not None:
        stored = json.dumps(site.dump())
        assert read_site(stored, Source("again", stored), environ={})[0] == site
    for problem in problems:
        assert problem.line
        for foreign in ("pydantic", "input", "value error", "validat"):
            assert foreign not in problem.text.lower()


def test_the_built_in_site_fits_any_machine(environ):
    """Even one with very little memory."""
    for cores, memory in ((1, 2**28), (2, 2**30), (256, 2**40)):
        text = builtin.local_yaml(builtin.Machine(cores, memory))
        site, _, problems = read_site(text, Source("built-in"), environ=environ)
        assert not problems
        node = site.node_type("local")
        assert node.cores == cores
        assert node.memory <= memory
        assert node.memory == node.max_memory
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory > 2**20


def test_a_stored_site_that_was_spoiled_is_refused(small, environ, tmp_path):
    """Editing site.json by hand is checked like any other file."""
    content = load_site(small, environ=environ).dump()
    content["node_types"]["shared"]["cores"] = -1
    path = tmp_path / "site.json"
    path.write_text(json.dumps(content, indent=2))
    with pytest.raises(SiteError, match=r"site.json:\d+: node_types.shared.cores: -1 is too small"):
        load_site(path, environ=environ)
