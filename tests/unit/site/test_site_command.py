"""The noun `site` on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from pangeo_hpc.cli.main import call
from pangeo_hpc.site import load_site


@pytest.fixture
def at_home(environ, monkeypatch):
    for name in ("PANGEO_HPC_SITE", "PANGEO_HPC_ACCOUNT", "CONDA_PREFIX", "SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


def test_validate_says_what_is_valid(small, at_home, capsys):
    """One line for each file, on stdout, and code 0."""
    assert call(["site", "validate", str(small)]) == 0
    assert capsys.readouterr().out == f"{small}: valid, 2 node types\n"


def test_validate_tells_all_problems_of_all_files(small, tmp_path, at_home, capsys):
    """Valid ones are named too; a file that is not there does not end it."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(small.read_text().replace("cores: 4", "coers: 4"))
    code = call(["site", "validate", str(bad), str(small), str(tmp_path / "none.yaml")])
    told = capsys.readouterr()
    assert code == 3
    assert told.out == f"{small}: valid, 2 node types\n"
    assert f"{bad}:4: node_types.shared.coers: unknown key\nhint: did you mean cores?" in told.err
    assert "none.yaml does not exist" in told.err


def test_validate_json_has_every_problem_as_data(small, tmp_path, at_home, capsys):
    """Programs get the parts of a problem apart."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: a\n")
    assert call(["site", "validate", str(bad), str(small), "--json"]) == 3
    data = json.loads(capsys.readouterr().out)
    assert data["format"] == 1
    first, second = data["files"]
    assert not first["valid"]
    assert first["problems"][0] == {
        "path": "scheduler",
        "text": "this key is required",
        "hint": "add a line `scheduler: …`",
        "file": str(bad),
        "line": 1,
    }
    assert second == {"file": str(small), "valid": True, "node_types": ["shared", "compute"]}


def test_validate_without_a_file_looks_at_the_site_in_use(small, at_home, capsys):
    """That is the one of --site, or of the usual places, with the user's own file."""
    assert call(["--site", str(small), "site", "validate"]) == 0
    assert call(["site", "validate"]) == 0
    assert "built-in site local: valid, 1 node type\n" in capsys.readouterr().out
    own = Path(at_home["HOME"]) / ".config/pangeo-hpc/user.yaml"
    own.write_text("node_type: fat\n")
    assert call(["--site", str(small), "site", "validate"]) == 3
    assert call(["site", "validate", str(small)]) == 0


def test_show_prints_a_site_that_loads(small, tmp_path, at_home, capsys):
    """What is shown, as YAML or as JSON, is a whole site of its own."""
    expected = load_site(small, environ=at_home)
    for option, name in (([], "shown.yaml"), (["--json"], "shown.json")):
        assert call(["--site", str(small), "site", "show", *option]) == 0
        path = tmp_path / name
        path.write_text(capsys.readouterr().out)
        assert load_site(path, environ=at_home) == expected


def test_show_origin_tells_where_each_value_came_from(small, at_home, capsys, monkeypatch):
    """File and line, built-in default, user file, variable."""
    own = Path(at_home["HOME"]) / ".config/pangeo-hpc/user.yaml"
    own.write_text("node_type: compute\n")
    monkeypatch.setenv("PANGEO_HPC_ACCOUNT", "abc")
    assert call(["--site", str(small), "site", "show", "--origin"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["KEY"].split() == ["KEY", "VALUE", "FROM"]
    assert rows["node_types.shared.memory"].endswith(f"16 GiB  {small}:4".split("  ")[1])
    assert rows["node_types.shared.max_memory"].endswith("built-in default")
    assert rows["defaults.node_type"].endswith(f"{own}:1")
    assert rows["defaults.account"].endswith("variable PANGEO_HPC_ACCOUNT")
    assert call(["--site", str(small), "site", "show", "--origin", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    values = {row["key"]: row for row in data["values"]}
    assert data["format"] == 1
    assert values["defaults.account"]["level"] == "environment"
    assert values["node_types.shared.cores"]["value"] == 4


def test_sample_and_schema_fit_each_other(at_home, capsys):
    """The sample is valid by the schema, as an editor sees it."""
    assert call(["site", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert call(["site", "sample"]) == 0
    Draft202012Validator(schema).validate(yaml.safe_load(capsys.readouterr().out))
    assert call(["site", "sample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == 1


def test_init_without_a_scheduler_drafts_a_local_site(tmp_path, at_home, capsys):
    """The draft is written once, and is never written over."""
    path = tmp_path / "site.yaml"
    assert call(["site", "init", "-o", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert f"wrote {path}" in told.err
    site = load_site(path, environ=at_home)
    assert site.scheduler == "local"
    path.write_text("mine")
    assert call(["site", "init", "-o", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert call(["site", "init", "-o", str(path), "--force"]) == 0
    assert path.read_text() != "mine"
    assert call(["site", "init", "-o", str(tmp_path / "new" / "site.yaml")]) == 0


def test_init_without_a_file_prints_the_draft(tmp_path, at_home, capsys):
    """It goes to stdout, so that it can be read before it is kept."""
    assert call(["site", "init"]) == 0
    path = tmp_path / "site.yaml"
    path.write_text(capsys.readouterr().out)
    load_site(path, environ=at_home)


def test_help_loads_nothing_heavy():
    """pydantic, rich and YAML are for those who ask for more than help."""
    program = (
        "import sys; from pangeo_hpc.cli.main import call; call(['site', 'init', '--help']); "
        "print([n for n in ('pydantic', 'rich', 'yaml', 'dask') if n in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"
