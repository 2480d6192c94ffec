"""What the hub remembers of a server, and what it does not."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pangeo_hpc.hub.state import ServerState, digest, proof_key
from pangeo_hpc.hub.tickets import NAME


def test_a_state_survives_the_database():
    """It is plain JSON, and gives an equal state; keys of another version are passed over."""
    state = replace(ServerState.new("token"), job="12", scheduler="slurm", port=30001, ends=5.0)
    kept = json.loads(json.dumps(state.plain()))
    assert ServerState.revive(kept) == state
    assert ServerState.revive({**kept, "of_tomorrow": 1}) == state


@pytest.mark.parametrize("kept", [{}, {"name": "jupyter-x7k2abcd"}, {"job_id": "12"}])
def test_what_is_no_state(kept):
    """Half a state is none: nothing can be proven with it."""
    assert ServerState.revive(kept) is None


def test_the_token_is_not_kept():
    """Only a digest, and a key that differs from it, are stored; both depend on the token."""
    state = ServerState.new("very-secret-token")
    assert "very-secret-token" not in json.dumps(state.plain())
    assert state.token_digest == digest("very-secret-token") != digest("other")
    assert state.proof_key == proof_key("very-secret-token") != state.token_digest


def test_each_start_has_a_name_of_its_own():
    """The nonce tells two starts apart, and the program takes the name."""
    now = datetime(2026, 11, 26, tzinfo=UTC)
    names = {ServerState.new("t", now=now).name for _ in range(100)}
    assert len(names) == 100
    assert all(NAME.fullmatch(name) for name in names)
    assert ServerState.new("t", now=now).asked == now.timestamp()
