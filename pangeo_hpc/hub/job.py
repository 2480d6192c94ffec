"""The one program by which the hub acts as a user: `pangeo-hpc-hub-job submit`, `cancel` and so on.

It is started by one sudo rule, reads one order from its standard input, decides everything from the
root-owned site YAML itself, and answers in JSON. A hub in hostile hands can do with it what the
users of the hub can do at the hub, and no more.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.errors import (
    Exit,
    NotAllowed,
    PangeoHpcError,
    RequestRefused,
    SiteError,
    UsageError,
)
from pangeo_hpc.hub import orders, owned, servers, tickets
from pangeo_hpc.hub.tickets import PROBLEM
from pangeo_hpc.schedulers import registry
from pangeo_hpc.site import Person, Site, current_person, load_site

SITE_FILE = Path("/etc/pangeo-hpc/site.yaml")
LOWEST_UID = 1000
# The account that owns nothing, on every Linux; its number is above those of system accounts.
NOBODY = 65534


def main(argv: Sequence[str] | None = None, *, site_file: Path | str = SITE_FILE) -> None:
    """Carry out one order and exit with the code that tells what happened."""
    words = sys.argv[1:] if argv is None else list(argv)
    code, answer = carry_out(words, sys.stdin.buffer.read(tickets.LARGEST + 1), Path(site_file))
    sys.stdout.write(json.dumps({"format": tickets.FORMAT, **answer}) + "\n")
    sys.stdout.flush()
    sys.exit(code)


def carry_out(words: Sequence[str], given: bytes, site_file: Path) -> tuple[int, Mapping[str, Any]]:
    """Return the exit code and the answer to one order; an error is an answer."""
    # the hub's says nothing of how a user's files should be; what is private says so itself
    os.umask(0o022)
    os.chdir("/")
    try:
        verb = orders.VERBS.get(words[0]) if len(words) == 1 else None
        if verb is None:
            raise UsageError(f"one of these is wanted: {', '.join(orders.VERBS)}")
        ticket = tickets.parse(given)
        owned.check(site_file)
        site = load_site(site_file, schedulers=registry.names())
        person = current_person(environ={})
        admit(site, person, ticket.user)
        return Exit.DONE, verb(site, person, ticket)
    except PangeoHpcError as error:
        return error.exit_code, {"error": plain_error(error)}
    except OSError as error:
        told = files.refused(None, error) or NotAllowed(f"{error.filename}: {error.strerror}")
        return told.exit_code, {"error": plain_error(told)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # only what lies in the user's own folder is not what this program wrote there
        damaged = NotAllowed(f"a record of a server is damaged: {type(error).__name__}: {error}")
        return damaged.exit_code, {"error": plain_error(damaged)}


def admit(site: Site, person: Person, user: str) -> None:
    """Raise NotAllowed for a person whom the hub does not serve, whoever asks."""
    if person.uid < LOWEST_UID or person.uid == NOBODY:
        raise NotAllowed(f"{person.user} is a system account (uid {person.uid})")
    if person.user != user:
        raise NotAllowed(f"the order is for {user}, and this is {person.user}")
    if site.hub is None:
        raise NotAllowed(f"site {site.name} has no hub")
    if not servers.is_member(person, site.hub.allowed_groups):
        groups = ", ".join(site.hub.allowed_groups) or "none"
        raise NotAllowed(f"{user} is in none of the hub's groups: {groups}")


def plain_error(error: PangeoHpcError) -> dict[str, Any]:
    """Return an error as JSON-able values; `answers.error` takes it back."""
    told: dict[str, Any] = {"kind": type(error).__name__, "text": error.text, "hint": error.hint}
    if isinstance(error, RequestRefused | SiteError):
        told["problems"] = [
            {name: getattr(each, name) for name in PROBLEM} for each in error.problems
        ]
    return told


if __name__ == "__main__":
    main()
