"""What users of the hub can take from it, from one another, and from a node they share: nothing."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from pangeo_hpc.hub.spawner import SiteSpawner
from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import ACCOUNT, Browser, HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

OAUTH = "oauth-client-secret-0123456789"


class SecretiveHub(HubRunner):
    """A hub with one secret more in its environment, as with an OAuth authenticator."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "OAUTH_CLIENT_SECRET": OAUTH}

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what the hub remembers of each server, by `user/server`."""
        with sqlite3.connect(
            f"file:{self.state}/jupyterhub.sqlite?mode=ro", uri=True, timeout=60
        ) as database:
            rows = database.execute(
                "select users.name, spawners.name, spawners.state from spawners "
                "join users on users.id = spawners.user_id"
            ).fetchall()
        database.close()
        return {
            f"{user}/{server}": json.loads(state or "{}").get("server") or {}
            for user, server, state in rows
        }

    def secrets(self) -> dict[str, str]:
        """Return every secret of the hub itself."""
        cookie = (self.state / "cookie_secret").read_text().strip()
        names = ("CONFIGPROXY_AUTH_TOKEN", "JUPYTERHUB_CRYPT_KEY", "OAUTH_CLIENT_SECRET")
        return {"cookie": cookie, **{name: self.environment()[name] for name in names}}


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[SecretiveHub]:
    """Return a running hub that serves alice and bob."""
    ensure_hub_machine()
    with SecretiveHub(cluster, extra_config="c.SiteSpawner.end_grace = 5\n") as runner:
        yield runner


@pytest.fixture(scope="module")
def folder(cluster: SlurmCluster) -> Path:
    """Return where alice's servers are kept."""
    return cluster.directory / "shared" / "alice" / "state" / "hub"


def spawn(browser: Browser, user: str, server: str = "", **options: str) -> None:
    """Ask for a small server."""
    plain = {"node_type": "compute", "cores": "1", "memory": "1 GiB"}
    assert browser.spawn(user, server, {**plain, **options}) in (201, 202), browser.said


def is_ready(browser: Browser, user: str, server: str = "") -> bool:
    found = browser.server(user, server)
    return bool(found and found["ready"])


def served(hub: HubRunner, browser: Browser) -> None:
    """Start alice's server, if there is none."""
    if not is_ready(browser, "alice"):
        hub.begin_anew("alice")
        spawn(browser, "alice")
    assert wait_until(lambda: is_ready(browser, "alice"), 180, every=0.3), tail(hub.log, 60)


def told(hub: SecretiveHub, cluster: SlurmCluster, user: str, server: str = "") -> dict[str, str]:
    """Return what a pending server of a user's will be told: the secrets of its file."""
    home = cluster.directory / "shared" / user / "state" / "hub"
    assert wait_until(lambda: hub.states().get(f"{user}/{server}", {}).get("job"), 120)
    name = hub.states()[f"{user}/{server}"]["name"]
    [file] = (home / name / "private").iterdir()
    assert file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0
    found: dict[str, str] = json.loads(file.read_text())
    return found


def report(
    hub: SecretiveHub, body: Any, token: str | None = None, jar: Browser | None = None
) -> int:
    """Return what the hub's handler of ports answers."""
    url = f"http://127.0.0.1:{hub.ports['public']}/hub/api/pangeo-hpc/port"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"token {token}"} if token else {}
    if jar is not None:
        headers["X-XSRFToken"] = jar.xsrf()
    request = urllib.request.Request(url, data=data, headers=headers)
    opener = jar.opener if jar else urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def wrong_bodies(port: int) -> list[Any]:
    """Return everything that is not one port, every trait of the spawner among it."""
    ports = [True, False, None, float(port), f"{port}", "", -port, 0, 80, 1023, 65536, 10**40]
    ports += [[port], {"port": port}, [[[]]]]
    bodies: list[Any] = [{"port": each} for each in ports]
    bodies += [b"", b"x", b"\xff", b"[" * 100, b"{" * 100, [port], port, None, {}, "port"]
    names = set(SiteSpawner.class_trait_names()) | set(SiteSpawner.__dict__) | {"server_state"}
    for name in sorted(names - {"port"}):
        bodies += [{name: port}, {"port": port, name: ["/bin/sh"]}]
    return bodies


