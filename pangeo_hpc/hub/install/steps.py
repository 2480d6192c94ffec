"""The steps of an installation: each is safe to repeat, and leaves what is not ours alone."""

import grp
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pangeo_hpc import files
from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub.install.record import Entry, Manifest, digest
from pangeo_hpc.run import Command, Runner, run


class Kind(StrEnum):
    """What became of one thing, or would."""

    MADE = "made"
    CHANGED = "changed"
    REMOVED = "removed"
    LEFT = "left"


@dataclass(frozen=True)
class Change:
    """One thing that was changed, or left although it should have been; `text` is its content."""

    kind: Kind
    thing: str
    why: str = ""
    text: str = ""


class Step(Protocol):
    """Something that has to be there."""

    def ensure(self, manifest: Manifest, *, dry: bool) -> Change | None:
        """Make it so, remember what was made, and return the change; None if it was so."""
        ...


@dataclass(frozen=True)
class Account:
    """A system account without a password and without a shell."""

    name: str
    home: Path
    runner: Runner = run

    def ensure(self, manifest: Manifest, *, dry: bool) -> Change | None:
        """Create the account; one that is there already is taken, and is never removed."""
        try:
            entry = pwd.getpwnam(self.name)
        except KeyError:
            pass
        else:
            if entry.pw_uid == 0:
                raise NotAllowed(f"{self.name} is root by another name", hint="name another user")
            return None
        if not dry:
            call(
                self.runner,
                *("useradd", "--system", "--user-group", "--no-create-home"),
                *("--home-dir", str(self.home), "--shell", "/usr/sbin/nologin"),
                *("--comment", "JupyterHub of pangeo-hpc", self.name),
            )
            manifest.add(Entry("account", self.name))
        return Change(Kind.MADE, f"account {self.name}")


@dataclass(frozen=True)
class Membership:
    """An account in a Unix group that is there already; `why` is told."""

    name: str
    group: str
    why: str
    runner: Runner = run

    def ensure(self, manifest: Manifest, *, dry: bool) -> Change | None:
        """Add the account to the group."""
        if self.name in grp.getgrnam(self.group).gr_mem:
            return None
        if not dry:
            call(self.runner, "usermod", "--append", "--groups", self.group, self.name)
            manifest.add(Entry("member", f"{self.name}:{self.group}"))
        return Change(Kind.MADE, f"{self.name} as a member of group {self.group}", self.why)


@dataclass(frozen=True)
class Folder:
    """A directory, its owner and its mode."""

    path: Path
    owner: str = "root"
    mode: int = 0o755

    def ensure(self, manifest: Manifest, *, dry: bool) -> Change | None:
        """Create the directory; of one that is ours, put owner and mode right again."""
        thing = f"{self.path}/ ({self.mode:04o} {self.owner})"
        ours = ("folder", str(self.path)) in manifest.entries
        if not self.path.exists():
            if not dry:
                with files.refusals(self.path):
                    self.path.mkdir(mode=self.mode)
                manifest.add(Entry("folder", str(self.path)))
                self._settle()
            return Change(Kind.MADE, thing)
        status = self.path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return Change(Kind.LEFT, str(self.path), "it is not a directory")
        if (status.st_uid, stat.S_IMODE(status.st_mode)) == (uid_of(self.owner), self.mode):
            return None
        if not ours:
            # a site's own place, such as a state directory for its administrators
            fits = status.st_uid == uid_of(self.owner)
            why = f"it was there before, and is not {self.owner}'s"
            return None if fits else Change(Kind.LEFT, f"{self.path}/", why)
        if not dry:
            self._settle()
        return Change(Kind.CHANGED, thing, "owner or mode was another")

    def _settle(self) -> None:
        entry = pwd.getpwnam(self.owner)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchown(descriptor, entry.pw_uid, entry.pw_gid)
            os.fchmod(descriptor, self.mode)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Text:
    """A file of root's with one content; `check` refuses a content before it is in place.

    With `keep`, what is there already is good: a secret that was made once.
    """

    path: Path
    text: str
    mode: int = 0o644
    keep: bool = False
    check: Callable[[str], None] | None = None

    def ensure(self, manifest: Manifest, *, dry: bool) -> Change | None:
        """Write the file, unless it is so already or somebody else has changed it."""
        known = manifest.entries.get(("file", str(self.path)))
        thing, shown = f"{self.path} ({self.mode:04o})", "" if self.keep else self.text
        try:
            there = self.path.read_bytes()
        except FileNotFoundError:
            self._write(manifest, dry=dry)
            return Change(Kind.MADE, thing, text=shown)
        if self.keep or there == self.text.encode():
            return self._permissions(manifest, there, thing, dry=dry)
        if known is None or known.digest != digest(there):
            why = "somebody changed it" if known else "it was there before"
            return Change(Kind.LEFT, str(self.path), f"{why}; move it away to have ours", shown)
        self._write(manifest, dry=dry)
        return Change(Kind.CHANGED, thing, text=shown)

    def _write(self, manifest: Manifest, *, dry: bool) -> None:
        if self.check is not None:
            self.check(self.text)
        if not dry:
            files.write_atomic(self.path, self.text, mode=self.mode)
            manifest.add(Entry("file", str(self.path), digest(self.text.encode())))

    def _permissions(
        self, manifest: Manifest, there: bytes, thing: str, *, dry: bool
    ) -> Change | None:
        status = self.path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return Change(Kind.LEFT, str(self.path), "it is not a plain file")
        if not dry and ("file", str(self.path)) not in manifest.entries and not self.keep:
            manifest.add(Entry("file", str(self.path), digest(there)))
        if (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, self.mode):
            return None
        if not dry:
            os.chown(self.path, 0, 0, follow_symlinks=False)
            self.path.chmod(self.mode)
        return Change(Kind.CHANGED, thing, "owner or mode was another")


def uid_of(name: str) -> int | None:
    """Return an account's number, None if there is no such account yet."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def call(runner: Runner, *argv: str) -> None:
    """Run a program of the system. Raise NotAllowed with its words if it does not do its work."""
    result = runner(Command(argv, environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}))
    if result.returncode != 0:
        raise NotAllowed(f"{argv[0]}: {result.words}")
