"""What a user sets for themselves, and what they cannot."""

import json
from pathlib import Path

import pytest

from pangeo_hpc.errors import Exit, SiteError, UnknownName, UsageError
from pangeo_hpc.site import current_person, load, load_site
from pangeo_hpc.site.overlay import Level


def user_file(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["HOME"]) / ".config/pangeo-hpc/user.yaml"
    path.write_text(text)
    return path


def test_each_level_covers_the_one_below(small, environ):
    """File, user file (for all sites, then for one), variable, option: the last one wins."""
    small.write_text(small.read_text() + "defaults: {account: file, project: file}\n")
    assert load_site(small, environ=environ).defaults.account == "file"
    path = user_file(
        environ, "account: user\nnode_type: compute\nsites:\n  alpha: {account: mine}\n"
    )
    loaded = load(small, environ=environ)
    assert loaded.site.defaults.account == "mine"
    assert loaded.site.defaults.project == "file"
    assert loaded.site.node_type().name == "compute"
    assert loaded.origin("defaults.account") == (Level.USER_FILE, f"{path}:4")
    assert loaded.origin("defaults.node_type") == (Level.USER_FILE, f"{path}:2")
    assert loaded.origin("defaults.project") == (Level.FILE, f"{small}:11")
    environ["PANGEO_HPC_ACCOUNT"] = "variable"
    loaded = load(small, environ=environ)
    assert loaded.site.defaults.account == "variable"
    assert loaded.origin("defaults.account") == (
        Level.ENVIRONMENT,
        "variable PANGEO_HPC_ACCOUNT",
    )
    loaded = load(small, environ=environ, overrides={"account": "option", "node_type": "shared"})
    assert loaded.site.defaults.account == "option"
    assert loaded.site.node_type().name == "shared"
    assert loaded.origin("defaults.account").level is Level.FLAG
    assert Level.DEFAULT < Level.FILE < Level.USER_FILE < Level.ENVIRONMENT < Level.FLAG


def test_a_user_file_of_another_site_says_nothing_here(small, environ):
    """What stands below sites.beta is for beta only, and is not looked up in alpha."""
    user_file(environ, "sites:\n  beta: {account: b, node_type: fat}\n")
    assert load_site(small, environ=environ).defaults.account is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_walltime: '48:00:00'\n", "user.yaml:1: max_walltime: unknown key"),
        ("acount: abc\n", "hint: did you mean account?"),
        ("node_type: fat\n", "user.yaml:1: node_type: site alpha has no node type fat"),
        ("\nsites:\n  alpha: {environment: pango}\n", "user.yaml:3: sites.alpha.environment: "),
        ("account: 'a b'\n", "'a b' is not one word"),
        ("account: ../../etc\n", "cannot be an account or a project"),
        ("- account\n", "user.yaml:1: a list stands where a mapping must"),
        ("account: [\n", "this is not YAML"),
    ],
)
def test_mistakes_in_the_user_file_are_told_with_their_line(text, said, small, environ):
    """They end a command like mistakes in the site: with code 3."""
    user_file(environ, text)
    with pytest.raises(SiteError) as caught:
        load_site(small, environ=environ)
    assert said in str(caught.value)
    assert caught.value.exit_code == Exit.SITE


def test_limits_stay_with_the_site(small, environ):
    """A user file that tries to move one is told where limits are."""
    user_file(environ, "cores: 400\n")
    with pytest.raises(SiteError, match="limits stay with the site"):
        load_site(small, environ=environ)


def test_problems_of_site_and_user_file_are_told_together(small, environ):
    """One run shows both files' mistakes."""
    small.write_text(small.read_text().replace("cores: 4,", "cores: four,"))
    user_file(environ, "acount: x\n")
    with pytest.raises(SiteError) as caught:
        load_site(small, environ=environ)
    assert [problem.path for problem in caught.value.problems] == [
        "node_types.shared.cores",
        "acount",
    ]


def test_unknown_names_of_variables_and_options_are_wrong_use(small, environ):
    """They are no fault of any file: code 2."""
    environ["PANGEO_HPC_NODE_TYPE"] = "fat"
    with pytest.raises(UnknownName, match="PANGEO_HPC_NODE_TYPE: site alpha has no node type fat"):
        load_site(small, environ=environ)
    del environ["PANGEO_HPC_NODE_TYPE"]
    with pytest.raises(UnknownName, match="environment: site alpha has no environment x"):
        load_site(small, environ=environ, overrides={"environment": "x"})
    with pytest.raises(UsageError, match="queue cannot be overridden"):
        load_site(small, environ=environ, overrides={"queue": "x"})
    environ["PANGEO_HPC_ACCOUNT"] = "a;b"
    with pytest.raises(UsageError, match="PANGEO_HPC_ACCOUNT: 'a;b' cannot be an account"):
        load_site(small, environ=environ)


def test_project_stands_in_paths_and_falls_back_to_the_account(small, environ):
    """{project} is the project, else the account; without both, the error names the key."""
    person = current_person(environ)
    with pytest.raises(UsageError, match=r"scratch.scratch.path: \{project\} has no value"):
        load_site(small, environ=environ).scratch_path(person)
    site = load_site(small, environ=environ, overrides={"account": "acc"})
    assert site.scratch_path(person) == Path(f"/scratch/acc/{person.user}")
    site = load_site(small, environ=environ, overrides={"account": "acc", "project": "prj"})
    assert site.scratch_path(person) == Path(f"/scratch/prj/{person.user}")


def test_a_stored_site_keeps_what_its_user_chose_then(small, environ, tmp_path):
    """A job sees the account of its submission, whatever user file and variables say later."""
    site = load_site(small, environ=environ, overrides={"account": "then"})
    stored = tmp_path / "site.json"
    stored.write_text(json.dumps(site.dump()))
    user_file(environ, "account: now\nacount: broken\n")
    environ["PANGEO_HPC_ACCOUNT"] = "now"
    again = load_site(stored, environ=environ)
    assert again == site
    assert load_site(stored, environ=environ, overrides={"account": "x"}).defaults.account == "x"
