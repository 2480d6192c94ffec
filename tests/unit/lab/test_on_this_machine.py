"""The whole way on this machine: a lab in the local queue, a browser, a kernel that computes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.browser import Browser

pytestmark = pytest.mark.slow

# What careless users keep in their home; it must not open their lab to everybody.
CARELESS = """\
c.IdentityProvider.token = ""
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.port = 8888
"""


class Laptop:
    """`pangeo-hpc` on a machine without any batch system."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / ".local" / "state" / "pangeo-hpc"
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(home),
            "PANGEO_LOCALQUEUE_IDLE": "1",
        }

    def __call__(self, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "pangeo_hpc", "--site", "local", "lab", *words],
            capture_output=True, text=True, timeout=100, env=self.environ, cwd=self.home,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr.replace("| Traceback", "")
        return done

    def json(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(*words, "--json").stdout)
        return found

    def ours(self) -> list[psutil.Process]:
        """Return the processes that this laptop's user left behind."""
        mark = str(self.home)
        return [p for p in psutil.process_iter(["cmdline"]) if mark in str(p.info["cmdline"])]


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    for process in made.ours():
        process.send_signal(signal.SIGTERM)
    psutil.wait_procs(made.ours(), timeout=20)


def test_a_lab(laptop: Laptop) -> None:
    """Started, opened, computed in, found again, listed, and stopped without a trace."""
    (laptop.home / ".jupyter").mkdir()
    (laptop.home / ".jupyter" / "jupyter_server_config.py").write_text(CARELESS)
    # a neighbour of the notebooks that is called like a module of the server
    (laptop.home / "tornado.py").write_text("raise SystemExit('the wrong one')\n")
    told = laptop.json("start")
    assert (told["state"], told["ssh"], told["address"]) == ("running", None, "127.0.0.1")
    browser = Browser(told["url"])
    assert 30000 <= told["port"] <= 30999
    assert browser.ask("/api/status")["kernels"] == 0
    assert browser.ask("/api/status", token="wrong") == 403
    assert Browser(f"http://{browser.place}/lab").ask("/api/contents") == 403
    assert browser.kernels() == {"python3": "Python 3 (current)"}
    assert browser.compute("print(sum(range(10)))") == "45\n"
    where = "import os; print(os.environ['PANGEO_SCRATCH'], 'JUPYTER_TOKEN_FILE' in os.environ)"
    assert browser.compute(where) == f"{laptop.home}/pangeo-scratch False\n"
    left = browser.ask("/pangeo-hpc/time-left")
    assert 24 * 3600 - 120 < left["ends"] - left["now"] < 24 * 3600
    assert browser.ask("/pangeo-hpc/time-left", token="wrong") == 403
    shown = browser.ask("/lab/extensions/@pangeo-hpc/time-left/package.json")
    assert shown["name"] == "@pangeo-hpc/time-left"
    link = "from dask import config; print(config.get('distributed.dashboard.link'))"
    assert browser.compute(f"import distributed; {link}") == "/proxy/{port}/status\n"
    tells_no_token(laptop, browser.token)
    again = laptop("start")
    assert again.stdout == f"{told['url']}\n"
    assert "there already, as job 1" in again.stderr
    assert browser.token not in again.stderr
    (row,) = laptop.json("list")["labs"]
    assert (row["url"], row["job"]) == (told["url"].partition("?")[0], "1")
    assert browser.token in laptop("list", "--token").stdout
    laptop("stop")
    assert laptop.json("list")["labs"] == []
    assert not any("lab.job" in str(process.info["cmdline"]) for process in laptop.ours())
    assert [path for path in laptop.state.rglob("*") if "token" in path.name] == []
    with pytest.raises(OSError, match="refused"):
        browser.ask("/api/status")


def tells_no_token(laptop: Laptop, token: str) -> None:
    """Look for a token wherever others, or a log's readers, could see it."""
    for process in psutil.process_iter():
        try:
            assert token not in " ".join(process.cmdline())
            assert token not in str(process.environ())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    holders = [
        path
        for path in laptop.state.rglob("*")
        if path.is_file() and token.encode() in path.read_bytes()
    ]
    assert {path.name.partition("-")[0] for path in holders} == {"token", "jpserver"}
    assert {path.parent.stat().st_mode & 0o777 for path in holders} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def test_one_that_cannot_start(laptop: Laptop) -> None:
    """Exit code 1, the reason, the last lines of its log, and where the log is."""
    broken = laptop.home / "broken" / "jupyter_server"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libffi.so.8 is not there')\n")
    laptop.environ["PYTHONPATH"] = str(broken.parent)
    done = laptop("start", code=1)
    assert "cannot run JupyterLab: libffi.so.8 is not there" in done.stderr
    assert done.stdout == "lab lab: failed, exit code 1\n"
    assert "output.log" in done.stderr
    assert list(laptop.state.rglob("token-*")) == []
    (row,) = laptop.json("list")["labs"]
    assert (row["state"], row["url"]) == ("failed", None)
    laptop("stop")
    assert laptop.json("list")["labs"] == []


def test_a_server_that_is_killed(laptop: Laptop) -> None:
    """Its token is useless then, and is removed by whoever looks next."""
    first = laptop.json("start")
    for process in laptop.ours():
        if "pangeo_hpc.lab.job" in (process.info["cmdline"] or []):
            process.kill()
    deadline = time.monotonic() + 60
    while (row := laptop.json("list")["labs"][0])["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert (row["state"], row["url"]) == ("failed", None)
    assert list(laptop.state.rglob("token-*")) == list(laptop.state.rglob("server.json")) == []
    second = laptop.json("start")
    assert second["job"] != first["job"]
    assert second["url"].partition("token=")[2] != first["url"].partition("token=")[2]
    laptop("stop")
