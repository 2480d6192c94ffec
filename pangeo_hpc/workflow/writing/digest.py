"""What made a unit: the script, the state of its repository, the environment, and the inputs.

Each unit is noted with the digest of all that. What has another digest now is stale.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pangeo_hpc.workflow.provenance.environment import digest_of
from pangeo_hpc.workflow.provenance.repository import ask

_SHOWN = 5


@dataclass(frozen=True)
class Digest:
    """What makes an output now.

    `parts` are compared: the script's digest, its repository, the digest of the environment, the
    inputs, and the key. With a key, which the author answers for, it stands for the first three.
    """

    parts: Mapping[str, Any]
    packages: Mapping[str, str]

    @cached_property
    def text(self) -> str:
        """Return the digest itself."""
        plain = json.dumps(self.parts, sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]

    def dump(self) -> dict[str, Any]:
        """Return it in plain words, as the ledger keeps it."""
        return {"format": 1, **self.parts, "packages": dict(self.packages)}


def digest(
    script: Path | None, code: str | None, inputs: Mapping[str, str], key: str | None
) -> Digest:
    """Return the digest of what runs now. `code` is the digest of the script's bytes."""
    packages = installed()
    listed = [f"{name}=={version}" for name, version in packages.items()]
    parts = {
        "code": code if key is None else None,
        "git": repository(script.parent) if key is None and script is not None else None,
        "environment": digest_of(listed) if key is None else None,
        "inputs": dict(inputs),
        "key": key,
    }
    return Digest(parts, packages)


@lru_cache(maxsize=1)
def installed() -> dict[str, str]:
    """Return the packages that may change a result, with their versions, and Python's own."""
    from pangeo_hpc.dask.same import OF_THE_CLIENT, here

    found = here()
    packages = {name: v for name, v in found.packages.items() if name not in OF_THE_CLIENT}
    return {"python": found.python, **packages}


@lru_cache(maxsize=8)
def repository(folder: Path) -> dict[str, str | None] | None:
    """Return the commit of the Git repository a folder is in, and a digest of what is not in it.

    Only tracked files count, since outputs and logs often lie beside a script. None without Git,
    or outside any repository.
    """
    if not folder.is_dir():
        return None
    commit = ask(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = ask(folder, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD")
    dirty = hashlib.sha256(changes.encode()).hexdigest() if changes else None
    return {"commit": commit.strip(), "dirty": dirty}


def changed_files(folder: Path, before: str) -> list[str]:
    """Return the tracked files that differ from a commit now."""
    told = ask(folder, "diff", "--no-ext-diff", "--name-only", before)
    return told.splitlines() if told else []


def changes(was: Mapping[str, Any], now: Digest, script: Path | None) -> list[str]:
    """Return in words what makes an output otherwise than what the ledger keeps of it."""
    told = []
    parts = now.parts
    if was.get("key") != parts["key"]:
        told.append(f"key was {was.get('key')!r} and is {parts['key']!r}")
    elif was.get("code") != parts["code"]:
        told.append("the script has changed")
    if was.get("git") != parts["git"] and parts["key"] is None:
        told.append(_of_git(was.get("git") or {}, parts["git"] or {}, script))
    if was.get("environment") != parts["environment"] and parts["key"] is None:
        told.append(_of_packages(was.get("packages") or {}, now.packages))
    old, new = was.get("inputs") or {}, parts["inputs"]
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            told.append(f"input {name} is no longer read")
        elif name not in old:
            told.append(f"input {name} is new")
        elif old[name] != new[name]:
            told.append(f"input {name} has changed")
    return told


def _of_git(was: Mapping[str, Any], now: Mapping[str, Any], script: Path | None) -> str:
    old, new = was.get("commit"), now.get("commit")
    if old is None or new is None:
        return f"the script's Git repository is {'new' if new else 'gone'}"
    files = changed_files(script.parent, old) if script is not None else []
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    where = f": {', '.join(files[:_SHOWN])}{more}" if files else ""
    if old == new:
        return f"files of the script's repository differ from what was there{where}"
    return f"the script's repository was at {old[:10]} and is at {new[:10]}{where}"


def _of_packages(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    shown = [f"{name} {was.get(name, 'none')} → {now.get(name, 'none')}" for name in names[:_SHOWN]]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return f"the environment has changed: {', '.join((*shown, *more))}"


def shown(told: Sequence[str]) -> str:
    """Return what has changed as one phrase."""
    return "; ".join(told) or "something has changed"
