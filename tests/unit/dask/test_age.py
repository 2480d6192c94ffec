"""A cluster says when its keys are too old, a day before and then."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pangeo_hpc.dask.age import Age
from pangeo_hpc.dask.security import VALID, make_keys
from pangeo_hpc.errors import ClusterTooOld

MADE = datetime(2030, 1, 1, tzinfo=UTC)


def test_warned_and_given_up(tmp_path: Path) -> None:
    """Nothing before, a warning on the last day, and the end with a way on."""
    said: list[Any] = []
    cluster: Any = SimpleNamespace(
        folder=tmp_path, keys=make_keys(tmp_path / "tls", MADE), warn=said.append
    )
    cluster.give_up = said.append
    age = Age(cluster)
    age.look(MADE + VALID - timedelta(days=2))
    assert said == []
    age.look(MADE + VALID - timedelta(hours=1))
    assert said == [
        "nothing can connect to this cluster after 2030-01-31 00:00 UTC; start a new one"
    ]
    said.clear()
    age.look(MADE + VALID)
    text, error = said
    assert isinstance(error, ClusterTooOld)
    assert str(error) == text
    assert "valid for 30 days, until 2030-01-31 00:00 UTC" in text
    assert "start a new one" in text


def test_refused_when_too_old(tmp_path: Path) -> None:
    """The last moment is still good."""
    keys = make_keys(tmp_path / "tls", MADE)
    keys.check(MADE + VALID - timedelta(seconds=1))
    with pytest.raises(ClusterTooOld):
        keys.check(MADE + VALID)
