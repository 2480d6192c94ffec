"""A site with a hub, and a program of words that acts as users."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.run import Command, Result
from pangeo_hpc.site import Person, Site, load_site
from tests.unit.alpha import alpha

HUB = """\
environments:
  pangeo: {{prefix: /opt/envs/pangeo}}
hub:
  url: https://jupyter.alpha.example/hpc
  connect_url: http://10.0.0.5:8081
  allowed_groups: [climate]
  admin_groups: [wheel]
  profiles: {profiles}
  login: {{cores: 1, memory: 2 GiB}}
  poll_interval: 15 seconds
"""

ALICE = Person("alice", 1001, 1001, "climate", Path("/home/alice"))


def write_site(folder: Path, profiles: str = "[login, batch]", extra: str = "") -> Path:
    """Write a site YAML and return its path."""
    path = folder / "site.yaml"
    path.write_text(alpha(folder / "state", more=HUB.format(profiles=profiles) + extra))
    return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site that offers login servers and jobs."""
    return load_site(write_site(tmp_path), environ={"HOME": str(tmp_path), "PATH": ""})


class Forever:
    """A task that never ends: a poller with it looks only when it is told to."""

    def done(self) -> bool:
        """Tell that it goes on."""
        return False


class Program:
    """Answers each order in turn, and notes what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers: list[Any] = list(answers)
        self.commands: list[Command] = []

    async def __call__(self, command: Command) -> Result:
        """Note a command and give the next answer: JSON-able, or a Result."""
        self.commands.append(command)
        answer = self.answers.pop(0)
        if isinstance(answer, Result):
            return answer
        return Result(command.argv, 0, json.dumps({"format": 1, **answer}) + "\n")

    @property
    def orders(self) -> Sequence[dict[str, Any]]:
        """Return the tickets that were handed over."""
        return [json.loads(command.input or "null") for command in self.commands]
