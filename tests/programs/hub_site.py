"""A hub at a site of stand-in schedulers, with servers of a few lines of shell.

Only sudo and JupyterLab are left out: the orders go through the desk to the program's own verbs,
and the jobs run what the program has submitted.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.hub import job, orders, tickets
from pangeo_hpc.hub.desk import Desk, Submitted
from pangeo_hpc.hub.office import Office
from pangeo_hpc.hub.poller import News, Poller
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.site import current_person, load_site
from tests.unit.hub.conftest import Forever

TOKEN = "a-very-secret-token-of-this-server"
HUB = """\
hub:
  url: http://127.0.0.1:8000
  connect_url: http://10.0.0.5:8081
  poll_interval: 1 second
"""
# In place of Python: it takes the secret as the real server does, and ends when it is told to.
SERVER = """\
#!/bin/sh
test "$1 $2 $3" = "-I -m pangeo_hpc.hub.singleuser" || exit 99
cat "$4" >{folder}/taken && rm "$4"
env >{folder}/environment
trap 'exit 143' TERM
until test -e {folder}/end; do sleep 0.1; done
exit "$(cat {folder}/end)"
"""


class HubSite:
    """A site with a hub, whose user is whoever runs the tests."""

    def __init__(self, folder: Path, text: str, monkeypatch: Any) -> None:
        self.folder = folder
        path = folder / "site.yaml"
        path.write_text(f"name: twoqueues\nuser_state: {folder}/user/{{user}}\n{text}{HUB}")
        self.site = load_site(path, environ={"HOME": str(folder), "PATH": ""})
        self.person = current_person()
        self.python = folder / "python"
        self.python.write_text(SERVER.format(folder=folder))
        self.python.chmod(0o755)
        self._monkeypatch = monkeypatch
        self.desk = Desk(("program",), runner=self._program)
        self.office = Office(self.site, self.desk)
        for poller in self.office.pollers.values():
            poller._task = Forever()  # type: ignore[assignment]

    async def _program(self, command: Command) -> Result:
        """Be the program that acts as a user: the same verbs, in this process."""
        try:
            ticket = tickets.read(json.loads(command.input or ""))
            answer = orders.VERBS[command.argv[-1]](self.site, self.person, ticket)
        except PangeoHpcError as error:
            answer = {"error": job.plain_error(error)}
        return Result(command.argv, 0, json.dumps(answer))

    def submit(self, name: str, **choices: str) -> Submitted:
        """Submit a server's job."""
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(self.python))
            order = self.desk.submit(
                self.person.user,
                name=name,
                server="",
                choices=choices,
                variables={"JUPYTERHUB_API_TOKEN": TOKEN},
            )
            return asyncio.run(order)

    def kept(self, name: str) -> Path:
        """Return the folder of a server."""
        return self.folder / "user" / self.person.user / "hub" / name

    def poller(self, submitted: Submitted) -> Poller:
        """Return the poller that follows a job; it looks only when it is told to."""
        user = self.person.user
        return self.office.follow(submitted.scheduler, submitted.job, user, starting=False)

    def look(self, submitted: Submitted) -> News | None:
        """Look once and return what was heard."""
        poller = self.poller(submitted)
        asyncio.run(poller.look())
        return poller.news(submitted.job)

    def until(self, submitted: Submitted, fits: Callable[[JobState], bool]) -> News:
        """Look until a job's state fits."""

        async def go() -> News:
            poller = self.poller(submitted)
            async with asyncio.timeout(60):
                while True:
                    await poller.look()
                    news = poller.news(submitted.job)
                    if news is not None and fits(news.status.state):
                        return news
                    await asyncio.sleep(0.1)

        return asyncio.run(go())

    def end(self, code: int) -> None:
        """Let the server that runs end with a code."""
        (self.folder / "end").write_text(str(code))
