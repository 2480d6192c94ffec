"""`hub install` as real root on a machine of its own, and what a hub in hostile hands can do there.

The tests are a story in this order: dry run, install, again, attack, use, uninstall.
"""

import json
import re
import secrets
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import INSTALL, Browser
from tests.cluster.machine import VENV, call
from tests.cluster.private_root import PrivateRoot, Unit, end

ACCOUNT, PROGRAM = "pangeo-hub-test", "/opt/pangeo-hpc/bin/pangeo-hpc-hub-job"
SITE_FILE, RULE = "/etc/pangeo-hpc/site.yaml", "/etc/sudoers.d/pangeo-hpc-hub"
ENVIRONMENT, MANIFEST = "/etc/pangeo-hpc/hub.env", "/etc/pangeo-hpc/hub-install.json"
HUB_UNIT = "/etc/systemd/system/pangeo-hpc-hub.service"
PROXY_UNIT = "/etc/systemd/system/pangeo-hpc-proxy.service"
STATE = "/var/lib/pangeo-hpc-test/hub"
NAME = "jupyter-abcdefgh"
URL = "http://127.0.0.1:8000"
PLACES = ("/etc", "/opt/pangeo-hpc", "/var/lib/pangeo-hpc-test")
SITE = f"""\
name: small
scheduler: local
state: /var/lib/pangeo-hpc-test
user_state: "~/state"
node_types:
  one: {{cores: 1, memory: 1 GiB, walltime: "00:10:00", max_walltime: "01:00:00"}}
hub:
  url: {URL}
  connect_url: http://hub.test:8081
  service_user: {ACCOUNT}
  allowed_groups: [scientists, more+scientists]
  admin_groups: [hubadmins]
  poll_interval: 1 second
"""
# members of the group: carol, dave, erin; erin administers; mallory is no member; daemon is one
USERS = ("carol", "dave", "erin", "mallory")
PEOPLE = """\
echo '127.0.0.1 hub.test' >> /etc/hosts
gpasswd --delete pangeohub shadow || true
groupadd scientists; groupadd more+scientists; groupadd hubadmins
for user in carol dave erin mallory; do
    useradd --create-home --user-group --shell /bin/bash $user; chmod 700 /home/$user
done
for user in carol dave erin daemon; do usermod -aG scientists $user; done
usermod -aG hubadmins erin
mkdir -p /var/lib/pangeo-hpc-test
"""


@pytest.fixture(scope="module")
def root(venv: Path) -> Iterator[PrivateRoot]:
    """Return a machine with users and a site, on which nothing is installed yet."""
    call([str(INSTALL)], timeout=1200)
    with PrivateRoot() as started:
        started.sh(PEOPLE)
        started.write(SITE_FILE, SITE)
        yield started


@pytest.fixture(scope="module")
def passwords(root: PrivateRoot) -> dict[str, str]:
    """Return everybody's password."""
    found = {user: secrets.token_hex(8) for user in USERS}
    root.run("chpasswd", given="".join(f"{user}:{word}\n" for user, word in found.items()))
    return found


def pangeo(root: PrivateRoot, *words: str, **how: Any) -> Any:
    return root.run(VENV / "bin" / "pangeo-hpc", *words, **how)


def no_accounts(found: dict[str, Any]) -> dict[str, Any]:
    """Return the files without those that useradd and userdel rewrite."""
    return {path: what for path, what in found.items() if not re.match(ACCOUNTS, path)}


ACCOUNTS = r"/etc/(passwd|group|g?shadow|sub[ug]id|\.pwd\.lock)"


# -- what is made -------------------------------------------------------------------------------


def test_it_wants_a_site_of_roots(root: PrivateRoot) -> None:
    """A site elsewhere, one that others can change or of an unknown group is refused."""
    root.write("/tmp/site.yaml", SITE)
    said = pangeo(root, "--site", "/tmp/site.yaml", "hub", "install", code=2).stderr
    assert "install -D -m 644 /tmp/site.yaml /etc/pangeo-hpc/site.yaml" in said
    root.sh(f"chmod o+w {SITE_FILE}")
    assert "chmod go-w" in pangeo(root, "--site", SITE_FILE, "hub", "install", code=5).stderr
    root.write(SITE_FILE, SITE.replace("scientists,", "nobodies,"))
    said = pangeo(root, "--site", SITE_FILE, "hub", "install", code=3).stderr
    assert "there is no group nobodies" in said
    root.write(SITE_FILE, SITE)
    assert "only root" in pangeo(root, "hub", "install", user="carol", code=5).stderr


