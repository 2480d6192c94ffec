"""Where on its node a server listens: one address, never all of them, and a port of the range."""

import random
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pangeo_hpc.errors import UsageError

LOOPBACK = "127.0.0.1"
# What a site without a hub uses; the default of the hub's port_range too.
PORTS = (30000, 30999)
# Of the block for documentation: no packet is sent, only the route is looked up.
_OUTSIDE = "192.0.2.1"

Addresses = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is known about the right address before the node is.

    `interface` is that of the node type; `callers` are addresses of the host that will call, by
    which the node finds its side of the network between them.
    """

    interface: str | None = None
    callers: tuple[str, ...] = ()
    loopback: bool = False


def choose(
    wish: Wish,
    *,
    host: str | None = None,
    addresses: Addresses | None = None,
    resolve: Callable[[str], Iterable[str]] | None = None,
    route: Callable[[str], str | None] | None = None,
) -> str:
    """Return the IPv4 address of this node that a server listens at.

    In turn: the interface of the wish; the address this host's own name stands for; the one that
    faces the caller; the one that faces the outside; any other; loopback. The keyword arguments
    are for tests.
    """
    ours = local_addresses() if addresses is None else addresses
    if wish.loopback:
        return LOOPBACK
    if wish.interface and ours.get(wish.interface):
        return ours[wish.interface][0]
    mine = [address for each in ours.values() for address in each]
    route = route or _route
    named = (resolve or resolved)(host or socket.gethostname())
    facing = (route(caller) for caller in (*wish.callers, _OUTSIDE))
    for address in (*named, *facing, *mine):
        if address in mine and not is_loopback(address):
            return address
    return LOOPBACK


def bind(address: str, ports: tuple[int, int], *, shuffle: bool = True) -> socket.socket:
    """Return a socket that listens at a free port of the range, which nobody else gets any more.

    Ports are tried in random order, so that neighbours do not queue for the first one. Raise
    UsageError if none is free.
    """
    first, last = ports
    numbers = list(range(first, last + 1))
    if shuffle:
        random.shuffle(numbers)
    for number in numbers:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.bind((address, number))
            listening.listen(128)
        except OSError:
            listening.close()
        else:
            listening.setblocking(False)
            return listening
    hint = "widen hub.port_range in the site YAML"
    raise UsageError(f"no port from {first} to {last} is free at {address}", hint=hint)


def local_addresses() -> dict[str, tuple[str, ...]]:
    """Return the IPv4 addresses of each interface of this host that is up."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    return {
        name: tuple(e.address for e in entries if e.family == socket.AF_INET)
        for name, entries in psutil.net_if_addrs().items()
        if name in up
    }


def outward_addresses() -> tuple[str, ...]:
    """Return the addresses of this host that other hosts may know."""
    every = (address for each in local_addresses().values() for address in each)
    return tuple(address for address in every if not is_loopback(address))


def resolved(name: str) -> Iterator[str]:
    """Yield the IPv4 addresses that a name stands for on this host; none if it is unknown."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return
    yield from dict.fromkeys(str(entry[4][0]) for entry in found)


def is_loopback(address: str) -> bool:
    """Tell whether an address leads back to the host itself."""
    return address.startswith("127.")


def login_host(known: Iterable[str], here: str) -> str:
    """Return the host to log in to: of those the site knows the one we are on, else the first.

    Where it knows none, this host.
    """
    hosts = list(known)
    for host in hosts:
        if host == here or host.partition(".")[0] == here.partition(".")[0]:
            return host
    return hosts[0] if hosts else here


def _route(towards: str) -> str | None:
    """Return the address of ours from which packets to an address would go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return None
