"""A notebook server as a job of the site, on any of its schedulers."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from jupyterhub.apihandlers import default_handlers
from jupyterhub.spawner import SpawnException
from sqlalchemy import inspect
from traitlets import Float, List, Unicode, default

from pangeo_hpc.errors import PangeoHpcError, RequestRefused, SchedulerUnreachable, UnknownName
from pangeo_hpc.hub import choices, forms, login, metrics, postmortem, usage, waiting
from pangeo_hpc.hub.adoption import AdoptingSpawner
from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.office import Office, office
from pangeo_hpc.hub.poller import Poller
from pangeo_hpc.hub.state import ServerState, digest
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.server import address, proof

# Its handler writes whatever a request names into a spawner; ours is `port.PortHandler`.
default_handlers[:] = [each for each in default_handlers if each[0] != r"/api/batchspawner"]

# JupyterHub counts from the submission on, and a queue wait of days is normal: we count ourselves.
A_LONG_TIME = 60 * 86400
_WATCHED = (JobState.RUNNING, JobState.ENDING, JobState.SUSPENDED, JobState.UNKNOWN)


def of_ours(spawner: Any) -> "SiteSpawner | None":
    """Return the spawner that has a job, which may be the child of a wrapper; None for another."""
    inner = getattr(spawner, "child_spawner", None) or spawner
    return inner if isinstance(inner, SiteSpawner) else None


class SiteSpawner(AdoptingSpawner):
    """Starts notebook servers as jobs and follows them with everybody else's in one question.

    The job is submitted by the user's own program; this class never starts one itself.
    """

    site_file = Unicode(help="The site YAML; the program that acts as users has its own.").tag(
        config=True
    )
    program = List(
        Unicode(), help="The program that acts as users, as an argv without the verb."
    ).tag(config=True)
    report_timeout = Float(
        300.0, help="Seconds from the start of the job in which the server must report its port."
    ).tag(config=True)
    stop_timeout = Float(60.0, help="Seconds in which a cancelled job should be gone.").tag(
        config=True
    )

    usage_file = Unicode(help="The hub's file of what servers really used.").tag(config=True)
    end_grace = Float(
        90.0, help="Seconds that a job without news may outlive its walltime, which ends late."
    ).tag(config=True)

    # the wrapper of a site with several profiles: JupyterHub knows and keeps that one
    wrapper: Any = None
    _submission: "asyncio.Task[None] | None" = None

    @default("start_timeout")
    def _start_timeout_default(self) -> int:
        return A_LONG_TIME

    @property
    def office(self) -> Office:
        """Return what all spawners share."""
        return office(self.site_file, tuple(self.program))

    # -- what JupyterHub keeps ---------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what is remembered over a restart of the hub."""
        state = super().get_state()
        if self.server_state is not None:
            state["server"] = self.server_state.plain()
        if self.failure is not None:
            state["failure"] = self.failure.plain()
        return dict(state)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what was remembered."""
        super().load_state(state)
        # a site that had several profiles when this server was started kept it one step further in
        kept = state.get("child_state") or state
        self.server_state = ServerState.revive(kept.get("server") or {})
        self.failure = postmortem.again(self, Failure.revive(kept.get("failure") or {}))
        self._adopt()

    def clear_state(self) -> None:
        """Forget the server that was."""
        super().clear_state()
        self.http_timeout, self._patience = self._patience or self.http_timeout, None
        old, self.server_state = self.server_state, None
        if old is not None and old.job:
            self.office.forget(old.scheduler, old.job)

    def _remember(self, **changes: Any) -> ServerState:
        """Change what is known and write it down before anything else happens."""
        if self.server_state is None:
            message = "there is no server to remember"
            raise RuntimeError(message)
        self.server_state = replace(self.server_state, **changes)
        self._adopt()
        self._store()
        return self.server_state

    def _store(self) -> None:
        self.orm_spawner.state = (self.wrapper or self).get_state()
        session = inspect(self.orm_spawner).session
        if session is not None:
            session.commit()

    def _adopt(self) -> None:
        """Let the base class know the job, too."""
        self.job_id = self.server_state.job if self.server_state else ""

    # -- what was asked ----------------------------------------------------------------------

    @default("options_form")
    def _make_options_form(self) -> Any:
        return forms.render

    @default("apply_user_options")
    def _make_apply_user_options(self) -> Any:
        return SiteSpawner.hold

    def options_from_form(self, formdata: Mapping[str, Any]) -> dict[str, str]:
        """Return what the form or a link's parameters say. Raise SpawnException if it is wrong."""
        return self.hold(choices.of_form(formdata))

    def options_from_query(self, query_data: Mapping[str, Any]) -> dict[str, str]:
        """Raise SpawnException: a link only fills the form (`pages.SpawnPage`)."""
        del query_data
        raise SpawnException("a link starts no server: use the form's button", reason="link")

    def hold(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Hold what was asked to the site's limits, whichever way it came, and return it plain.

        Raise SpawnException with every problem.
        """
        try:
            asked = choices.read(given)
            choices.decide(self.office.site, asked, person_of(self.user.name))
        except (RequestRefused, UnknownName) as error:
            raise forms.refusal(error) from error
        return asked.plain()

    # -- start, poll, stop -------------------------------------------------------------------

    async def start(self) -> str:
        """Submit the job, wait in the queue for as long as it takes, and return the URL.

        Raise SpawnException with the reason if it cannot be or ends first.
        """
        self.server_state, self.failure = ServerState.new(self.api_token), None
        self._remember()
        self._submission = asyncio.ensure_future(self._submit())
        try:
            # a submission that has begun is seen to its end, or its job would be nobody's
            await asyncio.shield(self._submission)
            return await self._until_up()
        except SpawnException as error:
            metrics.failed(error.reason)
            raise
        except asyncio.CancelledError:
            self.failure = self._stopped()
            raise

    def _stopped(self) -> Failure:
        return postmortem.stopped(self)

    async def _submit(self) -> None:
        state = self._remember()
        variables = {
            name: value
            for name, value in self.get_env().items()
            if name.startswith(("JUPYTERHUB_", "JPY_API_TOKEN"))
        }
        while True:
            try:
                done = await self.office.desk.submit(
                    self.user.name,
                    name=state.name,
                    server=self.name,
                    choices=choices.read(self.user_options).plain(),
                    variables=variables,
                )
            except SchedulerUnreachable as error:
                # the same order again never makes a second job
                self.log.warning("%s: %s", self._log_name, error.text)
                await asyncio.sleep(5)
            except PangeoHpcError as error:
                raise postmortem.refused(self, error) from error
            else:
                break
        self._remember(job=done.job, scheduler=done.scheduler)
        self.log.info("%s is job %s (%s)", self._log_name, done.job, state.name)

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
                paused, state = 0.0, self._remember(node="", port=0, begun=None, ends=None)
            if status is not None and status.state.ended:
                raise await postmortem.ended(self, status)
            if status is not None and status.state in _WATCHED and status.nodes:
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

    def _follow(self, *, starting: bool) -> Poller:
        state = self._known()
        return self.office.follow(state.scheduler, state.job, self.user.name, starting=starting)

    def _known(self) -> ServerState:
        if self.server_state is None:
            message = f"{self._log_name} is not started"
            raise RuntimeError(message)
        return self.server_state

    def _heard(self, poller: Poller) -> JobStatus | None:
        news = poller.news(self._known().job)
        return news.status if news else None

    async def poll(self) -> int | None:
        """Return None while the job is there or there is no news, else its exit code.

        A job whose walltime is over is gone even without news: its port may be a neighbour's now.
        """
        state = self.server_state
        if state is None:
            return 0
        try:
            if not state.job and not await self._find():
                return None if self._submission and not self._submission.done() else 1
        except SchedulerUnreachable as error:
            self.log.warning("%s: %s", self._log_name, error.text)
            return None
        state = self._known()
        poller = self._follow(starting=not state.port)
        if poller.news(state.job) is None:
            await poller.next_answer(within=10)
        status = self._heard(poller)
        if status is not None and status.state.ended:
            await self._note_usage(status)
            return status.exit_code or 0
        overdue = state.ends is not None and time.time() > state.ends + self.end_grace
        if overdue and self._is_old(poller):
            self.log.warning("%s: no news, and its walltime is over", self._log_name)
            return 0
        if state.port and status is not None and status.nodes and await self._is_lost(status):
            return 1
        return None

    async def _is_lost(self, status: JobStatus) -> bool:
        """Tell whether somebody else listens at the server's port; its job is then of no use.

        A server that does not answer at all may only be busy.
        """
        if status.state not in _WATCHED:
            return False
        url, strange = await self._proven(self._seen_running(status))
        if url is not None or not strange:
            return False
        await self._drop_route()
        self.log.error("%s: its port is somebody else's; its job is cancelled", self._log_name)
        problems = await self.office.desk.cancel(self.user.name, [self._known().job])
        for text in problems.values():
            self.log.warning("%s: %s", self._log_name, text)
        return True

    async def _drop_route(self) -> None:
        """Send nobody to a server that has not proven itself since the hub was started."""
        proxy = self.user.settings.get("proxy")
        try:
            # one that is not there yet has no routes, and a late answer could remove a good one
            await asyncio.wait_for(proxy.delete_user(self.user, self.name), 3)
        except Exception as error:  # noqa: BLE001 - whatever a proxy does, the check goes on
            self.log.warning("%s: its route could not be removed: %s", self._log_name, error)

    async def _add_route(self) -> None:
        """Send people to a server that was found again, if it is still there."""
        if not self.ready:
            return
        try:
            await self.user.settings["proxy"].add_user(self.user, self.name)
        except Exception as error:  # noqa: BLE001 - all routes are compared again later
            self.log.warning("%s: its route could not be added: %s", self._log_name, error)

    def _is_old(self, poller: Poller) -> bool:
        """Tell whether nothing was heard of the job for longer than two looks take."""
        news = poller.news(self._known().job)
        return news is None or time.monotonic() - news.heard > 2 * poller.interval

    async def _find(self) -> bool:
        """Find the job of a submission whose answer the hub did not live to see."""
        state = self._known()
        if self._submission is not None and not self._submission.done():
            return False
        try:
            found = await self.office.desk.find(self.user.name, state.name)
        except UnknownName:
            return False
        if found is None:
            return False
        self._remember(job=found.job, scheduler=found.scheduler)
        return True

    async def stop(self, now: bool = False) -> None:
        """Cancel the job, and wait until it is gone."""
        try:
            await self._stop(now)
        except Exception:
            # JupyterHub counts it and says nothing
            self.log.exception("%s could not be stopped", self._log_name)
            raise

    async def _stop(self, now: bool) -> None:
        if self._submission is not None and not self._submission.done():
            await asyncio.wait([self._submission], timeout=self.stop_timeout)
        state = self.server_state
        if state is None or (not state.job and not await self._find()):
            return
        state = self._known()
        problems = await self.office.desk.cancel(
            self.user.name, [state.job], scheduler=state.scheduler
        )
        for text in problems.values():
            self.log.warning("%s: job %s: %s", self._log_name, state.job, text)
        poller = self._follow(starting=True)
        poller.look_soon()
        deadline = time.monotonic() + self.stop_timeout
        while not now and time.monotonic() < deadline:
            status = self._heard(poller)
            if status is not None and status.state.ended:
                await self._note_usage(status)
                return
            await poller.next_answer(within=5)

    async def _note_usage(self, status: JobStatus) -> None:
        """Note what a server on a node really used; one on the hub's host has no node type."""
        site, chosen = self.office.site, self.user_options.get("node_type")
        is_login = choices.profile(site, choices.read(self.user_options)) == login.LOGIN
        if not is_login and (chosen is None or chosen in site.node_types):
            await usage.note(self, status, site.node_type(chosen).name)

    # -- what is told ------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield one event for each change of what can be told of the wait."""
        told: dict[str, Any] | None = None
        while True:
            event = waiting.event(self)
            if event != told:
                told = event
                yield event
            await asyncio.sleep(1)

    def told(self) -> dict[str, Any]:
        """Return how far this server is, for a page that is made now."""
        return waiting.page(self, time.time())

    def retry_link(self, failure: Failure) -> str:
        """Return where the form is, filled with what a failure suggests."""
        return forms.link(self, failure.retry)

    def failure_html(self) -> str:
        """Return the last failure as a part of a page, empty if there is none."""
        if self.failure is None:
            return ""
        return self.failure.html(self.office.texts, self.retry_link(self.failure))

    def reports(self, token: str) -> bool:
        """Tell whether a token is the one that this server was given."""
        return self.server_state is not None and hmac.compare_digest(
            digest(token), self.server_state.token_digest
        )

    def take_port(self, port: int) -> bool:
        """Note the port of a server that is waited for; tell whether one was waited for."""
        state = self._known()
        if state.port not in (0, port) or (self.wrapper or self).ready:
            return False
        if state.port == 0:
            self._remember(port=port)
            if state.job:
                self.office.poller(state.scheduler).look_soon()
        return True
