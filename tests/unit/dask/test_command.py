"""The command line of workers."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pangeo_hpc import envs
from pangeo_hpc.dask import command as room
from pangeo_hpc.dask.command import WorkerCommand, environment_of, make_spill, variables_of
from pangeo_hpc.dask.drain_worker import DRAINS
from pangeo_hpc.dask.security import make_keys
from pangeo_hpc.dask.shape import Shape
from pangeo_hpc.dask.watch import SPILL
from pangeo_hpc.site import Site, current_person, load_site


@pytest.fixture
def command(tmp_path: Path) -> WorkerCommand:
    return WorkerCommand(
        python=Path(sys.executable),
        keys=make_keys(tmp_path / "tls"),
        shape=Shape(2, 3, 1 << 30),
        interface="ib0",
        variables={"PANGEO_SCRATCH": "/scratch/it's mine"},
    )


def test_every_option_is_known_to_dask(command: WorkerCommand) -> None:
    """The words are those of the installed Dask: it takes unknown options without a word."""
    from distributed.cli.dask_worker import main

    words = command.argv("tls://10.0.0.1:8786", "w-0")[3:]
    context = main.make_context("worker", [*words], resilient_parsing=False)
    told = context.params
    assert told["scheduler"] == "tls://10.0.0.1:8786"
    assert told["n_workers"] == "2"
    assert told["nthreads"] == 3
    assert told["memory_limit"] == str(1 << 30)
    assert (told["nanny"], told["dashboard"]) == (True, False)
    assert told["interface"] == "ib0"
    assert told["name"] == "w-0"
    assert not told["preload_argv"]


def test_no_secret_in_sight(command: WorkerCommand) -> None:
    """Neither arguments nor variables nor the script hold a key, only its path."""
    secret = command.keys.key.read_text().splitlines()[1]
    everything = [*command.argv("tls://x:1", "w"), *command.environment.values()]
    everything.append(command.script("tls://x:1"))
    assert not any(secret in text for text in everything)
    assert str(command.keys.key) in command.argv("tls://x:1", "w")


def test_script_runs(command: WorkerCommand, tmp_path: Path) -> None:
    """The script sets up, runs the workers in a private directory, and removes it after them."""
    out = run_script(
        replace(command, setup=("export LOADED=netcdf",)).script("tls://x:1"),
        'echo "$@"; echo "$PANGEO_SCRATCH|$LOADED"; stat -c %a "$DASK_TEMPORARY_DIRECTORY"; exit 7',
        tmp_path,
        "--name",
        "n1",
    )
    assert out.stdout.splitlines()[0].endswith("--no-dashboard --name n1")
    assert out.stdout.splitlines()[1:] == ["/scratch/it's mine|netcdf", "700"]
    assert out.returncode == 7


def test_script_in_a_job_script(command: WorkerCommand, tmp_path: Path) -> None:
    """The job script has set the environment up already."""
    changed = replace(command, setup=("export LOADED=netcdf",))
    text = changed.script("tls://x:1", in_job_script=True)
    assert "LOADED" not in text
    assert run_script(text, 'echo "x${PANGEO_SCRATCH}"', tmp_path).stdout == "x\n"


def test_script_waits_for_its_workers(command: WorkerCommand, tmp_path: Path) -> None:
    """Told to end, as every process of a job is, the script outlives what it cleans up after."""
    ended = tmp_path / "ended"
    late = f'sleep 0.3; test -d "${SPILL}" && touch {ended}; exit 0'
    program = f"trap '{late}' TERM; kill -TERM 0; sleep 9"
    out = run_script(command.script("tls://x:1"), program, tmp_path)
    assert out.returncode == 0
    assert ended.exists()


def run_script(
    text: str, program: str, tmp_path: Path, *words: str
) -> "subprocess.CompletedProcess[str]":
    """Run a worker script with a small shell program in place of Python."""
    (tmp_path / "python").write_text(f"#!/bin/bash\n{program}\n")
    (tmp_path / "python").chmod(0o755)
    text = text.replace(sys.executable, str(tmp_path / "python"))
    return subprocess.run(
        ["bash", "-c", text, "worker", *words],
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=20,
    )


@pytest.mark.parametrize("disk", ["$NOWHERE", "/not/there", "$PANGEO_TEST_DISK", None])
def test_spill_goes_where_it_can(
    command: WorkerCommand, disk: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site's disk is used where it is there, else the temporary directory of the node."""
    fast = tmp_path / "fast disk"
    fast.mkdir()
    monkeypatch.setenv("PANGEO_TEST_DISK", str(fast))
    wanted = fast if disk == "$PANGEO_TEST_DISK" else Path(os.environ["TMPDIR"])
    script = replace(command, local_disk=disk).script("tls://x:1")
    assert Path(run_script(script, f'echo "${SPILL}"', tmp_path).stdout).parent == wanted
    assert list(wanted.iterdir()) == []
    made = Path(make_spill(disk)[SPILL])
    assert made.parent == wanted
    assert made.stat().st_mode & 0o777 == 0o700
    made.rmdir()


