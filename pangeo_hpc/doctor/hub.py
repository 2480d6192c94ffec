"""What only root sees of a hub: its rule, its files, its secrets; gathered to be judged later."""

import json
import pwd
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import CommandMissing, PangeoHpcError
from pangeo_hpc.hub import owned, proxy, tickets
from pangeo_hpc.hub.install import plan, prefix
from pangeo_hpc.hub.job import SITE_FILE
from pangeo_hpc.hub.settings import PROGRAM
from pangeo_hpc.run import Command, Result, Runner, run
from pangeo_hpc.site import Hub, Site

_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, kw_only=True)
class HubFacts:
    """What was seen of a hub; `looked` is False where only root could have seen it.

    `rule` are sudo's words if the program does not act as `user`, and `root` tells whether it was
    kept from acting as root. `loose` says what others could change. `passwords` is who checks them:
    shadow, directory, other or nobody. `token` says where the hub's secret was seen.
    """

    looked: bool = False
    account: bool = False
    user: str = ""
    rule: str = ""
    root: bool | None = None
    loose: tuple[str, ...] = ()
    passwords: str = ""
    key: bool | None = None
    proxy: str = ""
    proxy_version: str = ""
    token: tuple[str, ...] = ()

    @classmethod
    def revive(cls, kept: Mapping[str, Any]) -> "HubFacts":
        """Return the facts that `plain` gave."""
        lists = {name: tuple(kept[name]) for name in ("loose", "token")}
        return cls(**{**kept, **lists})

    def plain(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)


def look_at_hub(site: Site, user: str, *, runner: Runner = run) -> HubFacts:
    """Return what root sees of a site's hub, for one user. Raise ValueError if there is no hub."""
    if site.hub is None:
        message = f"site {site.name} has no hub"
        raise ValueError(message)
    hub = site.hub
    try:
        pwd.getpwnam(hub.service_user)
    except KeyError:
        found, version = _proxy(runner)
        return HubFacts(looked=True, user=user, proxy=found, proxy_version=version)
    found, version = _proxy(runner)
    rule = _order(hub, user, runner)
    as_root = _as_account(hub, ("sudo", "-n", "-u", "root", "--", "true"), runner)
    return HubFacts(
        looked=True,
        account=True,
        user=user,
        rule=_refusal(rule),
        root=as_root.returncode != 0,
        loose=tuple(_loose()),
        passwords=_passwords(hub, runner),
        key=_reads(hub, hub.tls.key, runner) if hub.tls.key else None,
        token=tuple(_seen(hub)),
        proxy=found,
        proxy_version=version,
    )


def _order(hub: Hub, user: str, runner: Runner) -> Result:
    """Return what the program answers, as a user, to an order that changes nothing."""
    order = tickets.Ticket(user=user, name="jupyter-22222222")
    argv = ("sudo", "-n", "-u", user, "--", PROGRAM, "logs")
    return _as_account(hub, argv, runner, given=json.dumps(order.plain()))


def _refusal(result: Result) -> str:
    """Return why the program did not act; empty if it answered that there is no such server."""
    try:
        error = json.loads(result.stdout)["error"]
        return "" if error["kind"] == "UnknownName" else str(error["text"])
    except (ValueError, KeyError, TypeError):
        return result.words


def _as_account(hub: Hub, argv: tuple[str, ...], runner: Runner, given: str = "") -> Result:
    words = ("runuser", "-u", hub.service_user, "--", *argv)
    try:
        return runner(Command(words, input=given, environment=_PATH, cwd=Path("/")))
    except PangeoHpcError as error:
        return Result(words, 127, "", error.text)


def _loose() -> Iterator[str]:
    """Yield what of program, site and installed package others than root could change."""
    for path in (SITE_FILE, Path(PROGRAM)):
        try:
            owned.check(path)
        except PangeoHpcError as error:
            yield error.text
        except OSError as error:
            yield f"{path}: {error.strerror}"
    first = Path(PROGRAM).read_text().partition("\n")[0] if Path(PROGRAM).is_file() else ""
    python = re.fullmatch(r"#!(/\S+) -I", first)
    if first and python is None:
        yield f"{PROGRAM} is not started isolated, by python -I"
    elif python is not None:
        try:
            owned.check(Path(python[1]))
            prefix.check(Path(python[1]))
        except (PangeoHpcError, OSError) as error:
            yield str(error).partition("\n")[0]


def _passwords(hub: Hub, runner: Runner) -> str:
    if "pam" not in hub.authenticator.lower():
        return "other"
    if _reads(hub, Path("/etc/shadow"), runner):
        return "shadow"
    return "directory" if plan.look().directory else "nobody"


def _reads(hub: Hub, path: Path, runner: Runner) -> bool:
    """Tell whether the hub's account can read a file."""
    return _as_account(hub, ("test", "-r", str(path)), runner).returncode == 0


def _proxy(runner: Runner) -> tuple[str, str]:
    """Return the proxy's program and its version, empty if there is none."""
    found = shutil.which("configurable-http-proxy", path=_PATH["PATH"])
    if found is None:
        return "", ""
    try:
        result = runner(Command((found, "--version"), environment=_PATH))
    except CommandMissing as error:
        return found, error.text
    return found, result.stdout.strip() or result.words


def _seen(hub: Hub) -> Iterator[str]:
    """Yield where the secret of hub and proxy can be seen by others than the hub's account."""
    try:
        text = plan.ENVIRONMENT.read_text()
        if stat.S_IMODE(plan.ENVIRONMENT.stat().st_mode) & 0o077:
            yield f"{plan.ENVIRONMENT} can be read by others"
    except OSError:
        return
    found = re.search(rf"^{proxy.TOKEN}=(\S+)$", text, re.MULTILINE)
    if found is None:
        yield f"{plan.ENVIRONMENT} holds no {proxy.TOKEN}"
        return
    ours = {0, pwd.getpwnam(hub.service_user).pw_uid}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = {"arguments": (process / "cmdline").read_bytes()}
            if process.stat().st_uid not in ours:
                where["environment"] = (process / "environ").read_bytes()
        except OSError:
            continue
        for what, content in where.items():
            if found[1].encode() in content:
                yield f"the {what} of process {process.name}"
