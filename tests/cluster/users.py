"""Run commands as a real Unix user of the test cluster."""

import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests.cluster.find import MARK
from tests.cluster.machine import VENV

if TYPE_CHECKING:
    from tests.cluster.face import Cluster


class ClusterUser:
    """One Unix user on the login side of one cluster."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        entry = pwd.getpwnam(name)
        self.cluster = cluster
        self.name = name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        self.home = Path(entry.pw_dir)
        self.scratch = cluster.scratch_dir(name)
        self.shared = cluster.shared_dir(name)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the clean environment of this user's commands, with the venv first in PATH."""
        return {
            "PATH": f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            MARK: self.cluster.mark,
            **self.cluster.environment(),
            **(extra or {}),
        }

    def popen(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = subprocess.PIPE,
        session: bool = True,
    ) -> "subprocess.Popen[str]":
        """Start a command as this user; env is added to the usual one.

        It gets a session of its own unless session is False, as at a terminal.
        """
        return subprocess.Popen(
            [str(word) for word in argv],
            env=self.environment(env),
            cwd=cwd or self.home,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            user=self.uid,
            group=self.gid,
            extra_groups=os.getgrouplist(self.name, self.gid),
            umask=0o022,
            start_new_session=session,
        )

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        check: bool = True,
        timeout: float = 60,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run gives it
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as this user and return its result; the whole session ends at timeout."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.popen(argv, env=env, cwd=cwd, stdin=stdin) as child:
            try:
                stdout, stderr = child.communicate(input, timeout)
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)
                raise
        if check and child.returncode:
            words = " ".join(str(word) for word in argv)
            text = f"exit code {child.returncode} for {self.name} from: {words}\n{stdout}{stderr}"
            raise AssertionError(text)
        return subprocess.CompletedProcess(child.args, child.returncode, stdout, stderr)