def test_it_wants_a_python_that_users_can_run(root: PrivateRoot) -> None:
    """A virtual environment in a folder of root's alone is refused, before anything is made."""
    root.sh(f"mkdir -p /root/closed; chmod 700 /root/closed; ln -sfn {VENV} /root/closed/venv")
    before = root.state(*PLACES)
    python = "/root/closed/venv/bin/python"
    said = root.run(python, "-m", "pangeo_hpc", "hub", "install", "--dry-run", code=5).stderr
    assert f"users cannot run {python}" in said
    assert "/usr/bin/python3 -m venv" in said
    assert root.state(*PLACES) == before


def test_status_before_there_is_a_hub(root: PrivateRoot) -> None:
    """It says that no hub has run, and what to do; not that root may not read its files."""
    done = pangeo(root, "hub", "status", code=4)
    assert "no hub has run" in done.stderr and "systemctl start pangeo-hpc-hub" in done.stderr
    assert done.stdout == ""
    assert "database" not in done.stderr


def test_a_dry_run_changes_nothing(root: PrivateRoot) -> None:
    """It shows every file with its content, and touches none; no secret is shown."""
    before = root.state(*PLACES)
    shown = pangeo(root, "hub", "install", "--dry-run").stdout
    assert root.state(*PLACES) == before
    for thing in (f"account {ACCOUNT}", PROGRAM, RULE, ENVIRONMENT, HUB_UNIT, PROXY_UNIT):
        assert f"would be made {thing}" in shown
    assert f"{ACCOUNT} ALL=(%scientists, %more+scientists) NOPASSWD:" in shown
    assert "CONFIGPROXY_AUTH_TOKEN=" not in shown
    assert root.run("id", ACCOUNT, code=None).returncode != 0


@pytest.fixture(scope="module")
def installed(root: PrivateRoot) -> dict[str, Any]:
    """Install, and return the files as they were before."""
    before = root.state(*PLACES)
    root.installed_as = pangeo(root, "hub", "install").stdout  # type: ignore[attr-defined]
    return before


def test_everything_is_made(root: PrivateRoot, installed: dict[str, Any]) -> None:
    """Exactly what the documentation lists, with owners and modes; sudo and systemd take it."""
    after = root.state(*PLACES)
    made = {path: after[path] for path in after if path not in installed}
    modes = {path: oct(int(what[2], 8) & 0o7777) for path, what in made.items()}
    expected = {
        STATE: "0o700",
        PROGRAM: "0o755",
        RULE: "0o440",
        ENVIRONMENT: "0o600",
        MANIFEST: "0o600",
        HUB_UNIT: "0o644",
        PROXY_UNIT: "0o644",
    }
    ours = {path: mode for path, mode in modes.items() if not re.match(ACCOUNTS, path)}
    ours.pop("/opt/pangeo-hpc/bin", None)
    ours.pop("/opt/pangeo-hpc", None)
    assert ours == expected
    assert root.sh(f"stat -c '%U %G' {STATE}").split() == [ACCOUNT, ACCOUNT]
    assert {what[0] for path, what in made.items() if path != STATE} == {0}
    assert root.sh(f"id -Gn {ACCOUNT}").split() == [ACCOUNT, "shadow"]
    entry = root.sh(f"getent passwd {ACCOUNT}").strip().split(":")
    assert int(entry[2]) < 1000 and entry[6] == "/usr/sbin/nologin"
    assert root.sh(f"passwd -S {ACCOUNT}").split()[1] == "L"
    first = root.sh(f"head -1 {PROGRAM}")
    assert re.fullmatch(r"#!/\S+/python\S* -I\n", first)
    root.run("visudo", "--check")
    said = root.run("systemd-analyze", "verify", HUB_UNIT, PROXY_UNIT)
    assert said.stderr.strip() == ""
    documented = (Path(__file__).parents[2] / "docs" / "hub-install.md").read_text()
    for path in (PROGRAM, RULE, ENVIRONMENT, MANIFEST, HUB_UNIT, PROXY_UNIT):
        assert f"`{path}`" in documented


