"""What lies in docker/ fits the code that starts it, and the cluster on one machine."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from tests.cluster import config
from tests.cluster.containers import __main__ as command
from tests.cluster.containers import base_image, certificates, daemon, places, role
from tests.cluster.daemons import Process
from tests.cluster.errors import ClusterError

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


def services(name: str) -> dict[str, Any]:
    """Return the services of a compose file."""
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())["services"]
    return found


def test_each_part_has_its_container() -> None:
    """Database, slurmdbd, controller, login node and each node that is up; names are host names."""
    found = services("compose.yaml")
    assert set(found) == {"database", "slurmdbd", "controller", "login", *config.CONTAINERS.up}
    for name, service in found.items():
        assert service["hostname"] == name
        assert service["command"] == ["node" if name in config.CONTAINERS.up else name]
        assert service["command"][0] in role.ROLES
        assert "privileged" not in service
    assert {places.ACCOUNTING.address, places.CONTROLLER.address, places.DATABASE} <= set(found)


def test_home_and_scratch_are_shared_by_those_who_run_jobs() -> None:
    """Login node and nodes mount the same two volumes, the daemons do not."""
    for name, service in services("compose.yaml").items():
        mounts = [
            (mount["source"], mount["target"])
            if isinstance(mount, dict)
            else tuple(mount.split(":"))
            for mount in service["volumes"]
        ]
        shared = {("home", "/home"), ("scratch", "/scratch")} <= set(mounts)
        assert shared == (service["command"][0] in ("node", "login")), name


def test_both_clusters_are_configured_by_the_same_text() -> None:
    """Only names, addresses and paths differ: partitions, limits and plugins do not."""
    here = config.Host("login", "127.0.0.1", 1)
    machine = config.values(
        config.Places(
            state="/x",
            munge_socket="/x/munge",
            cgroup_mount="/x/cgroup",
            controller=here,
            database=here,
            storage_host="localhost",
            nodes=tuple(config.Host(name, "127.0.0.1", 1) for name in config.NODES),
        ),
        config.ONE_MACHINE,
        accounting=True,
        limits="polling",
        swap="no",
    )
    containers = places.values()
    assert set(machine) == set(containers)
    for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
        used = set(Template((config.TEMPLATES / name).read_text()).get_identifiers())
        assert used <= set(containers)
        assert "$" not in config.fill(name, containers)
    text = config.fill("slurm.conf", containers)
    assert "PartitionName=compute Default=YES Nodes=c1,c2,c3\n" in text
    assert "NodeName=c3 NodeHostname=c3 NodeAddr=c3 " in text


def test_the_base_image_is_an_argument() -> None:
    """By default it is Debian's own image, also without make."""
    assert "ARG BASE_IMAGE=debian:12\nFROM ${BASE_IMAGE}\n" in DOCKERFILE
    for service in services("compose.yaml").values():
        assert service["build"]["args"]["BASE_IMAGE"] == "${BASE_IMAGE:-debian:12}"


def test_what_is_copied_is_there_and_in_the_context() -> None:
    """Each COPY names files of the checkout that .dockerignore lets through."""
    passed = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        word for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.M) for word in line.split()[:-1]
    ]
    assert len(copied) > 8
    for word in copied:
        assert (ROOT / word).exists(), word
        assert any(f"{word.rstrip('/')}/".startswith(f"{prefix}/") for prefix in passed), word


def test_the_pbs_cluster_is_not_run_by_ci() -> None:
    """Its first line says so, and no target starts it."""
    assert (DOCKER / "compose.pbs.yaml").read_text().startswith("# Not run by CI: ")
    assert {service["image"] for service in services("compose.pbs.yaml").values()} == {
        "pbspro/pbspro"
    }
    for path in (ROOT / "Makefile", ROOT / ".ci" / "run"):
        assert "pbs" not in path.read_text()


