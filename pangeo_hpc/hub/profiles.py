"""Several kinds of servers at one hub: jobs of the site's node types, and small ones on its host.

The wrapper is what JupyterHub knows; the child has the job. Everything that was asked, every change
that a hook makes, and what is remembered goes through the wrapper to the child.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import Callable, Unicode, Union, default
from wrapspawner import ProfilesSpawner

from pangeo_hpc.errors import RequestRefused, UnknownName
from pangeo_hpc.hub import choices, forms, postmortem
from pangeo_hpc.hub.choices import BATCH
from pangeo_hpc.hub.desk import person_of
from pangeo_hpc.hub.failure import Failure
from pangeo_hpc.hub.login import LOGIN
from pangeo_hpc.hub.remembering import Shared
from pangeo_hpc.hub.spawner import A_LONG_TIME, SiteSpawner
from pangeo_hpc.hub.state import ServerState
from pangeo_hpc.server import address

DISPLAY = {LOGIN: "A small server on the login host", BATCH: "A job on compute nodes"}


class LoginSpawner(SiteSpawner):
    """Starts small servers on the hub's own host, in the user's own local queue."""

    def _addresses(self, state: ServerState) -> list[str]:
        del state
        return [address.LOOPBACK]


# What a remembered server is rebuilt as, whatever the site offers today.
CLASSES: Mapping[str, type[SiteSpawner]] = {BATCH: SiteSpawner, LOGIN: LoginSpawner}


class SiteProfilesSpawner(Shared, ProfilesSpawner):
    """Offers the profiles of the site YAML and starts no other."""

    # wrapspawner's takes text only
    options_form = Union([Unicode(), Callable()], config=True)

    child_spawner: Any
    child_config: Any
    child_state: Any

    def __init__(self, **given: Any) -> None:
        # a child gets all that JupyterHub gave us, and later what was changed since
        self._given = dict(given)
        self._changed: set[str] = set()
        self._born = asyncio.Event()
        super().__init__(**given)
        self.observe(self._pass_on, names=sorted(set(Spawner.class_trait_names()) - _OURS))

    @property
    def server_state(self) -> ServerState | None:
        """Return what is known of the server, None if there is none."""
        return self.child_spawner.server_state if self.child_spawner else None

    @default("profiles")
    def _profiles_default(self) -> list[tuple[str, str, type[SiteSpawner], dict[str, Any]]]:
        offered = self.office.hub.profiles
        return [(DISPLAY[key], key, CLASSES[key], {}) for key in offered]

    @default("start_timeout")
    def _start_timeout_default(self) -> int:
        return A_LONG_TIME

    # -- what was asked ----------------------------------------------------------------------

    @default("options_form")
    def _make_options_form(self) -> Any:
        return forms.render

    @default("apply_user_options")
    def _make_apply_user_options(self) -> Any:
        return SiteProfilesSpawner.take_up

    def options_from_form(self, formdata: Mapping[str, Any]) -> dict[str, str]:
        """Return what the form or a link's parameters say. Raise SpawnException if it is wrong."""
        return self.hold(choices.of_form(formdata))

    def hold(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Hold what was asked to the site's limits, and return it plain with its profile.

        Raise SpawnException with every problem.
        """
        site = self.office.site
        try:
            asked = choices.read(given)
            choices.decide(site, asked, person_of(self.user.name))
        except (RequestRefused, UnknownName) as error:
            raise forms.refusal(error) from error
        return asked.plain() | {"profile": choices.profile(site, asked)}

    def take_up(self, given: Mapping[str, Any]) -> None:
        """Choose the child by what was asked, before hooks look at it."""
        self.user_options = self.hold(given)
        # one of before may be left where the hub was killed while it stopped a server
        self.child_spawner, self.child_state = None, {}
        self.construct_child()

    # -- the child ---------------------------------------------------------------------------

    def select_profile(self, profile: str) -> None:
        """Choose the class of a profile. Raise SpawnException for one that there is not."""
        if profile not in CLASSES:
            problem = RequestRefused([choices.no_such_profile(self.office.site, profile)])
            raise forms.refusal(problem)
        self.child_class, self.child_config = CLASSES[profile], {}

    def construct_child(self) -> SiteSpawner:
        """Make the child, with all that this spawner was given and what changed since."""
        there: SiteSpawner | None = self.child_spawner
        if there is not None:
            return there
        if not self.child_state:
            self.child_profile = self.user_options.get("profile", "")
        self.select_profile(self.child_profile)
        child = self.child_class(**self._given)
        child.wrapper = self
        for name in sorted(self._changed):
            setattr(child, name, getattr(self, name))
        if self.child_state:
            child.load_state(self.child_state)
        self.child_spawner = child
        self._born.set()
        return child

    def _pass_on(self, change: Mapping[str, Any]) -> None:
        self._changed.add(change["name"])
        if self.child_spawner is not None:
            setattr(self.child_spawner, change["name"], change["new"])

    # -- what JupyterHub keeps ---------------------------------------------------------------

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what was remembered, also of a time when the site had one profile only."""
        if "server" in state:
            state = {"profile": BATCH, "child_state": dict(state)}
        self.failure = postmortem.again(self, Failure.revive(state.get("failure") or {}))
        self.child_state = dict(state.get("child_state") or {})
        if self.child_state:
            kind = state.get("profile")
            self.child_profile = str(kind) if kind in CLASSES else BATCH
            self.construct_child()

    def get_state(self) -> dict[str, Any]:
        """Return what is remembered over a restart of the hub; without a server, how it failed."""
        if self.child_spawner is None:
            return {"failure": self.failure.plain()} if self.failure else {}
        self.child_state = self.child_spawner.get_state()
        return {"profile": self.child_profile, "child_state": self.child_state}

    def clear_state(self) -> None:
        """Forget the server that was, but not what became of it."""
        if self.child_spawner is not None:
            self.failure = self.child_spawner.failure
        super().clear_state()
        self._born.clear()
        self.expect_somebody()

    # -- start, poll, stop -------------------------------------------------------------------

    def start(self) -> Any:
        """Start the child."""
        return self.construct_child().start()

    async def get_url(self) -> str:
        """Return the URL of a server that was there before the hub; wait until it is up."""
        return await self.construct_child().get_url()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the child tells of the wait, and something before there is one."""
        yield {"progress": 1, "message": self.office.texts("waiting.looking")}
        await self._born.wait()
        async for event in self.construct_child().progress():
            yield event


# What belongs to the wrapper itself, or to one of the two alone.
_OURS = frozenset(
    {"config", "parent", "log", "db", "_deprecated_db_session", "options_form"}
    | {"apply_user_options", "start_timeout"}
)
