"""What is kept of a server over a restart of the hub, and which spawner JupyterHub knows."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchspawner import BatchSpawnerBase
from sqlalchemy import inspect
from traitlets import HasTraits, List, Unicode

from pangeo_hpc.hub import forms, postmortem
from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.office import Office, office
from pangeo_hpc.hub.state import ServerState


class Shared(HasTraits):
    """What the spawner of one server and the wrapper of several kinds have in common."""

    site_file = Unicode(help="The site YAML; the program that acts as users has its own.").tag(
        config=True
    )
    program = List(
        Unicode(), help="The program that acts as users, as an argv without the verb."
    ).tag(config=True)
    usage_file = Unicode(help="The hub's file of what servers really used.").tag(config=True)

    # the last start, if nothing came of it
    failure: Failure | None = None
    user: Any
    hub: Any
    name: str
    http_timeout: Any
    _patience: int | None = None
    # what JupyterHub looks at
    _check_pending: bool
    _spawn_pending: bool
    _spawn_future: "asyncio.Future[None] | None"

    @property
    def office(self) -> Office:
        """Return what all spawners share."""
        return office(self.site_file, tuple(self.program))

    def retry_link(self, failure: Failure) -> str:
        """Return where the form is, filled with what a failure suggests."""
        return forms.link(self, failure.retry)

    def failure_html(self) -> str:
        """Return the last failure as a part of a page, empty if there is none."""
        if self.failure is None:
            return ""
        return self.failure.html(self.office.texts, self.retry_link(self.failure))

    @property
    def is_checked(self) -> bool:
        """Tell whether JupyterHub has ended its check of a server that was there before it."""
        return not self._check_pending

    def begin_start(self, start: "asyncio.Future[None]") -> None:
        """Let JupyterHub take something for a start."""
        self._spawn_pending, self._spawn_future = True, start

    def end_start(self) -> None:
        """Let JupyterHub see that what it took for a start is over."""
        self._spawn_pending = False

    def end_check(self) -> None:
        """Let JupyterHub see nothing that goes on."""
        self._check_pending, self._spawn_future = False, None

    def expect_nobody(self) -> None:
        """Let JupyterHub soon give up a server that is not there."""
        self._patience, self.http_timeout = self._patience or self.http_timeout, 1

    def expect_somebody(self) -> None:
        """Let the next server have its time."""
        self.http_timeout, self._patience = self._patience or self.http_timeout, None


class RememberingSpawner(Shared, BatchSpawnerBase):
    """Knows its server, also after a restart of the hub."""

    server_state: ServerState | None = None
    # that of a site with several profiles
    wrapper: Any = None

    @property
    def outer(self) -> Any:
        """Return the spawner that JupyterHub knows: it has the marks of what is pending.

        The wrapper's child looks ready as soon as there is a row of a server.
        """
        return self.wrapper or self

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
        self._tell_base()

    def clear_state(self) -> None:
        """Forget the server that was, but not what became of it."""
        super().clear_state()
        self.expect_somebody()
        old, self.server_state = self.server_state, None
        if old is not None and old.job:
            self.office.forget(old.scheduler, old.job)

    def _known(self) -> ServerState:
        if self.server_state is None:
            message = f"{self._log_name} is not started"
            raise RuntimeError(message)
        return self.server_state

    def _remember(self, **changes: Any) -> ServerState:
        """Change what is known and write it down before anything else happens."""
        self.server_state = replace(self._known(), **changes)
        self._tell_base()
        self._store()
        return self.server_state

    def _store(self) -> None:
        self.orm_spawner.state = self.outer.get_state()
        session = inspect(self.orm_spawner).session
        if session is not None:
            session.commit()

    def _tell_base(self) -> None:
        """Let the base class know the job, too."""
        self.job_id = self.server_state.job if self.server_state else ""
