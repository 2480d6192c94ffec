"""The test cluster as its administrator and its users see it: a site YAML, and `pangeo-hpc`."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.daemons import wait_until
from tests.cluster.face import Cluster
from tests.cluster.users import ClusterUser

SITE = """\
name: testcluster
description: A Slurm for tests
scheduler: slurm
user_state: {state}
login_hosts: [localhost]
node_types:
  compute:
    default: true
    description: Part of a node
    queue: compute
    cores: 2
    max_cores: 8
    memory: 1500 MiB
    max_memory: 7000 MiB
    walltime: "00:10:00"
    max_walltime: "01:00:00"
    max_nodes: {nodes}
    max_jobs: 20
    interface: {interface}
    dask: {{processes: 1, threads: 2}}
    options:
      begin: {{directive: "--begin={{value}}", pattern: "now\\\\+[0-9]+"}}
  short:
    description: For a minute or two
    queue: short
    cores: 1
    memory: 1 GiB
    walltime: "00:01:00"
    max_walltime: "00:02:00"
  down:
    description: A queue whose only node is down
    queue: broken
    cores: 1
    memory: 1 GiB
    walltime: "00:01:00"
scratch:
  scratch:
    path: {scratch}/{{user}}
    purge: {{after: 60 days, by: newest, enforced_by: site}}
"""


ENDED = {"COMPLETED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CANCELLED", "NODE_FAIL"}


def write_site(
    path: Path, *, scratch_root: Path, state: str, interface: str = "lo", nodes: int = 4
) -> Path:
    """Write the cluster's site YAML, readable by everybody, and return its path."""
    text = SITE.format(scratch=scratch_root, state=state, interface=interface, nodes=nodes)
    path.write_text(text)
    path.chmod(0o644)
    return path


@dataclass(frozen=True)
class CommandLine:
    """`pangeo-hpc` in the hands of one user of the cluster, in a folder that the nodes see."""

    user: ClusterUser
    site: Path

    @property
    def here(self) -> Path:
        """Return the folder the user works in, which is new with each cluster."""
        return self.user.shared

    def __call__(
        self, *words: str, code: int = 0, timeout: float = 300, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command and expect its exit code."""
        done = self.user.run(
            ["pangeo-hpc", *words],
            check=False,
            timeout=timeout,
            cwd=self.here,
            env={"PANGEO_HPC_SITE": str(self.site), **variables},
        )
        said = f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback (most recent call last)" not in done.stderr, said
        assert done.returncode == code, said
        return done

    def json(self, *words: str) -> dict[str, Any]:
        """Run a reading command and return what it tells."""
        found: dict[str, Any] = json.loads(self(*words, "--json").stdout)
        assert found["format"] == 1
        return found

    def sbatch(self, script: Path, *words: str, timeout: float = 240) -> tuple[int, str]:
        """Submit a hand-written job and wait for its end; return its exit code and its id.

        `sbatch --wait` looks after 2, 8, 32, 32 … seconds.
        """
        argv = ["sbatch", "--parsable", *words, str(script)]
        job = self.user.run(argv, cwd=self.here).stdout.strip()

        def shown(name: str) -> str:
            text = self.user.run(["scontrol", "--oneliner", "show", "job", job]).stdout
            return text.partition(f" {name}=")[2].split()[0]

        assert wait_until(lambda: shown("JobState") in ENDED, timeout, every=0.5), shown("JobState")
        return int(shown("ExitCode").partition(":")[0]), job

    def script(self, name: str, text: str) -> Path:
        """Write a program of the user's where the nodes see it."""
        path = self.here / name
        path.write_text(text)
        os.chown(path, self.user.uid, self.user.gid)
        return path


def command_line(cluster: Cluster, user: ClusterUser) -> CommandLine:
    """Return `pangeo-hpc` for a user of a cluster, whose state lies where the nodes see it."""
    state = f"{user.shared.parent}/{{user}}/state"
    site = write_site(
        cluster.directory / "site.yaml",
        scratch_root=cluster.scratch_root,
        state=state,
        interface=cluster.interface,
        nodes=len(cluster.shape.up),
    )
    return CommandLine(user, site)
