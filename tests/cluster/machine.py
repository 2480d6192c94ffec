"""Prepare this machine for the test cluster: Unix users, node names, a virtual environment."""

import fcntl
import hashlib
import json
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.errors import ClusterError

PYTHON = Path("/usr/bin/python3")
VENV = Path(os.environ.get("PANGEO_HPC_TEST_VENV", "/opt/pangeo-hpc-test/venv"))
USERS = ("alice", "bob")
INSTALL = Path(__file__).with_name("install.sh")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "pangeo_hpc", "site-configs", "conda-envs")
NOISE = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def ensure_packages() -> None:
    """Install Slurm and what it needs from Debian; nothing happens when all is there."""
    call([str(INSTALL)], timeout=1200)


def ensure_users(names: Sequence[str] = USERS) -> None:
    """Create the Unix users that are missing, each with a private home and bash."""
    for name in names:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            call(["useradd", "--create-home", "--user-group", "--shell=/bin/bash", name])
            user = pwd.getpwnam(name)
        home = Path(user.pw_dir)
        home.mkdir(mode=0o700, exist_ok=True)
        os.chown(home, user.pw_uid, user.pw_gid)
        home.chmod(0o700)


def ensure_hosts(names: Iterable[str]) -> None:
    """Make the node names resolve to this machine, as they do on a cluster.

    The lines are appended in place: in a container /etc/hosts is often a mount and cannot be
    replaced.
    """
    hosts = Path("/etc/hosts")
    text = hosts.read_text() if hosts.exists() else ""
    words = {word for line in text.splitlines() for word in line.partition("#")[0].split()[1:]}
    missing = [name for name in names if name not in words]
    if missing:
        end = "" if not text or text.endswith("\n") else "\n"
        with hosts.open("a") as file:
            file.write(f"{end}127.0.0.1 {' '.join(missing)} # pangeo-hpc test cluster\n")


def ensure_venv(project_root: Path, venv: Path = VENV) -> Path:
    """Return a world-readable virtual environment with this project's wheel installed.

    Everything is installed when the dependencies changed, only the wheel when only sources did,
    and nothing when neither did.
    """
    base = venv.parent
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o755)
    with locked(base / "venv.lock"):
        record = base / "venv.json"
        wanted = digests(project_root)
        have = recorded(record)
        if have == wanted and venv.is_dir():
            return venv
        fresh = have.get("dependencies") != wanted["dependencies"] or not venv.is_dir()
        record.unlink(missing_ok=True)
        if not (venv / "bin" / "hatchling").exists():
            call([str(PYTHON), "-m", "venv", "--clear", str(venv)], timeout=120)
            _pip(venv, "install", "hatchling>=1.24")
        with tempfile.TemporaryDirectory(prefix="pangeo-hpc-wheel-") as work:
            wheel = _build(project_root, venv, Path(work))
            if fresh:
                _pip(venv, "install", f"pangeo-hpc[all,dev] @ {wheel.as_uri()}")
            # pip takes a wheel of the version that is there already as installed
            _pip(venv, "install", "--no-deps", "--force-reinstall", str(wheel))
        record.write_text(json.dumps(wanted))
    return venv


def recorded(record: Path) -> dict[str, str]:
    """Return the digests of what is installed; empty where nothing is."""
    found: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    return found


def digests(project_root: Path) -> dict[str, str]:
    """Return one digest of what must be installed and one of the project's own files."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    needs = {
        "python": os.path.realpath(PYTHON),
        "dependencies": project.get("dependencies", []),
        "optional": project.get("optional-dependencies", {}),
    }
    sources = hashlib.sha256()
    for path in _files(project_root):
        sources.update(f"{path.relative_to(project_root)}\0{path.stat().st_size}\0".encode())
        sources.update(path.read_bytes())
    text = json.dumps(needs, sort_keys=True).encode()
    return {"dependencies": hashlib.sha256(text).hexdigest(), "sources": sources.hexdigest()}


def call(
    argv: Sequence[str],
    *,
    timeout: float = 60,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a command and return its output; raise ClusterError with its last words."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=env,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{argv[0]} is not installed; run {INSTALL}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no answer within {timeout:g} s from: {' '.join(argv)}") from error
    if done.returncode:
        words = done.stdout[-4000:]
        raise ClusterError(f"exit code {done.returncode} from: {' '.join(argv)}\n{words}")
    return done.stdout


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, so that two test runs do not build at once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _files(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        top = root / name
        found = [top] if top.is_file() else sorted(top.rglob("*"))
        for path in found:
            if path.is_file() and not set(path.parts) & set(NOISE):
                yield path


def _build(root: Path, venv: Path, work: Path) -> Path:
    """Build the wheel from a copy, so that the checkout stays clean."""
    copy = work / "source"
    for name in SOURCES:
        if (root / name).is_dir():
            (copy / name).mkdir(parents=True)
    for path in _files(root):
        target = copy / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _pip(venv, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={work}", str(copy))
    [wheel] = [path for path in work.iterdir() if re.fullmatch(r".*\.whl", path.name)]
    return wheel


def _pip(venv: Path, *words: str) -> None:
    python = str(venv / "bin" / "python")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    call([python, "-m", "pip", *words, *quiet], timeout=1200, env=env)


if __name__ == "__main__":
    ensure_users()
    ensure_venv(Path(sys.argv[1]))


def free_ports(among: range, number: int, taken: Collection[int] = ()) -> list[int]:
    """Return ports that were free a moment ago and are not taken by somebody who is not there."""
    found: list[int] = []
    for port in random.sample(among, len(among)):
        with socket.socket() as trial:
            try:
                trial.bind(("", port))
            except OSError:
                continue
        if port not in taken:
            found.append(port)
        if len(found) == number:
            return found
    raise ClusterError(f"no free ports in {among}")