def test_only_a_port_is_taken(hub: SecretiveHub, cluster: SlurmCluster) -> None:
    """One integer in range, with the token of a server that waits for it, and nothing else."""
    hub.begin_anew("alice", "bob")
    alice, bob = hub.client("alice"), hub.client("bob")
    far = {"option.begin": "now+3600"}
    spawn(alice, "alice", "waits", **far)
    spawn(bob, "bob", "waits", **far)
    token = told(hub, cluster, "alice", "waits")["JUPYTERHUB_API_TOKEN"]
    others = told(hub, cluster, "bob", "waits")["JUPYTERHUB_API_TOKEN"]
    first = hub.ports["public"] % 20000 + 30000
    before = hub.states()
    wrong = wrong_bodies(first)
    assert len(wrong) > 150
    answers = {str(body)[:80]: report(hub, body, token) for body in wrong}
    assert set(answers.values()) == {400}, {k: v for k, v in answers.items() if v != 400}
    outside = [report(hub, {"port": port}, token) for port in (first - 1, first + 100, 22222)]
    assert outside == [400] * 3
    good = {"port": first}
    mine = alice.json("/hub/api/users/alice/tokens", body={"note": "mine"})["token"]
    assert report(hub, good) == 403
    assert report(hub, good, "no-such-token") == 403
    assert report(hub, good, jar=alice) == 403
    assert report(hub, good, mine) == 409
    assert hub.states() == before
    # bob's token is for bob's server alone
    assert report(hub, good, others) == 200
    assert hub.states()["alice/waits"] == before["alice/waits"]
    # once is enough; again is the same, and another one is none
    assert report(hub, good, token) == 200
    assert report(hub, good, token) == 200
    assert report(hub, {"port": first + 1}, token) == 409
    assert hub.states()["alice/waits"] == {**before["alice/waits"], "port": first}
    for browser, user in ((alice, "alice"), (bob, "bob")):
        assert browser.stop(user, "waits") in (202, 204)
    gone = wait_until(lambda: report(hub, good, token) in (403, 409), 120)
    assert gone


@dataclass
class Watch:
    """Looks at every process of a user on one cluster while something happens.

    Other clusters may be tested at the same time, with the same users.
    """

    uid: int
    directory: Path
    seen: dict[tuple[int, float], tuple[str, str]] = field(default_factory=dict)

    def __enter__(self) -> "Watch":
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.005):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    self._read(Path(entry.path))

    def _read(self, process: Path) -> None:
        try:
            mine = process.stat().st_uid == self.uid
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if not mine and f"{self.directory}/pangeo-hpc-hub-job" not in words:
                return
            environment = (process / "environ").read_bytes().decode(errors="replace")
            started = float((process / "stat").read_text().rpartition(")")[2].split()[19])
        except OSError:
            return
        if str(self.directory) not in words + environment:
            return
        # one process has several programs in turn
        self.seen[int(process.name), started + hash(words) % 1000 / 1000] = (words, environment)


