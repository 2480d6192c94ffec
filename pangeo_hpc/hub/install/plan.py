"""What has to be on a hub's host, from the site and what is known of the machine."""

import grp
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pangeo_hpc.errors import NotAllowed, Problem, SiteError, UsageError
from pangeo_hpc.hub import owned, proxy
from pangeo_hpc.hub.install import texts
from pangeo_hpc.hub.install.steps import Account, Folder, Membership, Step, Text
from pangeo_hpc.hub.job import SITE_FILE
from pangeo_hpc.hub.settings import PROGRAM, Places
from pangeo_hpc.hub.tickets import VERBS
from pangeo_hpc.run import Command, run
from pangeo_hpc.site import Hub, Site

ENVIRONMENT = Path("/etc/pangeo-hpc/hub.env")
RULE = Path("/etc/sudoers.d/pangeo-hpc-hub")
UNITS = Path("/etc/systemd/system")
HUB_UNIT, PROXY_UNIT = "pangeo-hpc-hub.service", "pangeo-hpc-proxy.service"
SHADOW = "shadow"
# Linux reads no more of a first line, up to version 5.1.
_LONGEST_FIRST_LINE = 127
# What answers for users in their place: then no local passwords need to be read.
_DIRECTORIES = {"sss", "ldap", "winbind"}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is known of this machine: our Python, the proxy, who checks passwords."""

    python: Path
    proxy: Path | None
    shadow: bool
    directory: bool


def look() -> Machine:
    """Return what this machine is."""
    found = shutil.which("configurable-http-proxy", path="/usr/local/bin:/usr/bin:/bin")
    return Machine(
        python=Path(sys.executable),
        proxy=Path(found) if found else None,
        shadow=_shadow_is_readable(),
        directory=_has_directory(),
    )


def state_of(site: Site) -> Path:
    """Return the hub's own private directory."""
    return (site.state / "hub").absolute()


def steps(
    site: Site, site_file: Path, machine: Machine, *, shadow: bool | None = None
) -> tuple[Step, ...]:
    """Return everything in the order in which it is made.

    `shadow` says whether the account may read /etc/shadow; None decides by who checks passwords.
    Raise SiteError, UsageError or NotAllowed for what no step could put right.
    """
    hub, proxy_program = _fit(site, site_file, machine)
    account, state, program = hub.service_user, state_of(site), Path(PROGRAM)
    python = str(machine.python)
    path = f"{machine.python.parent}:/usr/local/bin:/usr/bin:/bin"
    places = Places(site_file=SITE_FILE, state=state, own_proxy=False)
    token = texts.environment({proxy.TOKEN: secrets.token_hex(32)})
    hub_unit = texts.hub_unit(
        account=account,
        proxy=PROXY_UNIT,
        environment=ENVIRONMENT,
        state=state,
        command=(
            *(python, "-I", "-m", "pangeo_hpc", "--site", str(SITE_FILE)),
            *("hub", "run", "--separate-proxy"),
        ),
        path=path,
    )
    proxy_unit = texts.proxy_unit(
        account=account,
        environment=ENVIRONMENT,
        command=proxy.command(site, places, proxy_program),
        low_port=proxy.needs_low_port(site, places),
        path=path,
    )
    rule = texts.sudoers(account, hub.allowed_groups, program, VERBS)
    return (
        Account(account, state),
        *_membership(hub, machine, shadow),
        *(Folder(parent) for parent in _missing(state.parent)),
        Folder(state, owner=account, mode=0o700),
        *(Folder(parent) for parent in _missing(program.parent)),
        Text(program, texts.launcher(machine.python), mode=0o755),
        Text(RULE, rule, mode=0o440, check=check_rule),
        Text(ENVIRONMENT, token, mode=0o600, keep=True),
        *(Folder(parent) for parent in _missing(UNITS)),
        Text(UNITS / PROXY_UNIT, proxy_unit),
        Text(UNITS / HUB_UNIT, hub_unit),
    )


def _fit(site: Site, site_file: Path, machine: Machine) -> tuple[Hub, Path]:
    """Return the hub and the proxy's program, if everything is there that we do not make."""
    hub = site.hub
    if hub is None:
        hint = "add hub: with url and connect_url; see `pangeo-hpc site sample`"
        raise SiteError([Problem("hub", f"site {site.name} has no hub", hint)])
    if not hub.allowed_groups:
        hint = "name the Unix groups whose members may use the hub"
        raise SiteError([Problem("hub.allowed_groups", "nobody could log in", hint)])
    for group in hub.allowed_groups:
        try:
            grp.getgrnam(group)
        except KeyError:
            hint = "correct it, or make the group"
            raise SiteError(
                [Problem("hub.allowed_groups", f"there is no group {group}", hint)]
            ) from None
    if site_file.absolute() != SITE_FILE:
        text = f"the program that acts as users reads {SITE_FILE}, and this site is {site_file}"
        raise UsageError(text, hint=f"install -D -m 644 {site_file} {SITE_FILE}")
    owned.check(SITE_FILE)
    owned.check(machine.python)
    if len(f"#!{machine.python} -I") > _LONGEST_FIRST_LINE:
        raise UsageError(f"{machine.python} is too long a path for a program's first line")
    if machine.proxy is None:
        hint = "npm install --global configurable-http-proxy@5"
        raise UsageError("configurable-http-proxy is not installed for everybody", hint=hint)
    owned.check(machine.proxy)
    return hub, machine.proxy


def check_rule(text: str) -> None:
    """Raise NotAllowed if visudo does not take a rule: a broken one would end sudo for everybody.

    Raise CommandMissing if there is no sudo here.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rule"
        path.write_text(text)
        path.chmod(0o440)
        result = run(
            Command(("visudo", "--check", f"--file={path}"), environment={"PATH": _ADMINS_PATH})
        )
    if result.returncode != 0:
        raise NotAllowed(f"visudo refuses the rule: {result.words}")


_ADMINS_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _membership(hub: Hub, machine: Machine, shadow: bool | None) -> tuple[Membership, ...]:
    wanted = "pam" in hub.authenticator.lower() and machine.shadow and not machine.directory
    if not (wanted if shadow is None else shadow):
        return ()
    if not machine.shadow:
        hint = "let SSSD or another directory check passwords; see docs/hub-install.md"
        raise UsageError("/etc/shadow cannot be read by a group here", hint=hint)
    why = "so that PAM can check passwords of /etc/shadow for it"
    return (Membership(hub.service_user, SHADOW, why),)


def _shadow_is_readable() -> bool:
    """Tell whether /etc/shadow is read by a group of that name, as on Debian."""
    try:
        group, status = grp.getgrnam(SHADOW), Path("/etc/shadow").stat()
    except (KeyError, OSError):
        return False
    return status.st_gid == group.gr_gid and bool(status.st_mode & stat.S_IRGRP)


def _has_directory() -> bool:
    """Tell whether users come from a directory, whose own service checks their passwords."""
    try:
        lines = Path("/etc/nsswitch.conf").read_text().splitlines()
    except OSError:
        return False
    return any(
        line.startswith("passwd:") and _DIRECTORIES & set(line.partition("#")[0].split())
        for line in lines
    )


def _missing(path: Path) -> list[Path]:
    """Return the folders that are wanted up to a path, the outermost first, below those of Linux.

    A place such as /opt is there on every machine and is not ours to make.
    """
    return [each for each in reversed((path, *path.parents)) if len(each.parts) > _DEEP]


_DEEP = 2
Say = Callable[[str], None]