def test_environment_of_this_process(site: Site) -> None:
    """Without a name, workers run what the client runs."""
    found = environment_of(site, None, current_person())
    assert (found.name, found.python) == (envs.CURRENT, Path(sys.executable))


def test_environment_of_the_site_comes_with_its_modules(tmp_path: Path) -> None:
    """A client in an environment of the site gives its workers that environment's modules."""
    path = tmp_path / "site.yaml"
    path.write_text(
        "name: t\nscheduler: slurm\n"
        "node_types: {n: {cores: 1, memory: 1 GiB, walltime: '00:10:00'}}\n"
        f"environments: {{mine: {{prefix: {sys.prefix}, modules: [netcdf/4.9]}}}}\n"
    )
    found = environment_of(load_site(path), None, current_person())
    assert found.name == "mine"
    assert "module load netcdf/4.9" in found.setup


def test_variables(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers know scratch and the effective site, and find what the client finds."""
    monkeypatch.setenv("PYTHONPATH", "/my/code")
    # whatever runs the tests
    monkeypatch.setattr(room, "_script_folder", lambda: None)
    person = current_person()
    told = variables_of(site, person, environment_of(site, None, person), tmp_path / "site.json")
    assert told["PANGEO_HPC_SITE"] == str(tmp_path / "site.json")
    assert told["PYTHONPATH"] == "/my/code"
    assert "PANGEO_SCRATCH" in told


def test_what_the_clients_shell_loaded_comes_along(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries that a module has put in place are found by workers too; other variables stay."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "/apps/netcdf/lib")
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    person = current_person()
    told = variables_of(site, person, environment_of(site, None, person), tmp_path / "site.json")
    assert told["LD_LIBRARY_PATH"] == "/apps/netcdf/lib"
    assert "SECRET_TOKEN" not in told
    other = envs.Environment("other", Path("/other/bin/python"))
    assert "LD_LIBRARY_PATH" not in variables_of(site, person, other, tmp_path / "site.json")


def test_an_overlay_comes_with_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in an overlay has workers in it, with the modules of the environment below."""
    (tmp_path / "base").mkdir()
    path = tmp_path / "site.yaml"
    path.write_text(
        "name: t\nscheduler: slurm\n"
        "node_types: {n: {cores: 1, memory: 1 GiB, walltime: '00:10:00'}}\n"
        f"environments: {{mine: {{prefix: {tmp_path}/base, modules: [netcdf/4.9]}}}}\n"
    )
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "base"))
    found = environment_of(load_site(path), None, current_person())
    assert (found.name, found.python) == ("mine", Path(sys.executable))
    assert "module load netcdf/4.9" in found.setup
    assert str(Path(sys.prefix) / "bin") in found.setup[-1]


def test_modules_beside_the_script(tmp_path: Path) -> None:
    """The folder in which a script finds its modules is told to its workers."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pangeo_hpc.dask.command import _script_folder\nprint(_script_folder())\n"
    )
    here = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert here.stdout.strip() == str(tmp_path)
    safe = subprocess.run([sys.executable, "-P", script], capture_output=True, text=True)
    assert safe.stdout.strip() == "None"


def test_only_worker_jobs_drain(command: WorkerCommand) -> None:
    """Workers in an allocation, or on this machine, end with the script that started them."""
    assert f"export {DRAINS}=1" in command.script("tls://x:1", in_job_script=True)
    assert DRAINS not in command.script("tls://x:1")
    assert DRAINS not in command.environment
