"""Lab folders: what is remembered of a lab, from its request to the port its server listens at.

A lab is known by user, site and name. Its folder is ``<user_state>/labs/<site>/<name>``, private,
with one folder for each start; the newest one counts.
"""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pangeo_hpc import files, private
from pangeo_hpc.errors import JobFailed, Problem, RequestRefused, UnknownName
from pangeo_hpc.jobs import Job
from pangeo_hpc.jobs.plan import NAME
from pangeo_hpc.site import Person, Site

DEFAULT = "lab"


@dataclass(frozen=True, kw_only=True)
class Server:
    """What a server in a job says about itself once it listens."""

    address: str
    port: int
    node: str
    pid: int
    started: int | None
    version: str
    kernels: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the job is told by a private file: names, paths and places, and where the token is."""

    environment: str | None
    token: str
    interface: str | None
    callers: tuple[str, ...]
    loopback: bool
    ports: tuple[int, int]
    setup: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """The folder of one start of a lab."""

    path: Path

    @property
    def lab(self) -> str:
        """Return the lab's name."""
        return self.path.parent.name

    @property
    def site_file(self) -> Path:
        """Return the effective site, as the job and its notebooks read it."""
        return self.path / "site.json"

    @property
    def job(self) -> Job:
        """Return the job. Raise FileNotFoundError before it was handed to a scheduler."""
        return Job.read(self.path)

    @property
    def order(self) -> Order:
        """Return what the job is told."""
        kept = files.read_json(self.path / "order.json")
        pairs = {key: tuple(kept[key]) for key in ("callers", "ports", "setup")}
        return Order(**{**kept, **pairs})

    @property
    def server(self) -> Server | None:
        """Return what the server told about itself, None before it listens."""
        try:
            kept = files.read_json(self.path / "server.json")
        except (FileNotFoundError, ValueError):
            return None
        left_out = tuple((name, reason) for name, reason in kept["left_out"])
        return Server(**{**kept, "kernels": tuple(kept["kernels"]), "left_out": left_out})

    def token(self) -> str:
        """Return the token. Raise JobFailed once the lab has ended."""
        try:
            return private.read(self.path / self.order.token).decode()
        except FileNotFoundError as error:
            hint = "its log is in " + str(self.path)
            raise JobFailed(f"lab {self.lab} has ended", hint=hint) from error

    def write_order(self, order: Order) -> None:
        """Store what the job is told."""
        files.write_json(self.path / "order.json", asdict(order), mode=0o600)

    def write_server(self, server: Server) -> None:
        """Store what the server tells, whole or not at all."""
        files.write_json(self.path / "server.json", asdict(server), mode=0o600)

    def forget_server(self) -> None:
        """Remove the port and all that the server kept: they tell of no server any more."""
        (self.path / "server.json").unlink(missing_ok=True)
        shutil.rmtree(self.path / "runtime", ignore_errors=True)

    def forget_secrets(self) -> None:
        """Remove the token and all that could tell it; nothing but log and states is left."""
        self.forget_server()
        for path in self.path.glob("token-*"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class LabFolder:
    """The folder of one lab."""

    path: Path

    @property
    def name(self) -> str:
        """Return the lab's name."""
        return self.path.name

    def newest(self) -> Start | None:
        """Return the last start that was handed to a scheduler; None if there was none."""
        found = [path for path in self._starts() if (path / "job.json").exists()]
        return Start(found[-1]) if found else None

    def new(self) -> Start:
        """Make the private folder of the next start; those before the last one go."""
        before = self._starts()
        for old in before[:-1]:
            shutil.rmtree(old, ignore_errors=True)
        number = int(before[-1].name) + 1 if before else 1
        return Start(private.ensure_directory(self.path / f"{number:04}"))

    def remove(self) -> None:
        """Remove all that is remembered of the lab, but for the lock that others may wait for."""
        for path in self._starts():
            shutil.rmtree(path, ignore_errors=True)

    def _starts(self) -> list[Path]:
        return sorted(path for path in self.path.glob("[0-9]*") if path.is_dir())


def home(site: Site, person: Person) -> Path:
    """Return the folder that holds all labs of a user on a site."""
    return site.user_state_path(person) / "labs" / site.name


def named(site: Site, person: Person, name: str) -> LabFolder:
    """Return the folder of a lab, which may not be there yet. Raise RequestRefused for no name."""
    if not NAME.fullmatch(name):
        hint = "use letters, digits, dot, dash and underscore, at most 60"
        raise RequestRefused([Problem("name", f"{name!r} cannot be the name of a lab", hint)])
    return LabFolder(home(site, person) / name)


def every(site: Site, person: Person) -> list[LabFolder]:
    """Return every lab of a user on a site that was ever submitted, by name."""
    root = home(site, person)
    found = [LabFolder(path) for path in root.iterdir()] if root.is_dir() else []
    return sorted((lab for lab in found if lab.newest()), key=lambda lab: lab.name)


def find(site: Site, person: Person, name: str) -> LabFolder:
    """Return a lab by its name. Raise UnknownName, with a guess, if there is none."""
    from difflib import get_close_matches

    known = {lab.name: lab for lab in every(site, person)}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    raise UnknownName(f"no lab named {name!r}", hint=guess if known else "pangeo-hpc lab start")
