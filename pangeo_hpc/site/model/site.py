"""The whole site."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, model_validator

from pangeo_hpc.errors import UnknownName
from pangeo_hpc.site.fields import AccountName, FixedPath, Line, Remark, UserPath, Word
from pangeo_hpc.site.model.base import EMPTY, Entries, Part
from pangeo_hpc.site.model.hub import Hub
from pangeo_hpc.site.model.nodes import NodeType
from pangeo_hpc.site.model.schedulers import SchedulerEntry
from pangeo_hpc.site.model.software import Catalog, EnvironmentEntry, ObjectStore
from pangeo_hpc.site.model.storage import Home, ScratchFilesystem
from pangeo_hpc.site.people import Person, expand_path

FORMAT = 1

E = TypeVar("E", bound=Part)


class UserDefaults(Part):
    """What a user gets without asking; never a limit."""

    account: AccountName | None = Field(
        default=None, description="Account that jobs are charged to.", examples=["abc123"]
    )
    project: AccountName | None = Field(
        default=None,
        description="Project, where paths name one; absent = the account.",
        examples=["abc123"],
    )
    node_type: Word | None = Field(
        default=None, description="Node type; absent = the site's default one.", examples=["shared"]
    )
    environment: Word | None = Field(
        default=None,
        description="Environment; absent = the site's default one.",
        examples=["pangeo"],
    )


class Site(Part):
    """A cluster, as one file describes it."""

    name: Word = Field(
        description="Short name of the site; runs are known by it.", examples=["alpha"]
    )
    description: Remark = Field(
        default="",
        description="One line for people.",
        examples=["Alpha cluster, Institute of Examples"],
    )
    scheduler: Word = Field(
        description="The default batch system: slurm, pbs, local, or a key of schedulers.",
        examples=["slurm"],
    )
    schedulers: Entries[SchedulerEntry] = Field(
        default=EMPTY,
        description="Options of the batch system, or more than one; node types name them by key.",
        examples=[{"slurm": {"type": "slurm", "bin": "/opt/slurm/bin"}}],
    )
    login_hosts: tuple[Line, ...] = Field(
        default=(),
        description="Hosts that users log in to, for ssh lines.",
        examples=[["login.alpha.example"]],
    )
    state: FixedPath = Field(
        default=Path("/var/lib/pangeo-hpc"),
        description="The administrator's journals, accepted pins and plans.",
        examples=["/var/lib/pangeo-hpc"],
    )
    user_state: UserPath = Field(
        default="~/.local/state/pangeo-hpc",
        description="A user's runs, leases and private files; compute nodes must see it.",
        examples=["~/.local/state/pangeo-hpc"],
    )
    node_types: Entries[NodeType] = Field(
        min_length=1,
        description="What one job can get.",
        examples=[{"shared": {"cores": 4, "memory": "16 GiB", "walltime": "04:00:00"}}],
    )
    scratch: Entries[ScratchFilesystem] = Field(
        default=EMPTY,
        description="Filesystems for data that do not stay.",
        examples=[{"scratch": {"path": "/scratch/{user}"}}],
    )
    home: Home | None = Field(
        default=None, description="Users' home directories.", examples=[{"path": "/home/{user}"}]
    )
    environments: Entries[EnvironmentEntry] = Field(
        default=EMPTY,
        description="Software environments; absent = the running Python.",
        examples=[{"pangeo": {"prefix": "/apps/conda/envs/clim"}}],
    )
    object_stores: Entries[ObjectStore] = Field(
        default=EMPTY,
        description="Buckets and other remote stores.",
        examples=[{"archive": {"protocol": "s3", "bucket": "alpha-archive"}}],
    )
    catalogs: tuple[Catalog, ...] = Field(
        default=(),
        description="Catalogs of datasets.",
        examples=[[{"name": "cmip6", "url": "/data/catalogs/cmip6.yaml"}]],
    )
    hub: Hub | None = Field(
        default=None,
        description="JupyterHub on this site.",
        examples=[{"url": "https://jupyter.alpha.example", "connect_url": "http://10.0.0.5:8081"}],
    )
    defaults: UserDefaults = Field(
        default=UserDefaults(),
        description="What users get without asking; their own files and options come first.",
        examples=[{"node_type": "shared"}],
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_schedulers(cls, value: Any) -> Any:
        """Give the default scheduler its entry, and every entry its type."""
        if not isinstance(value, Mapping):
            return value
        given = value.get("schedulers")
        if not isinstance(given, Mapping | None):
            return value
        entries = dict(given or {})
        default = value.get("scheduler")
        if isinstance(default, str) and str(default) not in entries:
            entries[str(default)] = {}
        for key, entry in entries.items():
            if entry is None or (isinstance(entry, Mapping) and entry.get("type") is None):
                entries[key] = {**(entry or {}), "type": key}
        return {**value, "schedulers": entries}

    def node_type(self, name: str | None = None) -> NodeType:
        """Return a node type, or the default one. Raise UnknownName."""
        return _pick(self.node_types, name or self.defaults.node_type, "node type", self.name)

    def environment(self, name: str | None = None) -> EnvironmentEntry:
        """Return an environment, or the default one. Raise UnknownName."""
        wanted = name or self.defaults.environment
        return _pick(self.environments, wanted, "environment", self.name)

    def scratch_filesystem(self, name: str | None = None) -> ScratchFilesystem:
        """Return a scratch filesystem, or the default one. Raise UnknownName."""
        return _pick(self.scratch, name, "scratch filesystem", self.name)

    def object_store(self, name: str) -> ObjectStore:
        """Return an object store. Raise UnknownName."""
        return _pick(self.object_stores, name, "object store", self.name)

    def catalog(self, name: str) -> Catalog:
        """Return a catalog. Raise UnknownName."""
        known = {each.name: each for each in self.catalogs}
        return _pick(known, name, "catalog", self.name)

    def scheduler_of(self, node_type: NodeType) -> tuple[str, SchedulerEntry]:
        """Return the key and the entry of the scheduler that runs a node type."""
        key = node_type.scheduler or self.scheduler
        return key, self.schedulers[key]

    def user_state_path(self, person: Person) -> Path:
        """Return where a person's runs, leases and private files are."""
        return expand_path(self.user_state, "user_state", self.with_defaults(person))

    def scratch_path(self, person: Person, name: str | None = None) -> Path:
        """Return a person's directory on a scratch filesystem."""
        entry = self.scratch_filesystem(name)
        key = f"scratch.{entry.name}.path"
        return expand_path(entry.path, key, self.with_defaults(person))

    def dump(self) -> dict[str, Any]:
        """Return the effective site as JSON: every value explicit, amounts as text with units.

        `load_site` of a file with it gives an equal site, whatever the user's own files say then.
        """
        return {"format": FORMAT, **self.model_dump(mode="json", by_alias=True)}

    def with_defaults(self, person: Person) -> Person:
        """Return a person with the account and the project that placeholders stand for."""
        return person.with_defaults(self.defaults.account, self.defaults.project)


def _pick(entries: Mapping[str, E], name: str | None, what: str, site: str) -> E:
    if name is None:
        for entry in entries.values():
            if getattr(entry, "default", False) or len(entries) == 1:
                return entry
        text = f"site {site} has no {what}" if not entries else f"site {site} has no default {what}"
        raise UnknownName(text, hint=f"add one to {_SECTIONS[what]} in the site YAML")
    if name in entries:
        return entries[name]
    near = get_close_matches(name, entries, 1)
    known = f"it has {', '.join(entries)}" if entries else "it has none"
    hint = f"did you mean {near[0]}?" if near else known
    raise UnknownName(f"site {site} has no {what} {name}", hint=hint)


_SECTIONS = {
    "node type": "node_types",
    "environment": "environments",
    "scratch filesystem": "scratch",
    "object store": "object_stores",
    "catalog": "catalogs",
}
