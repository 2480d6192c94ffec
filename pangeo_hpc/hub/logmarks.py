"""What the lines of a server's log give away about its end."""

import re
from collections.abc import Mapping, Sequence

# What the shell, the scheduler's programs on the node, Python and ours write.
_MARKS: Mapping[str, tuple[str, ...]] = {
    "out-of-memory": (
        r"oom[-_ ]?kill",
        r"\bOut Of Memory\b",
        r"MemoryError",
        r"Cannot allocate memory",
        r"memory limit",
        r"exceeded (its )?memory",
        r"mem \S+ exceeded limit",
    ),
    "disk-full": (r"No space left on device", r"Disk quota exceeded", r"quota exceeded"),
    "restarted": (r"(No such file or directory|FileNotFoundError).*/private/server-",),
    "environment": (
        r"command not found",
        r"bad interpreter",
        r"ModuleNotFoundError",
        r"No module named",
        r"ImportError: (cannot import|lib\S+: cannot open shared object)",
        r"error while loading shared libraries",
        r"Lmod has detected the following error",
        r"Unable to locate a modulefile",
        r"Could not find conda environment",
        r"pangeo_hpc\.errors\.SiteError",
        r"(bin/\S+|singleuser\S*)\W+(No such file or directory|Permission denied|cannot execute)",
    ),
    # JupyterHub's own server looks for the hub before ours reports to it
    "unreachable": (
        r"the hub did not take the report",
        r"Failed to connect to (my )?Hub",
        r"Error (connecting to|notifying) \S*Hub",
        r"Cannot connect to host",
    ),
}
_PATTERNS = {kind: re.compile("|".join(each), re.IGNORECASE) for kind, each in _MARKS.items()}
# A kernel that is left out keeps no server from starting.
_HARMLESS = re.compile(r"pangeo-hpc: environment \S+ is no kernel")

SHOWN, LONGEST = 40, 400
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def kinds(lines: Sequence[str]) -> set[str]:
    """Return every kind of failure that the lines speak of."""
    telling = [line for line in lines if not _HARMLESS.search(line)]
    return {kind for kind, pattern in _PATTERNS.items() if any(map(pattern.search, telling))}


def shown(lines: Sequence[str], secret: str = "") -> tuple[str, ...]:
    """Return the last lines as they may stand on a page: short, printable, without a secret."""
    last = lines[-SHOWN:]
    return tuple(_plain(line.replace(secret, "***") if secret else line) for line in last)


def _plain(line: str) -> str:
    """Return a line without colours and control characters, cut where it is too long."""
    text = _COLOUR.sub("", line).expandtabs(4)
    text = "".join(char for char in text if char.isprintable())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
