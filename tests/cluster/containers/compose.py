"""Docker Compose, version 1 or 2, on docker/compose.yaml."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.machine import INSTALL, call

FOLDER = Path(__file__).parents[3] / "docker"


class Compose:
    """The services of the cluster, at one Docker daemon."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Find the command; env is what Docker and the compose file read."""
        self.env = {**os.environ, **env}
        self.words = _command(self.env)
        if self.words == ["docker-compose"]:
            # Its builds by Docker's command need a plugin that Debian does not have.
            self.env["COMPOSE_DOCKER_CLI_BUILD"] = "0"

    def __call__(self, *words: str, timeout: float = 300) -> str:
        """Run a compose command and return what it prints."""
        return call([*self.words, *words], timeout=timeout, env=self.env, cwd=FOLDER)

    def show(self, *words: str) -> int:
        """Run a compose command whose output is for the person, and return its exit code."""
        argv = [*self.words, *words]
        return subprocess.call(argv, env=self.env, cwd=FOLDER, stdin=subprocess.DEVNULL)


def _command(env: Mapping[str, str]) -> list[str]:
    try:
        call(["docker", "compose", "version"], env=dict(env))
        return ["docker", "compose"]
    except ClusterError:
        pass
    if not shutil.which("docker-compose"):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise ClusterError("Docker Compose is missing; install its plugin or docker-compose")
        call([str(INSTALL), "docker-compose"], timeout=1200)
    return ["docker-compose"]