def test_no_secret_is_where_others_look(
    hub: SecretiveHub, cluster: SlurmCluster, alice: ClusterUser, folder: Path
) -> None:
    """No process of alice's, nor the program that acts as her, has a secret of the hub's.

    Her server's token is in no argv, no queue, no script, no spool and no log.
    """
    hub.begin_anew("alice")
    browser = hub.client("alice")
    with Watch(alice.uid, cluster.directory) as watch:
        spawn(browser, "alice", **{"option.begin": "now+40"})
        secrets = told(hub, cluster, "alice")
        job = hub.states()["alice/"]["job"]
        queued = cluster.admin(["squeue", "-h", "-o", "%all"])
        queued += cluster.admin(["scontrol", "show", "job", "-dd", job])
        # whoever reports a port listens there already
        assert wait_until(lambda: hub.states()["alice/"]["port"], 240, every=0.05)
        state = hub.states()["alice/"]
        with socket.create_connection(("127.0.0.1", state["port"]), 5):
            pass
        assert wait_until(lambda: is_ready(browser, "alice"), 180, every=0.3), tail(hub.log, 60)
        queued += cluster.admin(["scontrol", "show", "job", "-dd", job])
        queued += cluster.admin(["sacct", "-P", "-j", job, "--format=ALL"])
        assert browser.open("/user/alice/lab")[0] == 200
    words = [words for words, _ in watch.seen.values()]
    for program in (f"-I {hub.program}", f"pangeo_hpc.hub.singleuser {folder}"):
        assert any(program in each for each in words), (program, words)
    token = secrets["JUPYTERHUB_API_TOKEN"]
    ours = {**hub.secrets(), "hub's account": f"/var/lib/{ACCOUNT}"}
    for name, secret in ours.items():
        for each, environment in watch.seen.values():
            as_sudo = each.startswith("/usr/bin/sudo")
            assert as_sudo or secret not in environment, (name, each)
            assert secret not in each, (name, each)
    sudo = [env for each, env in watch.seen.values() if each.startswith("/usr/bin/sudo")]
    assert not any(secret in env for env in sudo for secret in hub.secrets().values())
    values = {name: value for name, value in secrets.items() if "TOKEN" in name}
    assert token in values.values()
    for each, environment in watch.seen.values():
        assert not any(value in each for value in values.values()), each
        if "sbatch" in each or str(hub.program) in each:
            assert token not in environment
    assert token not in queued and job in queued
    assert list(files_with(cluster.directory, token)) == []
    assert list(files_with(hub.state, token)) == []
    for name, secret in hub.secrets().items():
        assert list(files_with(cluster.directory, secret)) == [], name
    log = hub.log.read_text(errors="replace")
    assert "DEBUG" in log or "[D " in log
    cookies = [cookie.value or "" for cookie in browser.jar]
    assert not any(value in log for value in cookies if len(value) > 40)
    # and after it is ready, its port is nobody's to change
    for port in (state["port"], state["port"] + 1):
        assert report(hub, {"port": port}, token) in (400, 409)
    assert hub.states()["alice/"]["port"] == state["port"]


def files_with(top: Path, secret: str) -> Iterator[Path]:
    """Yield every file below a directory that holds a secret."""
    for here, _, names in os.walk(top):
        for name in names:
            path = Path(here) / name
            try:
                if path.is_file() and secret.encode() in path.read_bytes():
                    yield path
            except OSError:
                continue


def test_bob_gets_nothing_of_alices(
    hub: SecretiveHub, cluster: SlurmCluster, bob: ClusterUser
) -> None:
    """Another user neither reaches a server, by the proxy or at its node, nor can cancel it."""
    alice, other = hub.client("alice"), hub.client("bob")
    served(hub, alice)
    state = hub.states()["alice/"]
    for path in ("/user/alice/", "/user/alice/lab", "/user/alice/api/contents"):
        status, page = other.open(path)
        assert status in (403, 404), (path, status)
        assert "jupyter-config-data" not in page
    for path in ("", "api/contents", "lab", "api/terminals"):
        direct = Browser(f"http://127.0.0.1:{state['port']}")
        try:
            status, page = direct.open(f"/user/alice/{path}", timeout=10)
        except OSError:
            continue
        assert "/hub/login" in direct.where or status == 403, (path, status, direct.where)
    assert other.stop("alice") in (403, 404)
    assert other.open("/hub/api/users/alice")[0] in (403, 404)
    assert bob.run(["scancel", state["job"]], check=False).returncode != 0
    order = {"format": 1, "user": "bob", "jobs": [state["job"]]}
    done = HubAccount(hub).sudo("bob", "cancel", order)
    assert "not the job of a server of bob's" in done["error"]["text"]
    assert is_ready(alice, "alice")
    assert cluster.admin(["squeue", "-h", "-j", state["job"], "-o", "%T"]).strip() == "RUNNING"


