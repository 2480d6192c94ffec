"""A real hub on the test cluster: its own account, one sudo rule, a proxy, real Unix users."""

import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urljoin

from pangeo_hpc.hub.tickets import VERBS
from tests.cluster import machine
from tests.cluster.config import BASE
from tests.cluster.daemons import tail, wait_until
from tests.cluster.errors import ClusterError
from tests.cluster.sites import SITE
from tests.cluster.slurm import SlurmCluster

ACCOUNT = "pangeohub"
GROUP = "climate"
# the name by which nodes know the hub's host
HOST = "pangeo-hub"
INSTALL = Path(__file__).with_name("install_hub.sh")
# below those that the kernel gives away, so that nobody gets one before the hub has it (again)
PORTS = range(10000, 20000)
# an answer at once, so that what fails in seconds is seen in the stream of events, too
AT_ONCE = 'c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}\n'
HUB = """\
hub:
  url: http://127.0.0.1:{port}
  connect_url: http://{host}:{inner}
  service_user: {account}
  allowed_groups: [{group}]
  port_range: [{first}, {last}]
  poll_interval: {interval}
"""


def ensure_hub_machine() -> None:
    """Install sudo and the proxy; make the hub's account, the users' group and passwords.

    One test run at a time: the tools that change accounts give up where another one is at work.
    """
    with accounts():
        _ensure()


@contextmanager
def accounts() -> Iterator[None]:
    """Let nobody else change accounts or groups meanwhile."""
    BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with machine.locked(BASE / "hub.lock"):
        yield


def _ensure() -> None:
    machine.call([str(INSTALL)], timeout=1200)
    machine.ensure_users()
    machine.ensure_hosts([HOST])
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        machine.call(
            ["useradd", "--system", "--create-home", f"--home-dir=/var/lib/{ACCOUNT}", ACCOUNT]
        )
    # pam_unix lets an account that is not root check others' passwords only from this group
    machine.call(["usermod", "--append", "--groups=shadow", ACCOUNT])
    machine.call(["groupadd", "--force", GROUP])
    for name in machine.USERS:
        machine.call(["usermod", "--append", f"--groups={GROUP}", name])
    lines = [f"{name}:{password}\n" for name, password in passwords().items()]
    subprocess.run(["chpasswd"], input="".join(lines), text=True, check=True, timeout=60)


def passwords() -> dict[str, str]:
    """Return the users' passwords, made once for this machine and readable for root only."""
    path = BASE / "passwords.json"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps({name: secrets.token_hex(16) for name in machine.USERS}))
    return dict(json.loads(path.read_text()))


