"""The sites that we ship are read without a problem, and say where they come from."""

import re
from pathlib import Path

import pytest

from pangeo_hpc.site import current_person, expand, load_site

FOLDER = Path(__file__).parents[2] / "site-configs"
SITES = sorted(FOLDER.glob("*.yaml"))
ENVIRON = {"HOME": "/home/nobody", "PATH": "/nowhere"}


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_a_shipped_site_has_no_problem(path):
    """Its name is that of its file, so that --site NAME finds it."""
    site = load_site(path, environ=ENVIRON)
    assert site.name == path.stem
    assert site.description
    assert load_site(path.stem, environ=ENVIRON) == site


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_a_shipped_site_names_its_sources(path):
    """Each has addresses and a date in its comments: nothing is guessed."""
    comments = "\n".join(re.findall(r"#.*", path.read_text()))
    schema = re.search(r"\$schema=(\S+)", comments)
    assert schema is not None and (path.parent / schema[1]).is_file()
    assert "https://" in comments
    assert re.search(r"\b20\d\d\b", comments)


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_every_node_type_of_a_shipped_site_can_be_used(path, monkeypatch):
    """Scheduler, paths and lines are complete for a user with an account, logged in there."""
    monkeypatch.setenv("SCRATCH", "/scratch1/01234/alice")
    site = load_site(path, environ=ENVIRON, overrides={"account": "abc123", "project": "abc123"})
    person = current_person(ENVIRON)
    assert site.user_state_path(person).is_absolute()
    for name in site.scratch:
        assert site.scratch_path(person, name).is_absolute()
    charged = person.with_defaults("abc123", "abc123")
    for node in site.node_types.values():
        assert site.scheduler_of(node)[1].type in ("slurm", "pbs", "local")
        for line in node.directives:
            assert "{" not in expand(line, node.name, charged)


def test_four_hard_systems_are_shipped():
    """No partition; memory refused; PBS with lines of its own; PBS select."""
    assert {"perlmutter", "gadi"} <= {path.stem for path in SITES}
    assert {"frontera", "archer2"} & {path.stem for path in SITES}
    assert {"derecho", "casper"} & {path.stem for path in SITES}
