"""Client and workers have to agree on their packages: what each has, and what differs.

Nothing is imported to find out: the names of the folders that pip and conda leave beside packages
say what is installed and in which version.
"""

import re
import sys
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import EnvironmentMismatch

# A file in the prefix of an environment that says which build of it this is.
DIGEST_FILE = "pangeo-hpc-digest"

# A client has these to talk to a person, or to start workers: workers do without.
OF_THE_CLIENT = frozenset(
    (
        "dask-jobqueue", "dask-labextension", "debugpy", "ipykernel", "ipython", "ipywidgets",
        "jupyter-client", "jupyter-core", "jupyter-server", "jupyterlab", "matplotlib-inline",
        "nbclient", "nbformat", "papermill", "pip", "pytest", "setuptools", "widgetsnbextension",
    )
)  # fmt: skip

_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")


@dataclass(frozen=True)
class Packages:
    """What one side has: its Python (x.y), the digest of its base environment, its packages.

    Names are normalized as in PEP 503.
    """

    python: str
    digest: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    def dump(self) -> dict[str, Any]:
        """Return it in plain words for another process."""
        return {
            "python": self.python,
            "digest": self.digest,
            "packages": dict(self.packages),
            "place": self.place,
        }


@dataclass(frozen=True)
class Difference:
    """What differs, with its version at the client and on the workers (None: not there)."""

    what: str
    client: str
    worker: str | None

    def __str__(self) -> str:
        there = "not there" if self.worker is None else self.worker
        return f"{self.what}: client {self.client}, worker {there}"


def compare(client: Packages, worker: Packages) -> list[Difference]:
    """Return all that keeps a worker from working for a client.

    Every package that the client has imported must be there in the same version; more of them do
    no harm. Of our own package the minor version counts.
    """
    found = []
    if client.python != worker.python:
        found.append(Difference("Python", client.python, worker.python))
    if client.digest and client.digest != worker.digest:
        other = worker.digest[:12] if worker.digest else None
        found.append(Difference("environment", client.digest[:12], other))
    for name, version in sorted(client.packages.items()):
        there = worker.packages.get(name)
        if there is None and name in OF_THE_CLIENT:
            continue
        if there is None or _counts(name, there) != _counts(name, version):
            found.append(Difference(name, version, there))
    return found


def mismatch(
    differences: Sequence[Difference], client: Packages, worker: Packages
) -> EnvironmentMismatch:
    """Return the error that names what differs and says what to do."""
    shown = "".join(f"\n  {difference}" for difference in differences[:20])
    more = f"\n  and {len(differences) - 20} more" if len(differences) > 20 else ""
    text = f"the workers' environment is not the client's:{shown}{more}"
    hint = (
        f"the client runs {client.place}, the workers {worker.place}: run the client with the "
        "latter, leave `environment` out so that workers use the client's, or install the same "
        "versions in both"
    )
    return EnvironmentMismatch(text, hint=hint)


def installed(path: Iterable[str] | None = None) -> dict[str, str]:
    """Return the version of every package on a Python's path; what comes first there counts."""
    found: dict[str, str] = {}
    for entry in sys.path if path is None else path:
        try:
            names = sorted(path.name for path in Path(entry or ".").iterdir())
        except OSError:
            continue
        for name in names:
            match = _INFO.fullmatch(name)
            if match:
                found.setdefault(_normal(match["name"]), match["version"])
    return found


def here() -> Packages:
    """Return what this process has, all of it."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Packages(python, _digest(), installed(), sys.executable)


class Imported:
    """The packages that this process has imported, found anew when it has imported more."""

    def __init__(self, modules: Mapping[str, Any] | None = None) -> None:
        self._modules = sys.modules if modules is None else modules
        self._seen = 0
        self._lock = threading.Lock()
        self._owners: dict[str, list[str]] | None = None
        self._last: Packages | None = None

    @property
    def stale(self) -> bool:
        """Tell whether modules were imported since the last answer."""
        return len(self._modules) != self._seen

    def packages(self) -> Packages:
        """Return what has been imported and can be named, with the versions that are installed."""
        with self._lock:
            if self._last is None or self.stale:
                self._seen = len(self._modules)
                everything = here()
                names = self._names(list(self._modules))
                versions = {n: v for n, v in everything.packages.items() if n in names}
                self._last = replace(everything, packages=versions)
            return self._last

    def warm(self) -> None:
        """Begin to find out, so that the answer is there when it is asked for."""
        threading.Thread(target=self.packages, name="pangeo-hpc-packages", daemon=True).start()

    def _names(self, modules: Collection[str]) -> set[str]:
        from importlib.metadata import packages_distributions

        tops = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
        if self._owners is None:
            self._owners = {top: list(names) for top, names in packages_distributions().items()}
        found: set[str] = set()
        for top in tops:
            owners = list(dict.fromkeys(_normal(name) for name in self._owners.get(top, ())))
            # many packages may share a name such as `google`: which one it is, is not told cheaply
            found.update(owners if len(owners) == 1 else ())
        return found


# Of this process; what is known for one cluster is known for the next.
IMPORTED = Imported()


def _counts(name: str, version: str) -> str:
    return ".".join(version.split(".")[:2]) if name == "pangeo-hpc" else version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(prefix: str = sys.base_prefix) -> str | None:
    """Return which build of an environment this Python is of, or None."""
    try:
        return (Path(prefix) / DIGEST_FILE).read_text().strip() or None
    except OSError:
        return None
