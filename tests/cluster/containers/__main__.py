"""The test cluster in containers: `python -m tests.cluster.containers up|test|down`."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.containers import base_image, certificates, daemon
from tests.cluster.containers.compose import Compose
from tests.cluster.containers.places import PROJECT
from tests.cluster.errors import ClusterError
from tests.cluster.machine import call, locked

IMAGE = "pangeo-hpc-cluster"
PYTEST = ("python", "-m", "pytest", "tests/cluster", "-p", "no:cacheprovider", "--durations=10")
SELECTION = "not own_daemons and not slow"
"""Deselected inside: tests that start, kill or restart daemons, which only a cluster of their own
lets them do; and those that wait for Slurm's clock, which is the same everywhere."""


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.do(options))
    except ClusterError as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1


def up(_: argparse.Namespace) -> int:
    """Build the image and start the cluster; a second time only what has changed."""
    compose = _started()
    print(compose("ps"))
    print("log in: cd docker && docker compose exec --user alice --workdir /home/alice login bash")
    if compose.env.get("DOCKER_HOST"):
        print(f"with this in your shell: export DOCKER_HOST={compose.env['DOCKER_HOST']}")
    if compose.words == ["docker-compose"]:
        print("and with docker-compose for docker compose")
    return 0


def test(options: argparse.Namespace) -> int:
    """Run the cluster tests in the login container, as its root, who runs commands as users."""
    compose = _started()
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    where = ("exec", "-T", "--workdir", str(PROJECT), "login")
    return compose.show(*where, *PYTEST, "-m", SELECTION, *words)


def down(_: argparse.Namespace) -> int:
    """Remove containers, network and volumes, and end the Docker daemon that `up` started here."""
    with _alone():
        host = daemon.find()
        if host is None:
            print("not up")
        else:
            Compose(_docker(host))("down", "--volumes", "--remove-orphans", "--timeout=5")
        ours = os.geteuid() == 0 and (host is None or daemon.is_ours(host))
        if ours and not daemon.end():
            print(f"left the daemon at {daemon.HOST} alone: it was not started here")
    return 0


def _started() -> Compose:
    with _alone():
        with _stage("docker"):
            host = daemon.ensure()
        env = _docker(host)
        if "BASE_IMAGE" in os.environ:
            env["BASE_IMAGE"] = os.environ["BASE_IMAGE"]
        elif daemon.is_ours(host) and shutil.which("debootstrap"):
            with _stage("base image"):
                env["BASE_IMAGE"] = base_image.ensure({**os.environ, **env})
        certificates.bring()
        compose = Compose(env)
        with _stage("image"):
            compose("build", *_arguments(), "login", timeout=3600)
        compose.env["MEMORY_LIMITS"] = limits = _memory_limits(compose.env)
        with _stage(f"containers, with memory limits by {limits}"):
            _start(compose)
    return compose


def _start(compose: Compose) -> None:
    compose("up", "--detach", "--no-build", "--remove-orphans")
    try:
        compose("exec", "-T", "login", "python3", "-m", "tests.cluster.containers.attached")
    except ClusterError as error:
        error.add_note(compose("ps"))
        error.add_note(compose("logs", "--no-color", "--tail=15"))
        raise


def _memory_limits(env: dict[str, str]) -> str:
    """Return 'cgroup' where a container can limit memory by cgroups (version 1), else 'polling'."""
    argv = ["docker", "run", "--rm", "--cap-add=SYS_ADMIN", "--security-opt=apparmor:unconfined"]
    try:
        call([*argv, "--network=none", IMAGE, "probe"], env=env)
    except ClusterError:
        return "polling"
    return "cgroup"


def _docker(host: str) -> dict[str, str]:
    return {"DOCKER_HOST": host} if host else {}


def _arguments() -> list[str]:
    """Return the build arguments of this machine: its proxies, and the index that pip asks."""
    names = [f"{name}_proxy" for name in ("http", "https", "no")]
    found = {
        name: os.environ[name] for name in [*names, *map(str.upper, names)] if name in os.environ
    }
    if "PIP_INDEX_URL" not in os.environ:
        argv = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        if not done.returncode:
            found["PIP_INDEX_URL"] = done.stdout.strip()
    return [f"--build-arg={name}={value}" for name, value in found.items()]


@contextmanager
def _alone() -> Iterator[None]:
    """Let nobody else start or end a daemon; only root can, so others need not wait."""
    if os.geteuid() != 0:
        yield
        return
    daemon.STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
    with locked(daemon.STATE / "lock"):
        yield


@contextmanager
def _stage(name: str) -> Iterator[None]:
    """Say how long a part took."""
    began = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.containers", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="up|test|down")
    for do in (up, down):
        commands.add_parser(do.__name__, help=do.__doc__).set_defaults(do=do)
    tester = commands.add_parser("test", help=test.__doc__)
    tester.add_argument("words", nargs=argparse.REMAINDER, help="-- and more words for pytest")
    tester.set_defaults(do=test)
    return parser


if __name__ == "__main__":
    sys.exit(main())
