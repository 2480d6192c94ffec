"""Bad input gets one clear error with the right exit code, and never a traceback."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SITE = """\
name: alpha
scheduler: slurm
schedulers: {{slurm: {{type: slurm, bin: {bin}}}}}
user_state: {state}/{{user}}
node_types:
  compute:
    default: true
    queue: regular
    cores: 4
    memory: 8 GiB
    max_memory: 16 GiB
    walltime: "01:00:00"
    max_walltime: "02:00:00"
    max_nodes: 4
    uses: [batch]
    options:
      reservation: {{directive: "--reservation={{value}}", pattern: "[A-Za-z0-9_-]+"}}
  charged: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", account: required, uses: [batch]}}
  notes: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", uses: [notebook]}}
scratch:
  scratch: {{path: "{scratch}/{{user}}"}}
environments:
  gone: {{prefix: /nowhere/at/all, default: true}}
  unbuilt: {{spec: {spec}, root: /opt/envs}}
"""


@dataclass
class World:
    """A folder with a site, a script and a scheduler that can be told what to say."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)

    def scheduler(self, says: str, code: int) -> None:
        """Make every command of the scheduler say something and end with a code."""
        for name in ("sbatch", "squeue", "sacct", "scancel", "sinfo", "scontrol", "sacctmgr"):
            program = self.path / "bin" / name
            program.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
            program.chmod(0o755)

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line for real, as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "pangeo_hpc", *words],
            cwd=self.path,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.path / "home"),
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "PANGEO_HPC_SITE": str(self.path / "alpha.yaml"),
                **self.environ,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    for name in ("bin", "home", "state", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "env.yml").write_text("name: x\n")
    (tmp_path / "ok.py").write_text("print('hello')\n")
    (tmp_path / "note.txt").write_text("not a script\n")
    text = SITE.format(
        bin=tmp_path / "bin",
        state=tmp_path / "state",
        scratch=tmp_path / "scratch",
        spec=tmp_path / "env.yml",
    )
    (tmp_path / "alpha.yaml").write_text(text)
    (tmp_path / "broken.yaml").write_text("name: [\n")
    (tmp_path / "typo.yaml").write_text(text.replace("walltime:", "wallltime:", 1))
    made = World(tmp_path)
    made.scheduler("sbatch: error: Invalid partition name specified", 1)
    return made


def nothing(world: World) -> None:
    """Change nothing."""


def down(world: World) -> None:
    """Let the scheduler be unreachable."""
    world.scheduler("error: Unable to contact slurm controller (connect failure)", 1)


def commands_gone(world: World) -> None:
    """Take the scheduler's commands away."""
    for program in (world.path / "bin").iterdir():
        program.unlink()


def state_is_a_file(world: World) -> None:
    """Put a file where a folder has to be."""
    (world.path / "state").rmdir()
    (world.path / "state").write_text("")


@dataclass(frozen=True)
class Bad:
    """A call, what to prepare, the exit code, and words of the message."""

    words: str
    code: int
    says: str
    prepare: Callable[[World], None] = nothing