def test_again_changes_nothing(root: PrivateRoot, installed: dict[str, Any]) -> None:
    """The second time finds everything as it should be: no file is written anew."""
    before = root.state(*PLACES)
    said = pangeo(root, "hub", "install")
    assert said.stdout == ""
    assert "nothing to do" in said.stderr
    assert root.state(*PLACES) == before


def test_a_new_site_rewrites_the_rule(root: PrivateRoot, installed: dict[str, Any]) -> None:
    """What follows from the site follows it; the secret stays, and wrong modes are put right."""
    secret = root.sh(f"cat {ENVIRONMENT}")
    root.write(SITE_FILE, SITE.replace(", more+scientists", ""))
    root.sh(f"chmod 644 {ENVIRONMENT}")
    said = pangeo(root, "hub", "install").stdout.splitlines()
    assert said == [
        f"changed {RULE} (0440)",
        f"changed {ENVIRONMENT} (0600): owner or mode was another",
    ]
    assert "more+scientists" not in root.sh(f"cat {RULE}")
    assert root.sh(f"cat {ENVIRONMENT}") == secret
    assert root.sh(f"stat -c %a {ENVIRONMENT}").strip() == "600"
    root.write(SITE_FILE, SITE)
    pangeo(root, "hub", "install")


# -- a hub in hostile hands ---------------------------------------------------------------------

