"""The command `doctor` on one machine: its answer, its exit code, and what it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(
        "name: one\n"
        "scheduler: local\n"
        f"user_state: '{tmp_path}/state/{{user}}'\n"
        "node_types:\n"
        "  small: {cores: 1, memory: 300 MiB, walltime: '00:05:00'}\n"
        f"scratch: {{scratch: {{path: '{tmp_path}/scratch/{{user}}'}}}}\n"
    )
    return path


def call(site: Path, *words: str, code: int) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc", "--site", str(site), "doctor", *words],
        cwd=site.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(site.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def test_a_machine_that_is_fine(site: Path) -> None:
    """A job runs in the queue of one's own, and every check says that it is fine."""
    found = json.loads(call(site, "--json", code=0).stdout)
    assert found["format"] == 1
    assert (found["site"], found["problems"], found["warnings"]) == ("one", 0, 0)
    keys = {"check", "severity", "text", "remedy", "path"}
    assert all(set(row) == keys for row in found["findings"])
    assert "a job of node type small ran on" in str(found["findings"])
    [state] = (site.parent / "state").iterdir()
    assert list((state / "doctor").iterdir()) == []


def test_a_machine_that_is_not(site: Path) -> None:
    """More cores than there are: exit 1, and one line says what to change."""
    text = site.read_text().replace("cores: 1", "cores: 1, max_cores: 4096")
    site.write_text(text)
    done = call(site, "--no-jobs", code=1)
    assert "problem  limits: node_types.small.max_cores is 4096, which is more than " in done.stdout
    assert "remedy: lower node_types.small.max_cores to " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("one: 1 problem, no warnings")
    assert done.stderr == "asking local…\n"
    assert "submit" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--timeout", "soon"], "is not a duration"),
        (["--timeout", "0"], "it must be more than nothing"),
        (["--hubs"], "No such option"),
        (["--hub-seen", "/nowhere.json"], "does not tell of a hub"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_wrong_calls(site: Path, words: list[str], says: str) -> None:
    """One clear error, exit code 2."""
    assert says in call(site, *words, code=2).stderr