def test_ci_runs_the_cluster_in_containers() -> None:
    """`make test`, which CI runs, tests there and clears away."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^test: .*\bdocker-test docker-down\b", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_certificates_of_the_machine_are_brought(tmp_path: Path) -> None:
    """New and changed ones are copied; what somebody put there stays; git takes none."""
    source, target = tmp_path / "machine", tmp_path / "context"
    (source / "network").mkdir(parents=True)
    target.mkdir()
    (source / "network" / "proxy.crt").write_text("new")
    (source / "readme.txt").write_text("no certificate")
    (target / "proxy.crt").write_text("old")
    (target / "own.crt").write_text("own")
    certificates.bring(source, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "proxy.crt": "new",
        "own.crt": "own",
    }
    certificates.bring(tmp_path / "nowhere", target)
    assert (DOCKER / "ca-certificates" / ".gitignore").read_text().endswith("*\n!.gitignore\n")


def test_a_wrong_role_is_refused() -> None:
    """The message names those there are."""
    with pytest.raises(SystemExit, match="say one of database, slurmdbd, controller, node, login"):
        role.main(["compute"])


def test_without_root_no_daemon_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no Docker answers, others than root are told so."""
    monkeypatch.setattr(daemon, "find", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="no Docker daemon answers, and only root can start one"):
        daemon.ensure()


def test_the_base_image_has_the_mirrors_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's own suites of the release, and nobody else's."""
    rows = [
        "Debian|deb http://mirror.example/debian/ bookworm main",
        "Debian|deb http://mirror.example/debian-security/ bookworm-security main",
        "Debian|deb http://mirror.example/debian/ bookworm contrib",
        "Debian|deb http://mirror.example/debian/ trixie main",
        "Elsewhere|deb http://elsewhere.example/apt/ bookworm main",
    ]
    monkeypatch.setattr(base_image, "call", lambda argv: "\n".join(rows))
    assert base_image.sources() == [row.partition("|")[2] for row in rows[:2]]


@pytest.fixture
def brought_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Process, Callable[[], bool]], list[tuple[str, ...]]]:
    """Return what calls `down` as root, with a recorded daemon, and tells what Compose was asked.

    Only Docker and Compose are stand-ins; the process and its record are real.
    """
    asked: list[tuple[str, ...]] = []

    class Recorder:
        def __init__(self, env: dict[str, str]) -> None:
            assert env == {"DOCKER_HOST": daemon.HOST}

        def __call__(self, *words: str) -> str:
            asked.append(words)
            return ""

    def down(process: Process, answers: Callable[[], bool]) -> list[tuple[str, ...]]:
        daemon.RECORD.write_text(json.dumps(process.as_dict()))
        monkeypatch.setattr(daemon, "_answers", lambda host: host == daemon.HOST and answers())
        assert command.main(["down"]) == 0
        return asked

    monkeypatch.setattr(command, "Compose", Recorder)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for name, place in (("STATE", "."), ("RUN", "run"), ("RECORD", "dockerd.json")):
        monkeypatch.setattr(daemon, name, tmp_path / place)
    return down


OURS = [("down", "--volumes", "--remove-orphans", "--timeout=5")]


def test_down_ends_the_daemon_that_it_started(brought_down: Any) -> None:
    """Containers, network and volumes go first; then the daemon, its record and its sockets."""
    (daemon.RUN / "exec").mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"]) as started:
        running = Process.of(started.pid)
        try:
            assert brought_down(running, lambda: running.alive) == OURS
            assert not running.alive
        finally:
            started.kill()
    assert not daemon.RECORD.exists()
    assert list(daemon.RUN.iterdir()) == []


def test_down_leaves_a_daemon_of_elsewhere_alone(
    brought_down: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pid means another process here, which lives on; what is the project's goes all the same.

    Where the daemon was started its record still ends it.
    """
    (daemon.RUN / "exec").mkdir(parents=True)
    other = Process(os.getpid(), Process.of(os.getpid()).started + 1)
    assert brought_down(other, lambda: True) == OURS
    assert json.loads(daemon.RECORD.read_text()) == other.as_dict()
    assert (daemon.RUN / "exec").exists()
    said = capsys.readouterr()
    assert "was not started here" in said.out
    assert said.err == ""
