"""What a spawner hears of its job, and whether it is our server that answers at its port."""

import asyncio
import time
from typing import Any

from traitlets import Float

from pangeo_hpc.hub import metrics, postmortem
from pangeo_hpc.hub.poller import Poller
from pangeo_hpc.hub.remembering import RememberingSpawner
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.server import address, proof

# In these a server may be at its port.
ON_A_NODE = (JobState.RUNNING, JobState.ENDING, JobState.SUSPENDED, JobState.UNKNOWN)


class FollowingSpawner(RememberingSpawner):
    """Follows its job, with everybody else's, until the server has proven itself."""

    report_timeout = Float(
        300.0, help="Seconds from the start of the job in which the server must report its port."
    ).tag(config=True)

    def _follow(self, *, starting: bool) -> Poller:
        state = self._known()
        return self.office.follow(state.scheduler, state.job, self.user.name, starting=starting)

    def _heard(self, poller: Poller) -> JobStatus | None:
        news = poller.news(self._known().job)
        return news.status if news else None

    def _is_old(self, poller: Poller) -> bool:
        """Tell whether nothing was heard of the job for longer than two looks take."""
        news = poller.news(self._known().job)
        return news is None or time.monotonic() - news.heard > 2 * poller.interval

    async def _until_up(self, *, adopted: float | None = None) -> str:
        """Return the URL once the server has proven itself; raise SpawnException if it ended.

        It has `report_timeout` seconds from the start of its job, or since the hub found it again;
        time in which the scheduler paused the job does not count.
        """
        paused, looked = 0.0, time.time()
        while True:
            poller = self._follow(starting=True)
            state = self._known()
            status = self._heard(poller)
            since, looked = time.time() - looked, time.time()
            if status is not None and status.state is JobState.SUSPENDED:
                paused += since
            if status is not None and status.state.waiting and state.begun:
                # the scheduler took it back: it begins anew, somewhere else
                paused, state = (
                    0.0,
                    self._remember(node="", address="", port=0, begun=None, ends=None),
                )
            if status is not None and status.state.ended:
                raise await postmortem.ended(self, status)
            if status is not None and status.state in ON_A_NODE and status.nodes:
                state = self._seen_running(status)
                url, strange = await self._proven(state) if state.port else (None, False)
                if url is not None:
                    self._follow(starting=False)
                    return url
                begun = max(adopted or 0.0, state.begun or time.time()) + paused
                late = time.time() - begun > self.report_timeout
                if late or (strange and adopted is not None):
                    raise await postmortem.silent(self, status)
            await poller.next_answer(within=2.0 if state.port else None)

    def _seen_running(self, status: JobStatus) -> ServerState:
        """Remember where a job runs, since when, and when its walltime is over."""
        state = self._known()
        node = status.nodes[0]
        begun = status.started.timestamp() if status.started else state.begun or time.time()
        ends = begun + status.walltime.total_seconds() if status.walltime else None
        if state.begun is None:
            metrics.waited(begun - state.asked)
        if (state.node, state.begun, state.ends) != (node, begun, ends):
            state = self._remember(node=node, begun=begun, ends=ends)
        return state

    async def _proven(self, state: ServerState) -> tuple[str | None, bool]:
        """Return the URL at which our server answers, and whether somebody else does in its place.

        The node's name may stand for several addresses; the server listens at one, which is known
        once it has proven itself there.
        """
        base = self.server.base_url if self.server else "/"
        names = await asyncio.to_thread(self._addresses, state)
        strange = False
        for each in dict.fromkeys((*names, state.address)):
            if not each:
                continue
            try:
                connection = await asyncio.to_thread(
                    proof.connect, bytes.fromhex(state.proof_key), each, state.port, base=base
                )
            except proof.Stranger as error:
                self.log.warning("%s: %s", self._log_name, error.text)
                strange |= each == state.address or not state.address
                continue
            except OSError as error:
                self.log.debug("%s at %s:%s: %s", self._log_name, each, state.port, error)
                continue
            connection.close()
            if state.address != each:
                self._remember(address=each)
            return f"http://{each}:{state.port}", False
        return None, strange

    def _addresses(self, state: ServerState) -> list[str]:
        """Return where the server of a node may listen."""
        return list(address.resolved(state.node))

    # -- the proxy ---------------------------------------------------------------------------

    async def _drop_route(self) -> None:
        """Send nobody to a server that has not proven itself since the hub was started."""
        proxy: Any = self.user.settings.get("proxy")
        try:
            # one that is not there yet has no routes, and a late answer could remove a good one
            await asyncio.wait_for(proxy.delete_user(self.user, self.name), 3)
        except Exception as error:  # noqa: BLE001 - whatever a proxy does, the check goes on
            self.log.warning("%s: its route could not be removed: %s", self._log_name, error)

    async def _add_route(self) -> None:
        """Send people to a server that was found again, if it is still there."""
        if not self.outer.ready:
            return
        try:
            await self.user.settings["proxy"].add_user(self.user, self.name)
        except Exception as error:  # noqa: BLE001 - all routes are compared again later
            self.log.warning("%s: its route could not be added: %s", self._log_name, error)