@dataclass
class HubRunner:
    """One hub for one cluster: start it, kill it, start it again."""

    cluster: SlurmCluster
    interval: str = "2 seconds"
    extra_site: str = ""
    extra_hub: str = ""
    extra_node_types: str = ""
    extra_config: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = dict(
            zip(("public", "inner", "proxy"), machine.free_ports(PORTS, 3), strict=True)
        )
        self.state = Path(f"/var/lib/{ACCOUNT}") / self.cluster.mark
        self.rule = Path("/etc/sudoers.d") / f"{self.cluster.mark}-hub"
        self.url = f"http://127.0.0.1:{self.ports['public']}"
        self.log = self.cluster.directory / "log" / "hub.log"

    def __enter__(self) -> Self:
        # nothing of tests before is in the way, and nothing of a start that failed is left
        end_all_jobs(self.cluster)
        self.prepare()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.rule.unlink(missing_ok=True)
        shutil.rmtree(self.state, ignore_errors=True)
        # what a server that was being stopped had not given back
        end_all_jobs(self.cluster)

    # -- what is prepared as root -------------------------------------------------------------

    @property
    def site_file(self) -> Path:
        """Return the root-owned site YAML."""
        return self.cluster.directory / "hub-site.yaml"

    @property
    def program(self) -> Path:
        """Return the root-owned program that acts as users."""
        return self.cluster.directory / "pangeo-hpc-hub-job"

    def prepare(self) -> None:
        """Write the site, the program and the sudo rule."""
        state = f"{self.cluster.directory}/shared/{{user}}/state"
        first = self.ports["public"] % 20000 + 30000
        text = SITE.format(
            scratch=self.cluster.scratch_root,
            state=state,
            interface=self.cluster.interface,
            nodes=len(self.cluster.shape.up),
        ) + HUB.format(
            host=HOST,
            port=self.ports["public"],
            inner=self.ports["inner"],
            account=ACCOUNT,
            group=GROUP,
            first=first,
            last=first + 99,
            interval=self.interval,
        )
        text += self.extra_hub
        conf = json.dumps(self.cluster.environment())
        text += f"schedulers:\n  slurm: {{type: slurm, environment: {conf}}}\n{self.extra_site}"
        text = text.replace("node_types:\n", f"node_types:\n{self.extra_node_types}", 1)
        self.site_file.write_text(text)
        self.site_file.chmod(0o644)
        self.program.write_text(
            f"#!{machine.VENV}/bin/python -I\n"
            "from pangeo_hpc.hub.job import main\n"
            f"main(site_file={str(self.site_file)!r})\n"
        )
        self.program.chmod(0o755)
        rules = ", ".join(f"{self.program} {verb}" for verb in VERBS)
        self.rule.write_text(
            f"Defaults!{self.program} env_reset, !requiretty\n"
            f"{ACCOUNT} ALL=(%{GROUP}) NOPASSWD: {rules}\n"
        )
        self.rule.chmod(0o440)
        machine.call(["visudo", "--check", "--quiet", f"--file={self.rule}"])
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.chown(self.state, ACCOUNT, ACCOUNT)

    # -- the hub ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the hub as its own account and wait until it answers."""
        config = self.state / "test_config.py"
        config.write_text(
            "from pangeo_hpc.hub.settings import configure\n"
            "c = get_config()\n"
            f"configure(c, {str(self.site_file)!r}, state={str(self.state)!r}, "
            f"program=({str(self.program)!r},), "
            f"proxy_api='http://127.0.0.1:{self.ports['proxy']}')\n"
            f"c.JupyterHub.log_level = 10\n{self.extra_config}"
        )
        shutil.chown(config, ACCOUNT, ACCOUNT)
        entry = pwd.getpwnam(ACCOUNT)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [f"{machine.VENV}/bin/python", "-m", "jupyterhub", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.state,
                env=self.environment(),
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=os.getgrouplist(ACCOUNT, entry.pw_gid),
                start_new_session=True,
            )
        if not wait_until(self.answers, 180, every=0.2):
            raise ClusterError(f"the hub does not answer at {self.url}\n{tail(self.log, 60)}")

    def environment(self) -> dict[str, str]:
        """Return the hub's environment, with secrets that no user may see."""
        return {
            "PATH": f"{machine.VENV}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": f"/var/lib/{ACCOUNT}",
            "USER": ACCOUNT,
            "LANG": "C.UTF-8",
            "CONFIGPROXY_AUTH_TOKEN": "proxy-secret-0123456789",
            "JUPYTERHUB_CRYPT_KEY": "c" * 64,
            **self.cluster.environment(),
        }

    def answers(self) -> bool:
        """Tell whether the hub's API answers through the proxy."""
        if self.process is not None and self.process.poll() is not None:
            raise ClusterError(
                f"the hub ended with {self.process.returncode}\n{tail(self.log, 60)}"
            )
        try:
            with urllib.request.urlopen(f"{self.url}/hub/api/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics(self) -> list[str]:
        """Return the lines of the hub's metrics, where anybody may read them."""
        with urllib.request.urlopen(f"{self.url}/hub/metrics", timeout=20) as answer:
            return str(answer.read().decode()).splitlines()

    def metric(self, start: str) -> float:
        """Return a metric by the beginning of its line."""
        lines = self.metrics()
        found = [float(line.split()[-1]) for line in lines if line.startswith(start)]
        assert found, (start, [line for line in lines if line.startswith("pangeo_hpc")])
        return found[0]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the hub itself, and not what it started."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill the hub for a while; it is started again whatever happens meanwhile."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def begin_anew(self, *users: str) -> None:
        """End users' servers and all jobs: a second try finds nothing of the first in its way."""
        for user in users:
            ended = wait_until(partial(none_runs, self.client(user), user), 180, every=1)
            assert ended, tail(self.log, 60)
        end_all_jobs(self.cluster)

    def proxy_pid(self) -> int:
        """Return the proxy's process."""
        return int((self.state / "proxy.pid").read_text().split()[0])

    def stop(self) -> None:
        """End the hub with all its programs."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(60)
            self.process = None
        try:
            os.kill(self.proxy_pid(), signal.SIGKILL)
        except (OSError, ValueError):
            pass

    def client(self, user: str) -> "Browser":
        """Return a logged-in user."""
        browser = Browser(self.url)
        browser.login(user, passwords()[user])
        return browser

    def waiting_page(self, server: str, **options: object) -> str:
        """Ask for a server of alice's and return the path of its page."""
        alice = self.client("alice")
        status = alice.spawn("alice", server, options)
        assert status in (201, 202), alice.said
        return f"/hub/spawn-pending/alice/{server}"


class Browser:
    """What a browser does without JavaScript: cookies, forms, redirects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.jar), urllib.request.ProxyHandler({})
        )

    def open(
        self,
        path: str,
        data: dict[str, str] | None = None,
        *,
        body: Any = None,
        method: str | None = None,
        timeout: float = 60,
    ) -> tuple[int, str]:
        """Return the status and the text of a page; `body` is sent as JSON to the API."""
        headers = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
        sent = urlencode(data).encode() if data is not None else None
        if body is not None or method in ("POST", "DELETE", "PATCH"):
            headers = {"Accept": "application/json", "Content-Type": "application/json"}
            headers["X-XSRFToken"] = self.xsrf()
            headers["Sec-Fetch-Mode"] = "cors"
            sent = json.dumps(body).encode() if body is not None else sent
        request = urllib.request.Request(
            urljoin(self.url, path), data=sent, headers=headers, method=method
        )
        try:
            with self.opener.open(request, timeout=timeout) as answer:
                self.where = answer.geturl()
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            self.where = error.geturl()
            return error.code, error.read().decode(errors="replace")

    def xsrf(self, path: str = "/hub/") -> str:
        """Return the token against forged requests."""
        found = [each.value for each in self.jar if each.name == "_xsrf" and each.path == path]
        return str(found[0]) if found else ""

    def login(self, user: str, password: str) -> None:
        """Log in through the page."""
        _, page = self.open("/hub/login")
        token = re.search(r'name="_xsrf" value="([^"]+)"', page)
        data = {"username": user, "password": password, "_xsrf": token[1] if token else ""}
        status, page = self.open("/hub/login?next=%2Fhub%2Fhome", data)
        assert status == 200 and "/hub/home" in self.where, (status, self.where, page[:2000])

    def json(self, path: str, **how: Any) -> Any:
        """Return what the hub's API answers."""
        status, text = self.open(path, **how)
        assert status < 400, (status, text)
        return json.loads(text) if text else None

    def spawn(self, user: str, server: str = "", options: dict[str, Any] | None = None) -> int:
        """Ask for a server through the REST API; return the status."""
        path = (
            f"/hub/api/users/{user}/servers/{server}" if server else f"/hub/api/users/{user}/server"
        )
        status, text = self.open(path, body=options or {}, method="POST")
        self.said = text
        return status

    def stop(self, user: str, server: str = "") -> int:
        """Stop a server through the REST API; return the status."""
        path = (
            f"/hub/api/users/{user}/servers/{server}" if server else f"/hub/api/users/{user}/server"
        )
        return self.open(path, method="DELETE")[0]

    def server(self, user: str, server: str = "") -> dict[str, Any] | None:
        """Return what the hub tells of a server, None if there is none."""
        found = self.json(f"/hub/api/users/{user}?include_stopped_servers=1")["servers"].get(server)
        return dict(found) if found else None

    def runs(self, user: str, server: str = "") -> bool:
        """Tell whether a server is there, comes or goes; the hub knows stopped ones, too."""
        found = self.server(user, server) or {}
        return bool(found.get("ready") or found.get("pending"))


def none_runs(browser: Browser, user: str) -> bool:
    """Tell whether a user has no server, and stop those that are there."""
    left = browser.json(f"/hub/api/users/{user}")["servers"]
    for name in left:
        # one that is still starting is asked again
        browser.stop(user, name)
    return not left


def end_all_jobs(cluster: SlurmCluster) -> None:
    """End what a module that failed may have left in the queue."""
    for user in machine.USERS:
        cluster.admin(["scancel", f"--user={user}"])
    if not wait_until(lambda: not cluster.admin(["squeue", "-h"]).strip(), 180):
        raise ClusterError(f"jobs do not end\n{cluster.admin(['squeue'])}")
