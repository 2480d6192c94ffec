"""What each kind of value takes, as it stands in the file."""

from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import SiteError
from pangeo_hpc.site import load_site

HOURS = timedelta(hours=1)


def load(tmp_path: Path, environ: dict[str, str], *lines: str, rest: str = ""):
    keys = {line.split(":")[0] for line in lines}
    needed = ("cores: 4", "memory: 16 GiB", 'walltime: "04:00:00"')
    kept = [line for line in needed if line.split(":")[0] not in keys]
    body = "".join(f"    {line}\n" for line in (*kept, *lines))
    path = tmp_path / "site.yaml"
    path.write_text(f"name: alpha\nscheduler: slurm\nnode_types:\n  shared:\n{body}{rest}")
    return load_site(path, environ=environ)


@pytest.mark.parametrize(
    "text", ["on", "off", "010", "1e5", "yes", "1:30", "2024-01-01", "0x1f", ".5"]
)
def test_a_queue_is_called_what_was_typed(text, tmp_path, environ):
    """No name is ever silently a number, a truth or a date."""
    site = load(tmp_path, environ, f"queue: {text}", f"qos: '{text}'")
    assert site.node_type().queue == text
    assert site.node_type().qos == text


@pytest.mark.parametrize("text", ["on", "010", "1e5", "1:30"])
def test_a_node_type_is_called_what_was_typed(text, tmp_path, environ):
    """The same holds for keys, where it is a name at all."""
    path = tmp_path / "site.yaml"
    body = f'{text}: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}'
    path.write_text(f"name: a\nscheduler: slurm\nnode_types:\n  {body}\n")
    if ":" in text:
        with pytest.raises(SiteError, match="is not a name"):
            load_site(path, environ=environ)
    else:
        assert load_site(path, environ=environ).node_type().name == text


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ('"04:00:00"', 4),
        ("04:00:00", 4),
        ("10:00:00", 10),
        ("36:00:00", 36),
        ("1-12:00:00", 36),
        ("90 minutes", 1.5),
        ("2 hours 30 minutes", 2.5),
    ],
)
def test_walltimes_with_three_fields_or_a_unit_are_taken(text, hours, tmp_path, environ):
    """Three fields have one meaning, quoted or not: the text is read, not YAML's number."""
    assert load(tmp_path, environ, f"walltime: {text}").node_type().walltime == hours * HOURS


@pytest.mark.parametrize(
    "text", ["24:00", '"24:00"', "1:30", "01:30", "1440", '"1440"', "0:00:00", "soon"]
)
def test_walltimes_that_could_mean_two_things_are_refused(text, tmp_path, environ):
    """Two fields are hours to one scheduler and minutes to another; a bare number is neither."""
    with pytest.raises(SiteError, match=r"site.yaml:7: node_types.shared.walltime: "):
        load(tmp_path, environ, f"walltime: {text}")


@pytest.mark.parametrize(
    ("text", "amount"),
    [("16 GiB", 16 * 2**30), ("16G", 16 * 2**30), ("100 GB", 10**11), ("1.5 GiB", 3 * 2**29)],
)
def test_memory_is_bytes(text, amount, tmp_path, environ):
    """G and GiB are binary, GB is decimal."""
    node = load(tmp_path, environ, f"memory: {text}").node_type()
    assert node.memory == node.max_memory == amount


@pytest.mark.parametrize(
    "text", ["4.5", "-1", "0", "four", "[4]", "{a: 4}", '"4"', "0o10", "1_000", "4e2"]
)
def test_whole_numbers_are_digits(text, tmp_path, environ):
    """A number in any other dress is refused rather than guessed."""
    with pytest.raises(SiteError, match=r"node_types.shared.cores: "):
        load(tmp_path, environ, f"cores: {text}")


def test_no_value_is_as_if_the_key_were_absent(tmp_path, environ):
    """Empty lines, ~ and null leave the default, and required keys stay required."""
    site = load(tmp_path, environ, "qos:", "max_nodes: ~", "options: null", rest="hub:\nscratch:\n")
    node = site.node_type()
    assert (node.qos, node.max_nodes, node.options, site.hub, site.scratch) == (
        None,
        1,
        {},
        None,
        {},
    )
    with pytest.raises(SiteError, match=r"node_types.shared.cores: this key is required"):
        load(tmp_path, environ, "cores:")


def test_paths_start_from_the_folder_of_the_file(tmp_path, environ):
    """Relative ones are made absolute; ~ and placeholders stay where they are each user's."""
    rest = (
        "state: ../state\n"
        "user_state: '~/state'\n"
        "schedulers: {slurm: {bin: ./bin}}\n"
        "scratch: {scratch: {path: 'data/{user}'}}\n"
        "environments: {own: {prefix: ~/envs/own}}\n"
        "catalogs: [{name: a, url: a.yaml}, {name: b, url: 'https://b.example/c.yaml'}]\n"
    )
    site = load(tmp_path, environ, rest=rest)
    assert site.state == tmp_path.parent / "state"
    assert site.user_state == "~/state"
    assert site.schedulers["slurm"].bin == tmp_path / "bin"
    assert site.scratch["scratch"].path == f"{tmp_path}/data/{{user}}"
    assert site.environments["own"].prefix == "~/envs/own"
    assert [catalog.url for catalog in site.catalogs] == [
        f"{tmp_path}/a.yaml",
        "https://b.example/c.yaml",
    ]


def test_local_disk_is_a_path_or_a_mapping(tmp_path, environ):
    """The short form is the long one with a path only."""
    short = load(tmp_path, environ, "local_disk: $TMPDIR").node_type().local_disk
    long = load(tmp_path, environ, "local_disk: {path: $TMPDIR}").node_type().local_disk
    assert short == long
    assert (short.path, short.size, short.directive) == ("$TMPDIR", None, None)


def test_accounts_are_rules_names_or_templates(tmp_path, environ):
    """What is quoted is a name, whatever YAML would make of it."""
    for text in ("required", "none", "abc123", '"{account}_g"', '"no"'):
        node = load(tmp_path, environ, f"account: {text}").node_type()
        assert node.account == text.strip('"')
