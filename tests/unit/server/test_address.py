"""A server listens at one address, the one that its callers reach, and at a port of the range."""

import socket
from dataclasses import dataclass, field

import pytest

from pangeo_hpc.errors import UsageError
from pangeo_hpc.server.address import LOOPBACK, PORTS, Wish, bind, choose, is_loopback, resolved
from pangeo_hpc.site.model import Hub

NODE = {"lo": ("127.0.0.1",), "eth0": ("10.0.0.7",), "ib0": ("192.168.9.7",)}


@dataclass
class Case:
    """What is known, and the address that follows."""

    wish: Wish
    address: str
    names: tuple[str, ...] = ()
    routes: dict[str, str] = field(default_factory=dict)
    node: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(NODE))


LOCAL = {"lo": ("127.0.0.1",)}
CASES = {
    "this machine only": Case(Wish(loopback=True), LOOPBACK),
    "the interface of the node type": Case(Wish(interface="ib0"), "192.168.9.7", ("10.0.0.7",)),
    "also if that is lo": Case(Wish(interface="lo"), LOOPBACK, ("10.0.0.7",)),
    "an interface it does not have": Case(Wish(interface="hsn0"), "10.0.0.7", ("10.0.0.7",)),
    "the node's own name": Case(Wish(), "10.0.0.7", ("10.0.0.7",)),
    "a name that leads to loopback": Case(
        Wish(callers=("10.0.0.1",)), "10.0.0.7", ("127.0.1.1",), {"10.0.0.1": "10.0.0.7"}
    ),
    "a name of somebody else": Case(
        Wish(callers=("192.168.9.1",)), "192.168.9.7", ("8.8.8.8",),
        {"192.168.9.1": "192.168.9.7"},
    ),
    "the way out": Case(Wish(), "192.168.9.7", (), {"192.0.2.1": "192.168.9.7"}),
    "any, if nothing is known": Case(Wish(), "10.0.0.7"),
    "nothing but loopback": Case(Wish(), LOOPBACK, node=LOCAL),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_right_address(case: Case) -> None:
    """In turn: interface, own name, the side that faces the caller, the way out."""
    found = choose(
        case.wish,
        host="c7",
        addresses=case.node,
        resolve=lambda name: case.names,
        route=case.routes.get,
    )
    assert found == case.address


def test_this_very_host() -> None:
    """Without any words from a test, it is an address of ours, and never all of them."""
    with bind(choose(Wish()), (30000, 30999)) as listening:
        assert listening.getsockname()[0] not in ("0.0.0.0", "")
    assert list(resolved("no.such.host.invalid")) == []
    assert is_loopback("127.0.1.1") and not is_loopback("10.0.0.1")


def test_a_port_of_the_range_that_is_free() -> None:
    """One that is taken is passed over, and two never get the same."""
    with bind(LOOPBACK, (30990, 30999)) as first:
        port = first.getsockname()[1]
        with bind(LOOPBACK, (port, port + 1), shuffle=False) as second:
            assert second.getsockname()[1] == port + 1
        with pytest.raises(UsageError, match=f"no port from {port} to {port} is free"):
            bind(LOOPBACK, (port, port))


def test_the_range_without_a_hub() -> None:
    """It is the one that a hub has by default."""
    assert Hub.model_fields["port_range"].default == PORTS


def test_it_listens_from_the_start() -> None:
    """Who is told the port can connect, even before the server takes the connection."""
    with bind(LOOPBACK, (30000, 30999)) as listening:
        socket.create_connection(listening.getsockname(), timeout=5).close()
