"""JupyterLab as a job on the real Slurm: a real HTTP client, and kernels that compute."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.browser import Browser
from tests.cluster.daemons import until
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

MEAN = """\
import numpy as np, socket, xarray as xr
tas = xr.DataArray(np.arange(24.0).reshape(12, 2), dims=("time", "lat"), name="tas")
print(socket.gethostname(), float(tas.mean("time").sum()))
"""


@pytest.fixture(autouse=True)
def no_lab_is_left(cli: CommandLine) -> Iterator[None]:
    yield
    for row in cli.json("lab", "list")["labs"]:
        cli("lab", "stop", row["lab"])


def queued(user: ClusterUser) -> list[str]:
    """Return the names of a user's jobs in Slurm's queue."""
    return user.run(["squeue", "--noheader", "--me", "--format=%j"]).stdout.split()


def row(cli: CommandLine, name: str = "lab") -> dict[str, Any]:
    labs = {each["lab"]: each for each in cli.json("lab", "list")["labs"]}
    found: dict[str, Any] = labs[name]
    return found


def tunnelled(cli: CommandLine, url: str) -> Browser:
    """Return a browser at the far end of the printed ssh line: what it brings here is there."""
    return Browser(url.replace("//localhost:", f"//{row(cli)['address']}:"))


def begin(cli: CommandLine, *words: str) -> "subprocess.Popen[str]":
    """Type `lab start` in a shell of its own, and do not wait for it.

    A terminal ends it with SIGHUP, also where those who run the tests ignore that.
    """
    argv = ["env", "--default-signal", "pangeo-hpc", "lab", "start", *words]
    return cli.user.popen(argv, cwd=cli.here, env={"PANGEO_HPC_SITE": str(cli.site)})


def lines_until(starting: "subprocess.Popen[str]", words: str) -> str:
    """Return what a `lab start` says, up to the line that has these words."""
    assert starting.stderr is not None
    said = ""
    while words not in said:
        line = starting.stderr.readline()
        assert line, said
        said += line
    return said


def test_a_lab(cli: CommandLine, alice: ClusterUser, bob: ClusterUser) -> None:
    """Two lines to copy; a browser gets in with the token only; a kernel on the node computes."""
    done = cli("lab", "start", "--cores", "2")
    ssh, url = done.stdout.splitlines()
    port = Browser(url).place.partition(":")[2]
    assert re.fullmatch(rf"ssh -N -L {port}:c\d:{port} alice@localhost", ssh)
    assert 30000 <= int(port) <= 30999
    browser = tunnelled(cli, url)
    assert browser.ask("/api/status")["connections"] == 0
    assert browser.ask("/api/status", token="wrong") == 403
    assert Browser(f"http://{browser.place}/lab").ask("/api/contents") == 403
    assert browser.compute("print(sum(range(10)))") == "45\n"
    node = row(cli)["node"]
    assert browser.compute(MEAN) == f"{node} 23.0\n"
    scratch = browser.compute("import os; print(os.environ['PANGEO_SCRATCH'])")
    assert scratch == f"{alice.scratch}\n"
    # as a browser does
    page_of = f"http://{browser.place}/?token={browser.token}"
    with urllib.request.urlopen(page_of, timeout=30) as page:
        assert b"JupyterLab" in page.read()
    # what is not there is logged, with the address that was asked for
    nothing = page_of.replace("/?", "/api/contents/nothing?")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(nothing, timeout=30)
    nobody_is_told(cli, bob, browser.token)
    job = row(cli)["job"]
    cli("lab", "stop")
    assert queued(alice) == []
    # the end of a job is known there a moment later
    asking = ["sacct", "-nXP", "-j", job, "-o", "State"]
    until(lambda: alice.run(asking).stdout.startswith("CANCELLED"))
    with pytest.raises(OSError, match="refused"):
        browser.ask("/api/status")
    assert list(alice.shared.rglob("token-*")) == []


def nobody_is_told(cli: CommandLine, bob: ClusterUser, token: str) -> None:
    """Look for the token wherever other users, or readers of a log, could find it."""
    told = row(cli)
    job = told["job"]
    for words in (
        ["squeue", "--noheader", "--format=%all"],
        ["squeue", "--json"],
        ["scontrol", "show", "job", "--details", job],
        ["scontrol", "write", "batch_script", job, "-"],
        ["sacct", "--jobs", job, "--format=All"],
        ["ps", "-e", "-o", "args", "-ww"],
    ):
        for user in (cli.user, bob):
            done = user.run(words, check=False)
            assert token not in done.stdout + done.stderr, words
    for process in psutil.process_iter():
        try:
            assert token not in str(process.cmdline())
            assert token not in str(process.environ())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    log = Path(told["output"])
    assert "the server listens at" in log.read_text()
    assert "GET /api/contents/nothing?token=[secret]" in log.read_text()
    assert token not in log.read_text()
    assert token not in (log.parent / "job.sh").read_text()
    for path in (log, log.parent, next(log.parent.glob("token-*")), log.parent / "server.json"):
        looked = bob.run(["ls", "-l", str(path)], check=False)
        read = bob.run(["cat", str(path)], check=False)
        assert "Permission denied" in looked.stderr and "Permission denied" in read.stderr
    # without the token the port is open to nobody, whoever asks
    asked = bob.run(
        ["python", "-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1])",
         f"http://{told['address']}:{told['port']}/api/contents"], check=False,
    )  # fmt: skip
    assert "HTTP Error 403" in asked.stderr


def test_found_again(cli: CommandLine, alice: ClusterUser) -> None:
    """The same name is the same lab, whoever started it; something else is refused."""
    first = cli.json("lab", "start")
    again = cli("lab", "start")
    assert again.stdout.splitlines() == [first["ssh"], first["url"]]
    refused = cli("lab", "start", "--cores", "4", code=2)
    assert "cores 2 instead of 4" in refused.stderr and "lab stop" in refused.stderr
    second = cli.json("lab", "start", "--name", "second", "--cores", "1")
    assert second["port"] != first["port"]
    assert {name.rpartition("-")[0] for name in queued(alice)} == {"lab", "second"}
    listed = {each["lab"]: each for each in cli.json("lab", "list")["labs"]}
    assert [listed[name]["state"] for name in ("lab", "second")] == ["running"] * 2
    assert "token" not in listed["lab"]["url"]
    assert 0 < listed["lab"]["left"] <= 600


def test_two_starts_at_once_are_one_job(cli: CommandLine, alice: ClusterUser) -> None:
    """Both wait for the same lab, and both print the same lines."""
    both = [begin(cli, "--cores", "1") for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0] != ""
    assert len(queued(alice)) == 1


def test_it_survives_the_shell(cli: CommandLine, alice: ClusterUser) -> None:
    """Closed while the job waits, the shell takes nothing with it; the next one goes on."""
    shell = begin(cli, "--option", "begin=now+600")
    until(lambda: queued(alice))
    job = row(cli)["job"]
    os.killpg(shell.pid, signal.SIGHUP)
    assert shell.wait(60) == -signal.SIGHUP
    shell.communicate()
    again = begin(cli)
    assert f"there already, as job {job}" in lines_until(again, "pending (BeginTime)")
    alice.run(["scontrol", "update", f"jobid={job}", "starttime=now"])
    lines, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert tunnelled(cli, lines.split()[-1]).compute("print(6 * 7)") == "42\n"


def test_an_interrupted_wait(cli: CommandLine, alice: ClusterUser) -> None:
    """Ctrl-C ends the waiting, not the job, and says how to go on."""
    shell = begin(cli, "--option", "begin=now+600")
    lines_until(shell, "pending (BeginTime)")
    shell.send_signal(signal.SIGINT)
    _, said = shell.communicate(timeout=60)
    assert shell.returncode == 130
    assert "the job goes on; pangeo-hpc lab start waits for it again" in said
    assert row(cli)["reason"] == "BeginTime"
    cli("lab", "stop")
    assert queued(alice) == []


def test_no_wait(cli: CommandLine) -> None:
    """It returns at once; `lab list` has the queue's reason, and the address later."""
    cli("lab", "start", "--name", "down", "--node-type", "down", "--no-wait")
    until(lambda: row(cli, "down")["reason"])
    assert row(cli, "down")["state"] == "pending"
    assert "lab second" not in cli("lab", "start", "--no-wait").stdout
    until(lambda: row(cli)["url"])
    assert "/lab?token=" in cli("lab", "list", "--token").stdout


