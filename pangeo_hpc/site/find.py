"""Where the site YAML is: what was asked for, else the first of the usual places."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from pathlib import Path

from pangeo_hpc.errors import Problem, SiteError, SiteNotFound

LOCAL = "local"
SYSTEM_FILE = Path("/etc/pangeo-hpc/site.yaml")
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Source:
    """A site YAML that was found.

    `shown` is its name in messages; `folder` is what relative paths start from. `text` is None
    for the built-in site.
    """

    shown: str
    text: str | None = None
    folder: Path | None = None
    path: Path | None = None
    why: str = ""


def find(where: str | Path | None, environ: Mapping[str, str]) -> Source:
    """Return the site that was asked for, or the first of the usual places.

    Raise SiteNotFound if it is not there, or if this host has a scheduler and no site; SiteError
    if it cannot be read.
    """
    if where is not None and str(where):
        return named(where, "asked for")
    variable = environ.get("PANGEO_HPC_SITE")
    if variable:
        return named(variable, "PANGEO_HPC_SITE")
    for path in (user_folder(environ) / "site.yaml", SYSTEM_FILE):
        if path.is_file():
            return read(path, "a usual place")
    program = next((name for name in ("sbatch", "qsub") if _on_path(name, environ)), None)
    if program:
        text = f"this machine has a scheduler ({program}), but there is no site YAML"
        hint = "draft one with `pangeo-hpc site init`, or use this machine alone: --site local"
        raise SiteNotFound(text, hint=hint)
    return Source("built-in site local", why="no site YAML, and no scheduler on this machine")


def named(where: str | Path, why: str) -> Source:
    """Return the site of a path, or of a name in site-configs."""
    text = str(where)
    if isinstance(where, str) and text == LOCAL:
        return Source("built-in site local", why=why)
    looks_like_path = isinstance(where, Path) or "/" in text or text.endswith(_SUFFIXES)
    if not looks_like_path:
        known = dict(shipped())
        if text in known:
            return _shipped(known[text], why)
        if not Path(text).is_file():
            near = get_close_matches(text, [*known, LOCAL], 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join([*known, LOCAL])}"
            raise SiteNotFound(f"no site named {text}", hint=f"{hint}; a path has a / in it")
    path = Path(text).expanduser()
    if not path.is_file():
        hint = "check the path, or see `pangeo-hpc site init`"
        reason = "is not a file" if path.exists() else "does not exist"
        raise SiteNotFound(f"{text} {reason}", hint=hint)
    return read(path, why, shown=text)


def read(path: Path, why: str = "", shown: str | None = None) -> Source:
    """Return a file as a source. Raise SiteError if it cannot be read as text."""
    name = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = Problem("", f"it cannot be read: {error.strerror}", "check its permissions", name)
        raise SiteError([problem]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem("", "it is not UTF-8 text", "save it as UTF-8", name, line)
        raise SiteError([problem]) from error
    whole = path.absolute()
    return Source(name, text, whole.parent, whole, why)


def shipped() -> Iterator[tuple[str, Traversable]]:
    """Yield the names and files of site-configs, of the wheel or beside a checkout."""
    package = package_files("pangeo_hpc")
    folders: list[Traversable] = [package / "_data" / "site-configs"]
    if isinstance(package, Path):
        folders.append(package.parent / "site-configs")
    seen = set()
    for folder in folders:
        if not folder.is_dir():
            continue
        for item in sorted(folder.iterdir(), key=lambda entry: entry.name):
            name, dot, suffix = item.name.rpartition(".")
            if dot + suffix in (".yaml", ".yml") and name not in seen:
                seen.add(name)
                yield name, item


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's own settings."""
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".config" / "pangeo-hpc"


def _shipped(item: Traversable, why: str) -> Source:
    if isinstance(item, Path):
        return read(item, why)
    return Source(f"site-configs/{item.name}", item.read_text(encoding="utf-8"), None, None, why)


def _on_path(program: str, environ: Mapping[str, str]) -> bool:
    return shutil.which(program, path=environ.get("PATH", os.defpath)) is not None
