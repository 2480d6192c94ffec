"""Run this command line again as another Unix user: for administrators, as root."""

import os
import pwd
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pangeo_hpc.errors import NotAllowed, UnknownName
from pangeo_hpc.run import PASSED_ON

if TYPE_CHECKING:
    from collections.abc import Iterator

# What of root's environment goes on: where commands are, and what the terminal understands.
_KEPT = (*PASSED_ON, "LANG", "LC_ALL", "TERM", "COLUMNS")
# What a child says that could not become a program; no command of ours ends so.
_NOT_STARTED = 126


@dataclass(frozen=True)
class OtherUser:
    """A Unix user with all their groups."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: tuple[int, ...]

    def environment(self, ours: Mapping[str, str], **more: str) -> dict[str, str]:
        """Return a clean environment of theirs."""
        kept = {name: ours[name] for name in _KEPT if name in ours}
        named = {"USER": self.name, "LOGNAME": self.name, "HOME": self.home, "SHELL": self.shell}
        return {**kept, **named, **more}


def find_user(name: str, *, uid: int | None = None) -> OtherUser:
    """Return a user whom we may become. Raise NotAllowed unless we are root, or UnknownName."""
    if (os.geteuid() if uid is None else uid) != 0:
        hint = "run it as root, or leave --as out to check as yourself"
        raise NotAllowed(f"only root may check as another user, such as {name}", hint=hint)
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        hint = "give the login name of somebody who uses the site"
        raise UnknownName(f"there is no user {name!r}", hint=hint) from error
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    home, shell = entry.pw_dir, entry.pw_shell or "/bin/sh"
    return OtherUser(name, entry.pw_uid, entry.pw_gid, home, shell, groups)


def run_again(user: OtherUser, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `pangeo-hpc ARGUMENTS` as a user, wait for its end and return its exit code.

    It is a new program in a session of its own and speaks through pipes, so that nothing of root's
    is left in it, and whoever is that user cannot get at root's terminal; -I keeps the user's own
    Python files out of it. Signals that reach us are handed on. Raise NotAllowed if the user cannot
    run it at all.
    """
    argv = [sys.executable, "-I", "-m", "pangeo_hpc", *arguments]
    pipes = {number: os.pipe() for number in (1, 2)}
    with _handed_on() as hand_on:
        child = os.fork()
        if child == 0:
            ends = {number: write for number, (_, write) in pipes.items()}
            _become(user, argv, user.environment(environ), ends)
        hand_on(child)
        for _, write in pipes.values():
            os.close(write)
        status = _relay(child, {read: number for number, (read, _) in pipes.items()})
    code = os.waitstatus_to_exitcode(status)
    if code == _NOT_STARTED:
        text = f"{user.name} cannot run {sys.executable}"
        raise NotAllowed(text, hint="install pangeo-hpc where all users may read and run it")
    return 128 - code if code < 0 else code


def _relay(child: int, pipes: dict[int, int]) -> int:
    """Write down what a child says until it has ended, and return its wait status."""
    while pipes:
        ready, _, _ = select.select(list(pipes), [], [], 0.2)
        for read in ready:
            said = os.read(read, 1 << 16)
            if not said:
                os.close(read)
                del pipes[read]
            while said:
                said = said[os.write(pipes[read], said) :]
        # what it started may keep the pipes open for longer
        ended, status = (0, 0) if ready else os.waitpid(child, os.WNOHANG)
        if ended:
            return status
    return os.waitpid(child, 0)[1]


def _become(
    user: OtherUser, argv: list[str], environ: Mapping[str, str], ends: Mapping[int, int]
) -> None:
    """Turn this process into a program of another user; never return. `ends` become its streams."""
    try:
        os.setsid()
        os.setgroups(user.groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
        os.umask(0o022)
        home = Path(user.home)
        os.chdir(home if home.is_dir() and os.access(home, os.X_OK) else "/")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, end in ends.items():
            os.dup2(end, number)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.execve(argv[0], argv, environ)  # noqa: S606 - no shell is what is wanted
    finally:
        os._exit(_NOT_STARTED)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _handed_on() -> "Iterator[Callable[[int], None]]":
    """Hand signals on to a child: it has jobs to call back before it ends."""
    children: list[int] = []

    def hand_on(number: int, _: Any) -> None:
        for child in children:
            os.kill(child, number)

    before = {number: signal.signal(number, hand_on) for number in _SIGNALS}
    try:
        yield children.append
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
