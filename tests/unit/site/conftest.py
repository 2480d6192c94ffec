"""A home and a PATH of their own, so that no test reads the machine's site or its scheduler."""

from pathlib import Path

import pytest

SMALL = """\
name: alpha
scheduler: slurm
node_types:
  shared: {default: true, cores: 4, memory: 16 GiB, walltime: "04:00:00"}
  compute: {cores: 36, memory: 109 GiB, walltime: "02:00:00", max_nodes: 8}
environments:
  pangeo: {prefix: /opt/pangeo, default: true}
  old: {prefix: /opt/old}
scratch:
  scratch: {path: "/scratch/{project}/{user}"}
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    home = tmp_path / "home"
    (home / ".config" / "pangeo-hpc").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr("pangeo_hpc.site.find.SYSTEM_FILE", tmp_path / "etc" / "site.yaml")
    return {"HOME": str(home), "PATH": str(tmp_path / "bin")}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "alpha.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def schema_check():
    from jsonschema import Draft202012Validator

    from pangeo_hpc.site.schema import json_schema

    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
