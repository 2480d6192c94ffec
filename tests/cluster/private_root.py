"""A machine of its own: this one's files under an overlay, with its own network and processes.

Root in there can make accounts, rules and units; nothing of it reaches this machine, and all of it
is gone with the first process.
"""

import ctypes
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil

from tests.cluster.daemons import wait_until
from tests.cluster.errors import ClusterError

T = TypeVar("T")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START = """\
set -e
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$1"/upper "$1"/work "$1"/root
mount -t overlay overlay -o lowerdir=/,upperdir="$1"/upper,workdir="$1"/work "$1"/root
mount --rbind /dev "$1"/root/dev
mount --rbind /sys "$1"/root/sys
mount -t proc proc "$1"/root/proc
mount -t tmpfs -o mode=1777 none "$1"/root/tmp
mount -t tmpfs -o mode=1777 none "$1"/root/dev/shm
mount -t tmpfs -o mode=755 none "$1"/root/run
mount -t tmpfs -o mode=755 none "$1"/root/etc/sudoers.d
mount -t tmpfs -o mode=755 none "$1"/root/home
ip link set lo up
echo ready
exec chroot "$1"/root cat
"""


class PrivateRoot:
    """Run commands as root, or as somebody else, in a machine of their own."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pangeo-hpc-root-"))
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork",
             "--kill-child", "bash", "-c", _START, "bash", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != "ready\n":
            raise ClusterError("a private root cannot be made here")
        [self.inside] = psutil.Process(self.holder.pid).children()
        assert wait_until(lambda: self.inside.name() == "cat", 10, every=0.05)
        self._network = ThreadPoolExecutor(1, initializer=self._join_network)
        return self

    def _join_network(self) -> None:
        """Let this one thread open its connections in there."""
        library = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self.inside.pid}/ns/net").open() as network:
            if library.setns(network.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")

    def within(self, call: Callable[..., T], *given: Any, **named: Any) -> T:
        """Return what a function returns that opens its connections in there."""
        return self._network.submit(call, *given, **named).result()

    def __exit__(self, *_: object) -> None:
        self._network.shutdown()
        self.inside.kill()
        self.holder.communicate(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def argv(self, argv: Sequence[str | Path]) -> list[str]:
        """Return a command line that runs another one in there."""
        enter = ["nsenter", f"--target={self.inside.pid}", "--mount", "--net", "--pid", "--root",
                 "--wd=/", "--"]  # fmt: skip
        return [*enter, *map(str, argv)]

    def run(
        self,
        *argv: str | Path,
        user: str | None = None,
        given: bytes | str = b"",
        code: int | None = 0,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command and expect its exit code, None for any."""
        words = [str(word) for word in argv]
        if cwd is not None:
            words = ["env", f"--chdir={cwd}", *words]
        if env:
            words = ["env", *(f"{name}={value}" for name, value in env.items()), *words]
        if user is not None:
            words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *words]
        done = subprocess.run(
            self.argv(words),
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            timeout=timeout,
            env={"PATH": PATH, "LANG": "C.UTF-8"},
            check=False,
        )
        said = subprocess.CompletedProcess(
            words, done.returncode, done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )  # fmt: skip
        assert code is None or said.returncode == code, f"{words}\n{said.stdout}\n{said.stderr}"
        return said

    def sh(self, script: str, **how: Any) -> str:
        """Run a shell script and return what it prints."""
        return self.run("bash", "-ec", script, **how).stdout

    def write(self, path: str, text: str, *, mode: str = "644", owner: str = "root") -> None:
        """Write a file."""
        quoted = shlex.quote(path)
        self.sh(
            f"mkdir -p $(dirname {quoted}); cat > {quoted}; chmod {mode} {quoted}; "
            f"chown {owner}: {quoted}",
            given=text,
        )

    def state(self, *places: str) -> dict[str, Any]:
        """Return owner, mode, time and content's digest of everything below some places."""
        found = self.run("python3", "-I", "-c", _LOOK, json.dumps(places)).stdout
        return dict(json.loads(found))

    def popen(self, unit: "Unit", log: Path) -> "subprocess.Popen[bytes]":
        """Start what a systemd unit says, as systemd would."""
        with log.open("ab") as out:
            return subprocess.Popen(
                self.argv(unit.argv(self)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={"PATH": PATH},
                start_new_session=True,
            )


_LOOK = """\
import hashlib, json, os, stat, sys
found = {}
for top in json.loads(sys.argv[1]):
    for here, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(here, name)
            s = os.lstat(path)
            digest = ""
            if stat.S_ISREG(s.st_mode):
                digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
            found[path] = [s.st_uid, s.st_gid, oct(s.st_mode), s.st_mtime_ns, digest]
json.dump(found, sys.stdout)
"""


class Unit:
    """A systemd unit, read as far as an installed hub needs it; anything else is an error."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, str] = {}
        section = ""
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                section = line.strip("[]")
                continue
            name, _, value = line.partition("=")
            assert f"{section}.{name}" not in self.values, line
            self.values[f"{section}.{name}"] = value

    def __getitem__(self, name: str) -> str:
        return self.values[f"Service.{name}"]

    def argv(self, root: PrivateRoot) -> list[str]:
        """Return the command line with the rights and the variables that systemd would give it."""
        file = root.run("cat", self["EnvironmentFile"]).stdout
        variables = [line for line in file.splitlines() if line and not line.startswith("#")]
        path = shlex.split(self["Environment"])
        home = root.sh(f"getent passwd {self['User']} | cut -d: -f6").strip()
        bounding = [f"+{word.removeprefix('CAP_').lower()}" for word in _caps(self)]
        rights = [f"--bounding-set={','.join(['-all', *bounding])}"]
        if self.values.get("Service.NoNewPrivileges") == "yes":
            rights.append("--no-new-privs")
        where = self.values.get("Service.WorkingDirectory", "/")
        return [
            *("setpriv", f"--reuid={self['User']}", f"--regid={self['User']}", "--init-groups"),
            *(*rights, "env", "-i", f"--chdir={where}", *variables, *path),
            *(f"HOME={home}", f"USER={self['User']}", "LANG=C.UTF-8"),
            *shlex.split(self["ExecStart"]),
        ]


def _caps(unit: Unit) -> list[str]:
    return unit.values.get("Service.CapabilityBoundingSet", "").split()


def end(process: "subprocess.Popen[bytes]", number: int) -> None:
    """End what a unit started, and not what that started: `nsenter` is its parent at most."""
    for each in (psutil.Process(process.pid), *psutil.Process(process.pid).children()):
        os.kill(each.pid, number)
    process.wait(30)