class HubAccount:
    """What the hub's account can start by its sudo rule."""

    def __init__(self, hub: SecretiveHub) -> None:
        self.hub = hub

    def sudo(self, user: str, verb: str, order: dict[str, Any]) -> dict[str, Any]:
        done = subprocess.run(
            ["runuser", "-u", ACCOUNT, "--", "sudo", "-n", "-u", user, "--",
             str(self.hub.program), verb],
            input=json.dumps(order), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return dict(json.loads(done.stdout))


STRANGER = """\
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sys.stdout.write(f"{self.command} {self.path}\\n{self.headers}\\n"); sys.stdout.flush()
        self.send_response(200); self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers(); self.wfile.write(b"{}")
    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
server = None
while server is None:
    try:
        server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
    except OSError:
        # connections of the old server keep its port for a minute
        time.sleep(0.05)
print("listening", flush=True)
server.serve_forever()
"""


def test_a_neighbour_at_the_port_gets_nothing(
    hub: SecretiveHub, cluster: SlurmCluster, alice: ClusterUser, bob: ClusterUser, tmp_path: Path
) -> None:
    """Bob listens where alice's server was, before the hub comes back: no route leads to him.

    His program, which answers yes to everything, is asked for a proof only, without a credential,
    though the proxy with the old route outlived the hub. The job is cancelled.
    """
    browser = hub.client("alice")
    served(hub, browser)
    assert browser.open("/user/alice/lab")[0] == 200
    state = hub.states()["alice/"]
    with ExitStack() as after:
        with hub.down():
            stop_but_not_its_job(cluster, alice, state, after)
            heard = bob.popen(["python3", "-c", STRANGER, state["address"], str(state["port"])])
            after.callback(heard.kill)
            assert heard.stdout is not None
            assert heard.stdout.readline() == "listening\n", heard.communicate()
            left = cluster.admin(["squeue", "-h", "-j", state["job"], "-o", "%T"]).strip()
            assert left == "RUNNING"
        browser = hub.client("alice")
        gone = wait_until(lambda: not browser.runs("alice"), 180, every=0.3)
        assert gone, tail(hub.log, 80)
        status, page = browser.open("/user/alice/api/status")
        assert status in (404, 424, 503), (status, page[:500])
        browser.open("/user/alice/lab")
        empty = wait_until(
            lambda: not cluster.admin(["squeue", "-h", "-j", state["job"]]).strip(), 120, every=0.5
        )
        assert empty, "the job without a server goes on"
    said, _ = heard.communicate()
    requests = [line for line in said.splitlines() if line.startswith(("GET", "POST", "HEAD"))]
    assert requests, f"nobody asked for a proof: {said}\n{tail(hub.log, 120)}"
    assert all("/pangeo-hpc/proof?nonce=" in line for line in requests), said
    assert "authorization" not in said.lower() and "cookie" not in said.lower()


def stop_but_not_its_job(
    cluster: SlurmCluster, alice: ClusterUser, state: dict[str, Any], after: ExitStack
) -> None:
    """Kill alice's server; its job goes on, since its script is stopped where it waits."""
    # of this cluster's alice: other clusters may be tested at the same time
    ours = f"{cluster.directory}/shared/alice/state/hub/{state['name']}/"
    server = [
        each
        for each in psutil.process_iter(["cmdline", "uids"])
        if each.info["uids"].real == alice.uid
        and "pangeo_hpc.hub.singleuser" in (each.info["cmdline"] or [])
        and any(word.startswith(ours) for word in each.info["cmdline"])
    ]
    assert len(server) == 1
    script = server[0].parent()
    assert script is not None and script.uids().real == alice.uid
    stopped = [each for each in (script, *script.parents()) if "job.sh" in " ".join(each.cmdline())
               or "slurm_script" in " ".join(each.cmdline())]  # fmt: skip
    assert stopped, [each.cmdline() for each in (script, *script.parents())]
    for each in stopped:
        each.send_signal(signal.SIGSTOP)
        after.callback(go_on, each)
    for each in server:
        each.kill()


def go_on(process: psutil.Process) -> None:
    """Let a stopped process go on, if it is still there."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


def test_a_route_ends_with_the_walltime_without_news(
    hub: SecretiveHub, cluster: SlurmCluster
) -> None:
    """With the scheduler down past the walltime, the server and its route are given up."""
    hub.begin_anew("alice")
    browser = hub.client("alice")
    # long enough for a server to come up on a busy machine
    options = {"node_type": "short", "walltime": "00:02:00", "cores": "1", "memory": "1 GiB"}
    assert browser.spawn("alice", "brief", options) in (201, 202), browser.said
    assert wait_until(lambda: is_ready(browser, "alice", "brief"), 110, every=0.3), tail(
        hub.log, 60
    )
    ends = hub.states()["alice/brief"]["ends"]
    cluster.stop_controller()
    try:
        assert wait_until(lambda: time.time() > ends - 5, 180, every=0.5)
        assert is_ready(browser, "alice", "brief")
        over = wait_until(lambda: not is_ready(browser, "alice", "brief"), 120, every=0.5)
        assert over, tail(hub.log, 60)
        assert time.time() >= ends + 5
        assert browser.open("/user/alice/brief/api/status")[0] in (404, 424, 503)
    finally:
        cluster.start_controller()
