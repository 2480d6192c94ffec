"""The models themselves: told, frozen, and their little helpers."""

import copy
import pickle

import pytest
from pydantic import TypeAdapter, ValidationError

from pangeo_hpc.errors import UnknownName
from pangeo_hpc.site import NodeType, Site, load_site
from pangeo_hpc.site.lookup import field_at, fields_of, keys_at, models
from pangeo_hpc.site.mend import _plain
from pangeo_hpc.site.overlay import UserFile

EVERY = [
    (model, key, field)
    for root in (Site, UserFile)
    for model in models(root)
    for key, field in fields_of(model).items()
]


@pytest.mark.parametrize(
    ("model", "key", "field"), EVERY, ids=[f"{model.__name__}.{key}" for model, key, _ in EVERY]
)
def test_every_field_is_described_with_an_example_that_is_valid(model, key, field):
    """Sample, schema and reference are written from these."""
    assert field.description
    assert field.description.endswith(".")
    assert field.examples
    for example in field.examples:
        kind = TypeAdapter(field.rebuild_annotation())
        kind.validate_python(_plain(example))


def test_the_walk_sees_every_part():
    """A part that nobody reaches would escape the test above."""
    names = {model.__name__ for model in models(Site)}
    assert {"NodeType", "Option", "LocalDisk", "Purge", "Notify", "Tls", "Catalog"} <= names
    assert keys_at(Site, ("node_types", "any", "options", "any")) == [
        "directive",
        "pattern",
        "default",
        "description",
    ]
    assert keys_at(Site, ("catalogs", 0)) == ["name", "driver", "url"]
    assert keys_at(Site, ("nothing", "here")) == []
    assert field_at(Site, ("node_types", "any", "cores")).is_required()


def test_a_site_is_frozen_all_the_way_down(small, environ):
    """Nothing of a loaded site can be changed, not even a mapping inside it."""
    site = load_site(small, environ=environ)
    with pytest.raises(ValidationError):
        site.name = "beta"
    with pytest.raises(ValidationError):
        site.node_types["shared"].cores = 8
    for change in (
        lambda: site.node_types.__setitem__("more", site.node_types["shared"]),
        lambda: site.node_types.pop("shared"),
        lambda: site.scratch.update({}),
        lambda: site.schedulers["slurm"].environment.__setitem__("A", "b"),
    ):
        with pytest.raises(TypeError, match="frozen"):
            change()
    hash(site)


def test_a_site_can_be_copied_and_sent(small, environ):
    """Workers of other processes get an equal one, names and all."""
    site = load_site(small, environ=environ)
    for other in (copy.deepcopy(site), pickle.loads(pickle.dumps(site))):
        assert other == site
        assert other.node_type("compute").name == "compute"


def test_defaults_follow_from_other_values(small, environ):
    """A maximum that is absent is the default itself."""
    node = load_site(small, environ=environ).node_type()
    assert (node.max_cores, node.max_memory, node.max_walltime) == (
        node.cores,
        node.memory,
        node.walltime,
    )
    assert (node.max_gpus, node.max_nodes, node.max_jobs) == (0, 1, None)
    assert node.uses == {"notebook", "dask", "batch"}


def test_the_only_entry_is_the_default_one(small, environ):
    """One scratch filesystem needs no `default: true`; of two node types one has it."""
    site = load_site(small, environ=environ)
    assert site.node_type().name == "shared"
    assert site.environment().name == "pangeo"
    assert site.scratch_filesystem().name == "scratch"


def test_unknown_names_are_told_with_a_guess(small, environ):
    """The hint is the nearest name, or all of them."""
    site = load_site(small, environ=environ)
    with pytest.raises(UnknownName, match="did you mean compute"):
        site.node_type("compuet")
    with pytest.raises(UnknownName, match="it has pangeo, old"):
        site.environment("zzz")
    with pytest.raises(UnknownName, match="no scratch filesystem work"):
        site.scratch_filesystem("work")
    assert UnknownName.exit_code == 2


def test_the_default_scheduler_has_an_entry_without_being_written(small, environ):
    """Whoever asks for the scheduler of a node type gets a type and options."""
    site = load_site(small, environ=environ)
    key, entry = site.scheduler_of(site.node_type())
    assert (key, entry.type, entry.name, entry.account_option) == ("slurm", "slurm", "slurm", "-A")


def test_typed_values_are_taken_from_python():
    """Code that builds a node type gives bytes and timedeltas, not text."""
    node = NodeType(cores=2, memory=2**30, walltime="01:00:00")
    assert NodeType.model_validate(node.model_dump()) == node