def test_the_dry_run(cli: CommandLine, alice: ClusterUser) -> None:
    """The job script, and nothing else."""
    script = cli("lab", "start", "--dry-run", "--cores", "3").stdout
    assert "#SBATCH --cpus-per-task=3" in script
    assert "pangeo_hpc.lab.job" in script
    assert queued(alice) == []
    assert cli.json("lab", "list")["labs"] == []


@pytest.mark.own_daemons  # it looks at the node from here
def test_without_an_interface(cli: CommandLine) -> None:
    """A node type that names none gets the node's side of the network, not all addresses."""
    told = cli.json("lab", "start", "--node-type", "short")
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == told["port"]
    }
    assert listening == {told["address"]}
    outward = any(
        entry.family.name == "AF_INET" and not entry.address.startswith("127.")
        for entries in psutil.net_if_addrs().values()
        for entry in entries
    )
    assert told["address"].startswith("127.") != outward


LISTENER = """\
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    while True:
        peer, _ = listening.accept()
        with peer:
            print(repr(peer.recv(65536)), flush=True)
            peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
"""


@pytest.mark.own_daemons  # it looks at the node from here
def test_a_neighbour_with_our_port_gets_nothing(
    cli: CommandLine, alice: ClusterUser, bob: ClusterUser
) -> None:
    """Who answers there without our proof is told a nonce, and the user is warned."""
    told = cli.json("lab", "start")
    token = Browser(told["url"]).token
    neighbour = bob.popen(["python", "-c", LISTENER])
    assert neighbour.stdout is not None
    port = neighbour.stdout.readline().strip()
    record = Path(told["output"]).parent / "server.json"
    kept = record.read_text()
    try:
        record.write_text(json.dumps({**json.loads(kept), "port": int(port)}))
        done = cli("lab", "start", code=1)
    finally:
        record.write_text(kept)
        os.killpg(neighbour.pid, signal.SIGTERM)
        heard, _ = neighbour.communicate(timeout=60)
    assert f"127.0.0.1:{port} is answered by somebody else's program" in done.stderr
    assert done.stdout == ""
    assert "GET /pangeo-hpc/proof?nonce=" in heard
    assert token not in heard
    assert cli("lab", "start").stdout.splitlines()[-1] == told["url"]


