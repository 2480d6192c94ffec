"""The git repository a script lies in: its commit, and what is not committed."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.run import Command, Runner, run

# What is kept of changes that are not committed; a repository with large data in it has more.
MOST = 1 << 20
_SECONDS = 30.0
# Whatever a repository's own configuration names (pagers, monitors, converters) is not started.
_PLAIN = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "diff.external="),
)
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_EXTERNAL_DIFF": None}


def ask(folder: Path, *words: str, runner: Runner = run) -> str | None:
    """Return what git prints in a folder, None if it has no answer, or is not there.

    It starts no program that a repository names, and changes nothing.
    """
    command = ("git", "-C", str(folder), "--no-optional-locks", *_PLAIN, *words)
    try:
        told = runner(Command(command, timeout=_SECONDS, environment=_QUIET))
    except PangeoHpcError:
        # no git on this node
        return None
    return told.stdout if told.returncode == 0 else None


class Repositories:
    """Asks git about the repositories of scripts, about each of them once.

    So many runs that are submitted together are told the same, and git is not started for each.
    """

    def __init__(self, *, runner: Runner = run) -> None:
        self._runner = runner
        self._states: dict[Path, dict[str, Any] | None] = {}
        self._unknown: dict[Path, bool] = {}

    def state(self, script: Path | None) -> dict[str, Any] | None:
        """Return the repository of a script as it is now, None without one, or without git.

        `dirty` counts files that git knows and that differ from the commit; `untracked` tells
        whether the script itself is unknown to git. `diff` is all that is not committed.
        """
        if script is None:
            return None
        folder = script.parent
        if folder not in self._states:
            self._states[folder] = self._look(folder)
        found = self._states[folder]
        if found is None:
            return None
        if script not in self._unknown:
            words = ("ls-files", "--error-unmatch", "--", script.name)
            self._unknown[script] = ask(folder, *words, runner=self._runner) is None
        return {**found, "untracked": self._unknown[script]}

    def _look(self, folder: Path) -> dict[str, Any] | None:
        git = partial(ask, folder, runner=self._runner)
        top = git("rev-parse", "--show-toplevel")
        if top is None:
            return None
        head = git("rev-parse", "--verify", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
        diff = git("diff", "--no-ext-diff", "--no-textconv", "HEAD") if changed else ""
        return {
            "root": top.strip(),
            "commit": head.strip() if head else None,
            "branch": (git("rev-parse", "--abbrev-ref", "HEAD") or "").strip() or None,
            "dirty": len(changed.splitlines()) if changed is not None else None,
            "diff": diff or "",
        }


def state(script: Path | None, *, runner: Runner = run) -> dict[str, Any] | None:
    """Return the repository of one script as it is now, None without one, or without git."""
    return Repositories(runner=runner).state(script)


def record(
    script: Path | None, place: Path, *, git: Repositories | None = None
) -> dict[str, Any] | None:
    """Return what is told of a script's repository, and keep its diff in the attempt's folder.

    At most MOST bytes of it are kept.
    """
    found = (git or Repositories()).state(script)
    if found is None:
        return None
    diff: str = found.pop("diff")
    found["diff"] = None
    if diff:
        text = diff.encode(errors="surrogateescape")
        files.write_atomic(place / "uncommitted.diff", text[:MOST], mode=0o600)
        found["diff"] = "uncommitted.diff"
        found["diff_sha256"] = hashlib.sha256(text).hexdigest()
        found["diff_cut"] = len(text) > MOST
    return found


def in_words(found: dict[str, Any] | None) -> str:
    """Return the state of a repository in one line."""
    if not found:
        return "in no git repository"
    words = [str(found["commit"])[:12] if found.get("commit") else "no commit yet"]
    if found.get("branch") not in (None, "HEAD"):
        words.append(f"on {found['branch']}")
    if found.get("dirty"):
        many = found["dirty"]
        words.append(f"with {many} file{'s' if many > 1 else ''} changed and not committed")
    if found.get("untracked"):
        words.append("(the script is not in it)")
    return " ".join(words)