EVIL = """\
mkdir -p /tmp/evil/pangeo_hpc /tmp/evil/lib; cd /tmp/evil
for name in sitecustomize usercustomize json os pangeo_hpc/__init__ startup; do
    echo 'open("/tmp/evil/ran", "a").write("python")' > $name.py
done
echo 'echo bash >> /tmp/evil/ran' > bash_env
cp $(ldconfig -p | awk '/libm.so.6/ {print $NF; exit}') lib/evil.so
sed 's/scientists, more+scientists/root/' /etc/pangeo-hpc/site.yaml > site.yaml
chmod -R a+rwX /tmp/evil; touch ran; chmod a+rw ran
"""
ORDER = {"format": 1, "user": "carol", "name": NAME}
PLAIN = ["sudo", "-n", "-u", "carol", "--", PROGRAM, "logs"]
REFUSED_BY_SUDO = [
    ["sudo", "-n", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "root", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "#0", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "#-1", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "#4294967295", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-g", "root", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-g", "root", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-g", "shadow", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", ACCOUNT, "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "mallory", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "nobody", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "--", PROGRAM],
    ["sudo", "-n", "-u", "carol", "--", PROGRAM, "logs", "more"],
    ["sudo", "-n", "-u", "carol", "--", PROGRAM, "logs more"],
    ["sudo", "-n", "-u", "carol", "--", PROGRAM, "--help"],
    ["sudo", "-n", "-u", "carol", "--", "/bin/sh", "-c", "id"],
    ["sudo", "-n", "-u", "carol", "--", "/usr/bin/python3", "-c", "1"],
    ["sudo", "-n", "-u", "carol", "-i", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-s", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-E", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "PYTHONPATH=/tmp/evil", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "--preserve-env=BASH_ENV", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-C", "50", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-D", "/tmp/evil", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-R", "/tmp/evil", "--", PROGRAM, "logs"],
    ["sudo", "-n", "-u", "carol", "-e", "/etc/passwd"],
    ["sudo", "-n", "-l", "-U", "root"],
]


FEW = {"BASH_ENV": "/tmp/evil/bash_env", "PYTHONPATH": "/tmp/evil"}


@pytest.fixture(scope="module")
def hostile(root: PrivateRoot, installed: dict[str, Any]) -> PrivateRoot:
    """Return the machine with what a hostile hub has prepared."""
    root.sh(EVIL)
    return root


def attack(
    root: PrivateRoot, argv: list[str], order: Any = ORDER, **how: Any
) -> tuple[int, Any, str]:
    """Return exit code, answer and words of what the hub's account starts."""
    given = order if isinstance(order, bytes) else json.dumps(order).encode()
    done = root.run(*argv, user=ACCOUNT, given=given, code=None, **how)
    try:
        return done.returncode, json.loads(done.stdout), done.stderr
    except ValueError:
        return done.returncode, None, done.stdout + done.stderr


def test_the_order_as_it_should_be(hostile: PrivateRoot) -> None:
    """The rule works: without this, the refusals below would say nothing."""
    code, answer, said = attack(hostile, PLAIN)
    assert (code, answer["error"]["kind"]) == (2, "UnknownName"), said


@pytest.mark.parametrize("argv", REFUSED_BY_SUDO, ids=lambda argv: " ".join(argv[2:])[:60])
def test_sudo_refuses_everything_else(hostile: PrivateRoot, argv: list[str]) -> None:
    """No other user, group, word, program, shell, directory or variable."""
    code, answer, said = attack(hostile, argv, env=FEW)
    assert code != 0 and answer is None, said
    assert hostile.sh("cat /tmp/evil/ran") == ""


VARIABLES = {
    "PYTHONPATH": "/tmp/evil",
    "PYTHONHOME": "/tmp/evil",
    "PYTHONSTARTUP": "/tmp/evil/startup.py",
    "PYTHONINSPECT": "1",
    "PYTHONUSERBASE": "/tmp/evil",
    "PYTHONPLATLIBDIR": "evil",
    "LD_PRELOAD": "/tmp/evil/lib/evil.so",
    "LD_LIBRARY_PATH": "/tmp/evil/lib",
    "LD_AUDIT": "/tmp/evil/lib/evil.so",
    "BASH_ENV": "/tmp/evil/bash_env",
    "ENV": "/tmp/evil/bash_env",
    "BASH_FUNC_id%%": "() { echo bash >> /tmp/evil/ran; }",
    "HOME": "/tmp/evil",
    "PATH": "/tmp/evil:/usr/bin:/bin",
    "TMPDIR": "/tmp/evil",
    "PANGEO_HPC_SITE": "/tmp/evil/site.yaml",
    "PANGEO_HPC_ACCOUNT": "evil",
    "SLURM_CONF": "/tmp/evil/slurm.conf",
    "XDG_STATE_HOME": "/tmp/evil",
    "SUDO_USER": "root",
    "LC_ALL": "/tmp/evil",
    "LANGUAGE": "/tmp/evil",
    "TZ": ":/tmp/evil/tz",
    "TERM": "/tmp/evil",
}


def test_no_variable_of_the_hub_reaches_the_program(hostile: PrivateRoot) -> None:
    """Nothing that a hostile environment or directory names is run or read, and none arrives."""
    code, answer, said = attack(hostile, PLAIN, env=VARIABLES, cwd="/tmp/evil")
    assert (code, answer["error"]["kind"]) == (2, "UnknownName"), said
    assert hostile.sh("cat /tmp/evil/ran") == ""
    seen = _environment_of_the_program(hostile)
    assert not set(seen) & (set(VARIABLES) - {"HOME", "PATH", "SUDO_USER", "TERM"}), seen
    assert seen["HOME"] == "/home/carol" and "/tmp/evil" not in seen["PATH"]
    assert seen["SUDO_USER"] == ACCOUNT
    assert seen.get("TERM") != "/tmp/evil"


def _environment_of_the_program(root: PrivateRoot) -> dict[str, str]:
    """Return the environment of the running program, which waits for its order meanwhile."""
    words = " ".join(map(shlex.quote, PLAIN))
    settings = " ".join(shlex.quote(f"{name}={value}") for name, value in VARIABLES.items())
    script = f"""
        exec 3> >(env --chdir=/tmp/evil {settings} {words} >/dev/null)
        # not the moment in which sudo is carol already, but has not begun the program yet
        for i in $(seq 600); do
            pid=$(pgrep -u carol -f -- ' -I .*pangeo-hpc-hub-job') && break; sleep 0.05
        done
        cp /proc/$pid/environ /tmp/evil/seen || true
        echo $pid
    """
    as_account = f"setpriv --reuid={ACCOUNT} --regid={ACCOUNT} --init-groups"
    script = script.replace(f"{words} >", f"{as_account} {words} >")
    pid = root.sh(script).strip()
    assert pid, "the program was not seen"
    pairs = root.sh("tr '\\0' '\\n' < /tmp/evil/seen").splitlines()
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


GARBAGE: list[Any] = [
    b"",
    b"\xff" * 100,
    b"[" * 1_000_000,
    b" " * (10 << 20),
    b'{"format": 1, "user": "carol", "name": "' + b"a" * (10 << 20) + b'"}',
    {**ORDER, "user": "dave"},
    {**ORDER, "user": "root"},
    {**ORDER, "site": "/tmp/evil/site.yaml"},
    {**ORDER, "name": "../../../../etc/shadow"},
    {**ORDER, "variables": {"LD_PRELOAD": "/tmp/evil/lib/evil.so"}},
    {**ORDER, "jobs": ["--signal=9"]},
]


@pytest.mark.parametrize("order", GARBAGE, ids=lambda order: str(order)[:50])
def test_a_wrong_order_is_an_answer(hostile: PrivateRoot, order: Any) -> None:
    """Whatever comes by standard input, also ten megabytes of it, is refused in words."""
    code, answer, said = attack(hostile, PLAIN, order)
    assert code in (2, 5), said
    assert answer["error"]["text"] and "Traceback" not in said


BEYOND = [
    {"cores": "64"},
    {"walltime": "99:00:00"},
    {"node_type": "two"},
    {"option.x": "--uid=0"},
    {"working_directory": "/root"},
    {"working_directory": "/home/dave"},
]


@pytest.mark.parametrize("choices", BEYOND, ids=str)
def test_no_job_outside_the_limits(hostile: PrivateRoot, choices: dict[str, str]) -> None:
    """The limits of root's site are held, whatever the hub let pass."""
    order = {**ORDER, "choices": choices, "variables": {"JUPYTERHUB_A": "b"}}
    code, answer, said = attack(hostile, [*PLAIN[:-1], "submit"], order)
    assert code in (2, 5), (answer, said)


def test_system_accounts_are_refused_by_the_program(hostile: PrivateRoot) -> None:
    """A system account in the group passes sudo, and the program refuses it; so it does root."""
    order = {**ORDER, "user": "daemon"}
    code, answer, said = attack(hostile, ["sudo", "-n", "-u", "daemon", PROGRAM, "logs"], order)
    assert code == 5 and "system account" in answer["error"]["text"], said
    hostile.sh("usermod -aG scientists root")
    order = {**ORDER, "user": "root"}
    code, answer, said = attack(hostile, ["sudo", "-n", "-u", "root", PROGRAM, "logs"], order)
    assert code == 5 and "system account" in answer["error"]["text"], said
    hostile.sh("gpasswd --delete root scientists")


SPOILED = [
    f"chmod o+w {SITE_FILE}",
    f"chgrp scientists {SITE_FILE}; chmod g+w {SITE_FILE}",
    f"chown carol {SITE_FILE}",
    "chown carol /etc/pangeo-hpc",
    f"cd /tmp/evil; mv {SITE_FILE} s.yaml; chown carol: s.yaml; ln -s $PWD/s.yaml {SITE_FILE}",
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_site_that_others_can_change_is_refused(hostile: PrivateRoot, spoil: str) -> None:
    """Limits that a user could have written count for nothing."""
    hostile.sh(spoil)
    code, answer, said = attack(hostile, PLAIN)
    hostile.sh(f"rm -f {SITE_FILE}; chown root: /etc/pangeo-hpc")
    hostile.write(SITE_FILE, SITE)
    assert code == 5 and "can be changed by others" in answer["error"]["text"], said


PLANTED = [
    "rmdir state/hub; ln -s /home/dave/secret state/hub",
    "ln -s /etc/shadow state/hub/.submit",
    f"ln -s /home/dave/secret state/hub/{NAME}",
    f"mkdir state/hub/{NAME}; ln -s /etc/shadow state/hub/{NAME}/job.json",
    f"mkdir state/hub/{NAME}; ln -s /home/dave/secret state/hub/{NAME}/private",
    f"mkdir state/hub/{NAME}; mkfifo state/hub/{NAME}/job.json",
    f"mkdir state/hub/{NAME}; ln -s /dev/zero state/hub/{NAME}/job.json",
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.split("; ")[-1][:50])
@pytest.mark.timeout(120)
def test_links_in_the_users_folder_hurt_nobody(hostile: PrivateRoot, plant: str) -> None:
    """The program has the user's rights only: nobody else's file is read, made or changed."""
    hostile.sh("mkdir -p /home/dave/secret; echo s3cret > /home/dave/secret/job.json; "
               "chown -R dave: /home/dave")  # fmt: skip
    hostile.sh(
        "cd /home/carol; rm -rf state; mkdir -m 700 -p state/hub; "
        f"{plant}; chown -Rh carol: /home/carol"
    )
    before = hostile.state("/home/dave", "/etc")
    order = {**ORDER, "choices": {}, "variables": {"JUPYTERHUB_A": "b"}}
    for verb in ("submit", "find", "logs", "status", "cancel"):
        _, answer, said = attack(hostile, [*PLAIN[:-1], verb], order)
        assert answer is not None and "Traceback" not in said, said
        assert "s3cret" not in str(answer) and "root:" not in str(answer)
    assert hostile.state("/home/dave", "/etc") == before
    hostile.sh("pkill -u carol || true; cd /home/carol; rm -rf state")


# -- the installed hub at work ------------------------------------------------------------------


class Units:
    """Both units, started as systemd would: there is none here."""

    def __init__(self, root: PrivateRoot, log: Path) -> None:
        self.root, self.log = root, log
        self.hub = Unit(root.sh(f"cat {HUB_UNIT}"))
        self.proxy = Unit(root.sh(f"cat {PROXY_UNIT}"))
        self.running: dict[str, Any] = {}

    def start(self, name: str) -> None:
        unit = self.hub if name == "hub" else self.proxy
        self.running[name] = self.root.popen(unit, self.log)

    def up(self) -> None:
        """Start what a test that failed left down, and wait for an answer."""
        for name in ("proxy", "hub"):
            if name not in self.running:
                self.start(name)
        assert wait_until(self.answers, 120, every=0.3), tail(self.log, 80)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        end(self.running.pop(name), number)

    def answers(self) -> bool:
        def ask() -> bool:
            try:
                return Browser(URL).open("/hub/api/")[0] == 200
            except OSError:
                return False

        return self.root.within(ask)


@pytest.fixture(scope="module")
def units(
    root: PrivateRoot,
    installed: dict[str, Any],
    passwords: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Units]:
    """Return the running hub and proxy of the units."""
    found = Units(root, tmp_path_factory.mktemp("units") / "log")
    found.up()
    yield found
    for name in list(found.running):
        found.kill(name)


def login(root: PrivateRoot, user: str, password: str) -> tuple[Browser, int]:
    """Return a browser and the status that a login ended with."""

    def enter() -> tuple[Browser, int]:
        browser = Browser(URL)
        _, page = browser.open("/hub/login")
        token = re.search(r'name="_xsrf" value="([^"]+)"', page)
        assert token is not None
        data = {"username": user, "password": password, "_xsrf": token[1]}
        status, _ = browser.open("/hub/login?next=%2Fhub%2Fhome", data)
        return browser, status if "/hub/home" not in browser.where else 200

    return root.within(enter)


def test_passwords_and_groups_decide(
    root: PrivateRoot, units: Units, passwords: dict[str, str]
) -> None:
    """PAM checks real passwords for an account that is not root, and groups say who is served."""
    assert login(root, "carol", passwords["carol"])[1] == 200, tail(units.log, 40)
    for user, word in (
        ("carol", "wrong"),
        ("carol", ""),
        ("carol", passwords["dave"]),
        ("mallory", passwords["mallory"]),
        ("nosuchuser", "x"),
        ("root", "x"),
        (ACCOUNT, ""),
    ):
        assert login(root, user, word)[1] == 403, user


def test_admin_groups_make_administrators(
    root: PrivateRoot, units: Units, passwords: dict[str, str]
) -> None:
    """Members of an admin group administer; other users do not."""
    erin, _ = login(root, "erin", passwords["erin"])
    carol, _ = login(root, "carol", passwords["carol"])
    assert root.within(erin.json, "/hub/api/user")["admin"] is True
    assert root.within(carol.json, "/hub/api/user")["admin"] is False
    assert root.within(carol.open, "/hub/api/users")[0] == 403
    assert root.within(carol.open, "/hub/admin")[0] == 403


def ready(root: PrivateRoot, browser: Browser, user: str) -> bool:
    server = root.within(browser.server, user)
    return bool(server and server["ready"])


def test_hub_and_proxy_outlive_each_other(
    root: PrivateRoot, units: Units, passwords: dict[str, str]
) -> None:
    """A user's server, its route and the proxy outlive the hub; a new proxy gets its routes back.

    All is as the units say: the account, its few rights, the secret from root's file.
    """
    units.up()
    carol, _ = login(root, "carol", passwords["carol"])
    # a second try may find the server of the first
    if not root.within(carol.runs, "carol"):
        assert root.within(carol.spawn, "carol") in (201, 202), carol.said
    assert wait_until(lambda: ready(root, carol, "carol"), 180, every=0.5), tail(units.log, 80)
    assert root.within(carol.open, "/user/carol/lab")[0] == 200
    units.kill("hub")
    assert root.within(carol.open, "/user/carol/api")[0] == 200
    units.start("hub")
    assert wait_until(units.answers, 120, every=0.3), tail(units.log, 80)
    assert wait_until(lambda: ready(root, carol, "carol"), 120, every=0.5), tail(units.log, 80)
    units.kill("proxy")
    units.start("proxy")
    # a server that was just found again has its route first, and the hub's own comes later
    assert wait_until(units.answers, 120, every=0.5), tail(units.log, 80)
    again = wait_until(
        lambda: root.within(_status, carol, "/user/carol/api") == 200, 120, every=0.5
    )
    assert again, tail(units.log, 80)
    assert root.within(carol.stop, "carol") in (202, 204)


def _status(browser: Browser, path: str) -> int:
    try:
        return browser.open(path)[0]
    except OSError:
        return 0


def test_the_secret_of_the_units_is_in_no_argv(root: PrivateRoot, units: Units) -> None:
    """The proxy's token is in root's file and in the account's processes, nowhere else."""
    token = root.sh(f"grep -o '=.*' {ENVIRONMENT}").strip().removeprefix("=")
    assert len(token) == 64
    words = root.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "configurable-http-proxy" in words and token not in words
    assert root.run("cat", ENVIRONMENT, user=ACCOUNT, code=None).returncode != 0
    assert root.run("grep", "-r", token, STATE, code=None).returncode == 1
    assert token not in units.log.read_text(errors="replace")


# -- doctor -------------------------------------------------------------------------------------


def doctor(root: PrivateRoot, *words: str, code: int) -> dict[str, list[dict[str, Any]]]:
    """Return what doctor finds of the hub for carol, by check."""
    said = pangeo(root, "doctor", "--hub", "--as", "carol", "--json", *words, code=code)
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(said.stdout)["findings"]:
        if finding["check"].startswith("hub-"):
            found.setdefault(finding["check"], []).append(finding)
    return found


def test_doctor_sees_a_hub_that_works(root: PrivateRoot, units: Units) -> None:
    """All is well but what it warns of: one origin for all, and no TLS."""
    found = doctor(root, code=0)
    wrong = [f for each in found.values() for f in each if f["severity"] not in ("ok", "note")]
    assert [(f["severity"], f["path"]) for f in wrong] == [
        ("warning", "hub.subdomain_host"),
        ("warning", "hub.url"),
    ]
    said = str(found)
    for words in (
        "acts as carol by the sudo rule",
        "reaches the hub at http://hub.test:8081",
        "this host reaches a server on",
        "PAM checks passwords of /etc/shadow",
        "configurable-http-proxy 5.",
    ):
        assert words in said


BROKEN = [
    ("hub-rule", f"mv {RULE} /tmp/rule", f"mv /tmp/rule {RULE}"),
    (
        "hub-rule",
        f"echo '{ACCOUNT} ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/more",
        "rm /etc/sudoers.d/more",
    ),
    ("hub-rule", "gpasswd -d carol scientists", "usermod -aG scientists carol"),
    ("hub-files", f"chmod o+w {PROGRAM}", f"chmod o-w {PROGRAM}"),
    ("hub-files", f"chgrp scientists {SITE_FILE}; chmod g+w {SITE_FILE}", f"chmod g-w {SITE_FILE}"),
    ("hub-files", f"sed -i '1s/ -I//' {PROGRAM}", f"sed -i '1s/$/ -I/' {PROGRAM}"),
    ("hub-passwords", f"gpasswd -d {ACCOUNT} shadow", f"usermod -aG shadow {ACCOUNT}"),
    ("hub-secrets", f"chmod 644 {ENVIRONMENT}", f"chmod 600 {ENVIRONMENT}"),
    ("hub-proxy", "mv /usr/bin/configurable-http-proxy /tmp", "mv /tmp/conf* /usr/bin"),
]


@pytest.mark.parametrize(("check", "spoil", "mend"), BROKEN, ids=lambda word: word[:50])
def test_doctor_names_what_is_wrong(
    root: PrivateRoot, installed: dict[str, Any], check: str, spoil: str, mend: str
) -> None:
    """Each thing that keeps a hub from working, or safe, is a problem with a remedy."""
    root.sh(spoil)
    try:
        found = doctor(root, "--no-jobs", code=1)
    finally:
        root.sh(mend)
    problems = {
        f["check"]: f for each in found.values() for f in each if f["severity"] == "problem"
    }
    # what the program refuses to rest on also keeps the rule from working
    assert {check} <= set(problems) <= {check, "hub-rule"}, problems
    assert problems[check]["remedy"]


def test_doctor_sees_a_hub_that_is_down(root: PrivateRoot, units: Units) -> None:
    """A node that does not reach the hub says so."""
    units.kill("hub")
    try:
        found = doctor(root, code=1)
    finally:
        units.up()
    [problem] = [f for f in found["hub-network"] if f["severity"] == "problem"]
    assert problem["path"] == "hub.connect_url" and "hub.test" in problem["text"]


# -- and back -----------------------------------------------------------------------------------


def test_what_was_changed_is_left_and_named(
    root: PrivateRoot, units: Units, installed: dict[str, Any]
) -> None:
    """Uninstalling takes back all but a changed file and the hub's own data, and names both."""
    for name in list(units.running):
        units.kill(name)
    root.sh(f"echo '# mine' >> {HUB_UNIT}")
    assert f"left {HUB_UNIT}" in pangeo(root, "hub", "install", code=6).stdout
    shown = pangeo(root, "hub", "install", "--uninstall", "--dry-run", code=6).stdout
    assert f"would be removed {RULE}" in shown and f"left {HUB_UNIT}" in shown
    assert root.run("test", "-e", RULE).returncode == 0
    said = pangeo(root, "hub", "install", "--uninstall", code=6).stdout
    assert f"left {HUB_UNIT}: it was changed since it was written" in said
    assert f"left {STATE}/: it holds " in said and f"left account {ACCOUNT}" in said
    left = {HUB_UNIT, MANIFEST, STATE}
    now = no_accounts(root.state("/etc", "/opt/pangeo-hpc", "/var/lib/pangeo-hpc-test"))
    strange = {path for path in now if path not in installed and not path.startswith(STATE + "/")}
    assert strange == left
    assert no_accounts(installed).keys() <= now.keys()


def test_the_rest_goes_when_nothing_holds_it(root: PrivateRoot, installed: dict[str, Any]) -> None:
    """Once the changed file and the data are gone, so is every trace, the account too."""
    root.sh(f"rm -r {HUB_UNIT} {STATE}/*")
    pangeo(root, "hub", "install", "--uninstall")
    now = root.state(*PLACES)
    assert no_accounts(now).keys() == no_accounts(installed).keys()
    assert root.run("id", ACCOUNT, code=None).returncode != 0
    assert ACCOUNT not in root.sh("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")
    assert "nothing to do" in pangeo(root, "hub", "install", "--uninstall").stderr