def fake_server(cli: CommandLine, name: str, text: str) -> str:
    """Put a module that is called like Jupyter's server where the job finds it first."""
    folder = cli.here / name
    (folder / "jupyter_server").mkdir(parents=True)
    (folder / "jupyter_server" / "__init__.py").write_text(text)
    for path in (folder, folder / "jupyter_server"):
        os.chown(path, cli.user.uid, cli.user.gid)
    return str(folder)


def test_one_that_cannot_start_is_named(cli: CommandLine, alice: ClusterUser) -> None:
    """Exit code 1, the reason, the last lines of the log; no secret is left."""
    path = fake_server(cli, "broken", "raise ImportError('no libffi on this node')\n")
    done = cli("lab", "start", code=1, PYTHONPATH=path)
    assert "cannot run JupyterLab: no libffi on this node" in done.stderr
    assert done.stdout == "lab lab: failed, exit code 1\n"
    assert "output.log" in done.stderr
    assert list(alice.shared.rglob("token-*")) == []


@pytest.mark.slow
def test_the_walltime_is_named(cli: CommandLine) -> None:
    """One whose walltime is over before it was ready says so."""
    path = fake_server(cli, "slow", "import time\ntime.sleep(600)\n")
    done = cli("lab", "start", "--node-type", "short", code=1, PYTHONPATH=path)
    assert done.stdout.startswith("lab lab: timeout, it had 00:01:00")
    assert row(cli)["state"] == "timeout"


MODULE = """\
#%Module
setenv NETCDF_DIR /opt/netcdf/4.9
"""


@pytest.mark.own_daemons  # it looks at the node from here
def test_environments_are_kernels(cli: CommandLine, cluster: SlurmCluster, venv: Path) -> None:
    """Each that works on the node is offered, with its modules; the others are told, with why."""
    modules = cluster.directory / "lab-modules"
    (modules / "netcdf").mkdir(parents=True, exist_ok=True)
    (modules / "netcdf" / "4.9").write_text(MODULE)
    bare = cluster.directory / "lab-bare"
    subprocess.run(
        ["/usr/bin/python3", "-m", "venv", "--without-pip", str(bare)], check=True, timeout=300
    )
    text = cli.site.read_text().replace(
        "    queue: compute\n", f'    queue: compute\n    setup: ["module use {modules}"]\n'
    )
    text += f"""\
environments:
  plain: {{prefix: {venv}}}
  science: {{prefix: {venv}, modules: [netcdf/4.9], description: Xarray and Dask, default: true}}
  nomodule: {{prefix: {venv}, modules: [netcdf/99]}}
  bare: {{prefix: {bare}}}
  gone: {{prefix: /nowhere/at/all}}
"""
    path = cluster.directory / "lab-environments.yaml"
    path.write_text(text)
    path.chmod(0o644)
    words = ("--site", str(path), "lab", "start")
    done = cli(*words)
    for name, reason in (
        ("nomodule", "netcdf/99"),
        ("bare", "No module named 'ipykernel'"),
        ("gone", "/nowhere/at/all/bin/python is not there on c"),
    ):
        assert re.search(f"environment {name} is no kernel there: .*{reason}", done.stderr)
    browser = tunnelled(cli, done.stdout.split()[-1])
    assert browser.kernels() == {
        "science": "science: Xarray and Dask", "plain": "plain", "python3": "Python 3 (science)"
    }  # fmt: skip
    assert browser.ask("/api/kernelspecs")["default"] == "science"
    code = "import os, sys; print(sys.prefix, os.environ.get('NETCDF_DIR'))"
    assert browser.compute(code) == f"{venv} /opt/netcdf/4.9\n"
    assert browser.compute(code, "python3") == f"{venv} /opt/netcdf/4.9\n"
    assert browser.compute(code, "plain") == f"{venv} None\n"
    cli("--site", str(path), "lab", "stop")


def test_nodes_that_see_little(hard_cli: CommandLine) -> None:
    """The same where nodes have no /home and no commands of Slurm, and nobody keeps accounts."""
    told = hard_cli.json("lab", "start")
    assert Browser(told["url"]).compute("print(sum(range(10)))") == "45\n"
    hard_cli("lab", "stop")
    assert queued(hard_cli.user) == []
