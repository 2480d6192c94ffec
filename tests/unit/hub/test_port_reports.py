"""What a server may report: one port."""

import json

import pytest

from pangeo_hpc.hub.port import read_port

NO_PORTS = [
    b"",
    b"30000",
    b'"30000"',
    b"[30000]",
    b"null",
    b"\xff\xfe",
    b"{" * 90,
    b"[" * 90,
    b'{"port": 30000' + b" " * 200 + b"}",
    *(
        json.dumps({"port": wrong}).encode()
        for wrong in (
            *(True, False, None, 30000.0, 3e4, "30000", "", -1, 0, 1, 80, 1023, 65536, 10**30),
            *([30000], {"port": 30000}, [[]]),
        )
    ),
    b'{"port": NaN}',
    b'{"port": Infinity}',
    b'{"port": 30000, "host": "evil"}',
    b'{"port": 30000, "cmd": ["sh"]}',
    b'{"Port": 30000}',
    b"{}",
]


@pytest.mark.parametrize("body", NO_PORTS, ids=lambda body: body[:30].decode(errors="replace"))
def test_nothing_but_a_port_is_read(body: bytes) -> None:
    """No other type, no other key, no number out of range, nothing beside it."""
    assert read_port(body) is None


def test_a_port_is_read() -> None:
    """The lowest and the highest of a user's ports are ports."""
    assert [read_port(b'{"port": %d}' % port) for port in (1024, 30000, 65535)] == [
        1024,
        30000,
        65535,
    ]
