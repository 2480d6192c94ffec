"""One port, and nothing else, is what a server may tell the hub."""

import json
from types import SimpleNamespace

import pytest

from pangeo_hpc.hub.port import _LARGEST, HIGHEST, LOWEST, read_port, spawners_of
from pangeo_hpc.hub.spawner import SiteSpawner


@pytest.mark.parametrize("port", [LOWEST, 30001, HIGHEST])
def test_a_port(port):
    """Whole numbers of the range are ports."""
    assert read_port(json.dumps({"port": port}).encode()) == port


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"30001",
        b"[30001]",
        b"{}",
        b'{"port": "30001"}',
        b'{"port": 30001.0}',
        b'{"port": true}',
        b'{"port": null}',
        b'{"port": 80}',
        b'{"port": 65536}',
        b'{"port": -1}',
        b'{"port": 30001, "cmd": "id"}',
        b'{"port": 30001, "exec_prefix": "x"}',
        b'{"batch_query_cmd": "id"}',
        b"\xff\xfe",
        b'{"port": 30001' + b" " * _LARGEST + b"}",
    ],
)
def test_anything_else_is_no_port(body):
    """Text, other keys, numbers out of range and long bodies are refused."""
    assert read_port(body) is None


def test_the_child_of_a_wrapper_is_found():
    """The report reaches the spawner with the job, in a wrapper or not, and no foreign one."""
    inner, alone = SiteSpawner(orm_spawner=None), SiteSpawner(orm_spawner=None)
    wrapper = SimpleNamespace(child_spawner=inner)
    empty = SimpleNamespace(child_spawner=None)
    user = SimpleNamespace(spawners={"": wrapper, "a": alone, "b": empty})
    assert spawners_of(user) == [(wrapper, inner), (alone, alone)]
    assert spawners_of(SimpleNamespace()) == []
