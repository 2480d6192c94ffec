"""The files that an installed hub consists of, as text."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pangeo_hpc._version import __version__

HEAD = f"# made by pangeo-hpc {__version__} (hub install); edit the site YAML and run it again\n"

# What sudo needs to become another user, and its PAM modules to open a session: nothing else.
_SUDO_NEEDS = (
    "CAP_SETUID CAP_SETGID CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_KILL "
    "CAP_SYS_RESOURCE CAP_SYS_NICE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETPCAP"
)


def launcher(python: Path) -> str:
    """Return the program that acts as users: isolated, and from nowhere but its own prefix."""
    return f"#!{python} -I\n{HEAD}from pangeo_hpc.hub.job import main\n\nmain()\n"


def sudoers(account: str, groups: Collection[str], program: Path, verbs: Sequence[str]) -> str:
    """Return the one rule: this account, as members of these groups, this program, these words."""
    whom = ", ".join(f"%{_escaped(group)}" for group in groups)
    words = ", \\\n    ".join(f"{_escaped(str(program))} {verb}" for verb in verbs)
    return (
        f"{HEAD}# {account} may run one program as users of the hub, and nothing as anybody else.\n"
        "# Nothing of the hub's environment reaches it; its order comes by standard input.\n"
        f"Cmnd_Alias PANGEO_HPC_HUB = {words}\n"
        "Defaults!PANGEO_HPC_HUB env_reset, !setenv, !env_keep, !env_check, !requiretty, \\\n"
        "    closefrom=3, umask=0022, umask_override\n"
        f"{_escaped(account)} ALL=({whom}) NOPASSWD: PANGEO_HPC_HUB\n"
    )


def hub_unit(
    *, account: str, proxy: str, environment: Path, state: Path, command: Sequence[str], path: str
) -> str:
    """Return the hub's systemd unit."""
    return f"""{HEAD}
[Unit]
Description=JupyterHub of pangeo-hpc
Wants=network-online.target {proxy}
After=network-online.target remote-fs.target nss-user-lookup.target {proxy}

[Service]
Type=exec
User={account}
EnvironmentFile={environment}
Environment="PATH={path}"
WorkingDirectory={state}
ExecStart={_words(command)}
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
# only the hub itself is ended with it: what it started as users is theirs
KillMode=process
# sudo has to gain privileges, which rules out NoNewPrivileges=yes and all that implies it: filters
# of system calls, address families, namespaces and devices
NoNewPrivileges=no
CapabilityBoundingSet={_SUDO_NEEDS}
# not strict, no private /tmp and no hidden homes: what users' programs see is the same as elsewhere
ProtectSystem=full

[Install]
WantedBy=multi-user.target
"""


def proxy_unit(
    *, account: str, environment: Path, command: Sequence[str], low_port: bool, path: str
) -> str:
    """Return the proxy's systemd unit; it goes on without the hub, and the hub without it."""
    needs = "CAP_NET_BIND_SERVICE" if low_port else ""
    return f"""{HEAD}
[Unit]
Description=Proxy of the JupyterHub of pangeo-hpc
Wants=network-online.target
After=network-online.target nss-user-lookup.target

[Service]
Type=exec
User={account}
EnvironmentFile={environment}
Environment="PATH={path}"
ExecStart={_words(command)}
Restart=always
RestartSec=1
LimitNOFILE=65536
UMask=0077
CapabilityBoundingSet={needs}
AmbientCapabilities={needs}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def environment(secrets: Mapping[str, str]) -> str:
    """Return the file of variables that only systemd reads, as root."""
    return HEAD + "".join(f"{name}={value}\n" for name, value in secrets.items())


def _escaped(word: str) -> str:
    """Return a word as sudoers takes it."""
    return re.sub(r"""([\\\s,:=!()@"'#%*?\[\]])""", r"\\\1", word)


def _words(command: Sequence[str]) -> str:
    """Return a command line as systemd takes it: % and $ stand for themselves."""

    def quoted(word: str) -> str:
        word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
        return word if re.fullmatch(r"[\w%$./:=@,+-]+", word) else f'"{word}"'

    return " ".join(quoted(word) for word in command)