BAD = [
    Bad("--nonsense", 2, "No such option"),
    Bad("sumbit ok.py", 2, "did you mean submit?"),
    Bad("submit", 2, "Missing argument"),
    Bad("submit nowhere.py", 2, "nowhere.py is not there"),
    Bad("submit note.txt", 2, "neither a Python script nor a notebook"),
    Bad("submit ok.py --node-type compte", 2, "did you mean compute?"),
    Bad("submit ok.py --nodes 5", 2, "more than one job of node type compute may have (4)"),
    Bad("submit ok.py --nodes 0", 2, "not a number of nodes"),
    Bad("submit ok.py --nodes two", 2, "not a whole number"),
    Bad("submit ok.py --cores 8", 2, "fixed 4"),
    Bad("submit ok.py --cores many", 2, "not a whole number"),
    Bad("submit ok.py --memory 32GiB", 2, "more than node type compute allows (16 GiB)"),
    Bad("submit ok.py --memory 16", 2, "not an amount of memory"),
    Bad("submit ok.py --walltime 03:00:00", 2, "more than node type compute allows (02:00:00)"),
    Bad("submit ok.py --walltime 24:00", 2, "three fields"),
    Bad("submit ok.py --gpus 1", 2, "fixed 0"),
    Bad("submit ok.py --node-type charged", 2, "needs an account"),
    Bad("submit ok.py --account $(id)", 2, "cannot be an account"),
    Bad("submit ok.py --node-type notes", 2, "not for batch jobs"),
    Bad("submit ok.py --option reservation", 2, "not NAME=VALUE"),
    Bad("submit ok.py --option reservatoin=x", 2, "did you mean reservation?"),
    Bad("submit ok.py --option reservation=a;b", 2, "does not match"),
    Bad("submit ok.py --name ../up", 2, "cannot be the name"),
    Bad("submit ok.py --env nosuch", 2, "nosuch"),
    Bad("submit ok.py --env unbuilt", 2, "prefix"),
    Bad("submit ok.py --after nobody", 2, "no run named"),
    Bad("submit ok.py", 4, "Invalid partition name specified"),
    Bad("submit ok.py", 4, "Unable to contact slurm controller", down),
    Bad("submit ok.py", 4, "command not found", commands_gone),
    Bad("submit ok.py", 5, "a file is where a directory has to be", state_is_a_file),
    Bad("nodes", 4, "Unable to contact slurm controller", down),
    Bad("nodes --node-type x", 2, "x"),
    Bad("run nowhere.py", 2, "nowhere.py is not there"),
    Bad("run ok.py", 2, "cannot be run"),
    Bad("runs show nobody", 2, "no run named"),
    Bad("runs cancel 4711", 2, "no run named"),
    Bad("runs", 2, ""),
    Bad("lab", 2, ""),
    Bad("lab strat", 2, "Did you mean 'start'?"),
    Bad("lab start --node-type nots", 2, "did you mean notes?"),
    Bad("lab start", 2, "not for notebook jobs"),
    Bad("lab start --node-type notes --cores 2", 2, "fixed 1"),
    Bad("lab start --node-type notes --name ../up", 2, "cannot be the name"),
    Bad("lab start --node-type notes --env nosuch", 2, "nosuch"),
    Bad("lab start --node-type notes --env unbuilt", 2, "not built"),
    Bad("lab start --node-type notes --nodes 2", 2, "No such option"),
    Bad("lab start --node-type notes", 4, "Invalid partition name specified"),
    Bad("lab start --node-type notes", 4, "command not found", commands_gone),
    Bad("lab start --node-type notes", 5, "a file is where", state_is_a_file),
    Bad("lab stop", 2, "no lab named 'lab'"),
    Bad("lab stop x y", 2, "unexpected extra argument"),
    Bad("scratch path ../../etc", 2, "leaves your scratch"),
    Bad("--site broken.yaml nodes", 3, "broken.yaml:"),
    Bad("--site typo.yaml nodes", 3, "did you mean walltime?"),
    Bad("--site nowhere.yaml nodes", 3, "nowhere.yaml"),
    Bad("--site perlmuter nodes", 3, "perlmutter"),
    Bad("site validate alpha.yaml broken.yaml", 3, "broken.yaml:"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.words} [{bad.prepare.__name__}]")
def test_one_clear_error(world: World, bad: Bad) -> None:
    """The message is on stderr, the code is right, stdout is clean, nobody sees a traceback."""
    bad.prepare(world)
    done = world.call(*bad.words.split(" "))
    assert "Traceback" not in done.stderr
    assert (done.returncode, bad.says in done.stderr) == (bad.code, True), done.stderr
    assert done.stdout == "" or bad.words.startswith("site validate")


def test_nothing_is_submitted_by_a_refused_request(world: World) -> None:
    """A request outside the limits never reaches the scheduler, and leaves no run behind."""
    for name in ("sbatch", "squeue"):
        (world.path / "bin" / name).write_text(f"#!/bin/sh\ntouch {world.path}/called\n")
    done = world.call("submit", "ok.py", "--nodes", "9", "--memory", "1TiB", "--walltime", "9 days")
    assert done.returncode == 2
    assert [word in done.stderr for word in ("nodes", "memory", "walltime")] == [True] * 3
    assert not (world.path / "called").exists()
    assert list((world.path / "state").iterdir()) == []


def test_no_site_on_a_login_node(world: World) -> None:
    """Where sbatch is and no site was found, computing is refused with the way out."""
    world.environ = {"PANGEO_HPC_SITE": "", "PATH": f"{world.path}/bin:/usr/bin:/bin"}
    done = world.call("submit", "ok.py")
    assert done.returncode == 3
    assert "site init" in done.stderr
    assert "--site local" in done.stderr


def test_debug_shows_where(world: World) -> None:
    """--debug, and only it, shows the way through the code."""
    assert "Traceback" in world.call("--debug", "submit", "nowhere.py").stderr
