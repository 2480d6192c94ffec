"""Whether scratch keeps what a run writes until it is complete: decided from the site's policy."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.site import ScratchFilesystem, load_site
from pangeo_hpc.workflow.staging import purge as staging_purge
from pangeo_hpc.workflow.staging.purge import Written, attempts_left, expected, risks

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OUT = Path("/scratch/alice/out.zarr")


def days(number: float) -> timedelta:
    return timedelta(days=number)


def filesystem(**purge: Any) -> ScratchFilesystem:
    return ScratchFilesystem.model_validate({"path": "/scratch/{user}", "purge": purge or None})


def test_nothing_is_at_risk_where_nothing_is_purged() -> None:
    """No purge, no warning."""
    old = Written(OUT, NOW - days(900), NOW - days(900))
    assert risks(filesystem(), [old], now=NOW, lasts=days(900)) == []


def test_the_oldest_file_counts_where_the_centre_purges() -> None:
    """File by file: its first unit has to last until the run is complete."""
    ours = filesystem(after="60 days", enforced_by="site")
    begun = Written(OUT, NOW - days(58), NOW - days(1))
    assert risks(ours, [begun], now=NOW, lasts=days(1)) == []
    (risk,) = risks(ours, [begun], now=NOW, lasts=days(3))
    assert (risk.path, risk.day) == (OUT, NOW + days(2))
    (risk,) = risks(ours, [], now=NOW, lasts=days(61))
    assert (risk.path, risk.day) == (None, NOW + days(60))


def test_the_newest_file_counts_where_stores_live_as_one() -> None:
    """A run that goes on writing renews its store; one that waited too long does not."""
    ours = filesystem(after="60 days", grace="7 days")
    assert risks(ours, [Written(OUT, NOW - days(200), NOW)], now=NOW, lasts=days(30)) == []
    assert risks(ours, [], now=NOW, lasts=days(200)) == []
    (risk,) = risks(ours, [Written(OUT, NOW - days(200), NOW - days(66))], now=NOW, lasts=days(2))
    assert risk.day == NOW + days(1)


@pytest.mark.parametrize(
    ("progress", "attempts", "left"),
    [
        (None, 0, 1),
        ({"done": 0, "total": 10}, 1, 1),
        ({"done": 10, "total": 10}, 1, 1),
        ({"done": 1, "total": 10}, 1, 9),
        ({"done": 4, "total": 10}, 2, 3),
    ],
)
def test_attempts_that_are_still_needed(
    progress: dict[str, int] | None, attempts: int, left: int
) -> None:
    """As many as the earlier ones were slow."""
    assert attempts_left(progress, attempts) == left
    assert expected(days(1), attempts=left) == days(left)


SITE = """
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types: {{one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}}}
scratch:
  s: {{root: "{here}", path: "{here}/{{user}}", purge: {{after: 10 days, enforced_by: {by}}}}}
"""


@pytest.mark.parametrize("by", ["site", "pangeo-hpc"])
def test_the_warning_and_the_pin(tmp_path: Path, by: str) -> None:
    """It names the output and the day; a pin is made where the site lets us, if there is one."""
    (tmp_path / "site.yaml").write_text(SITE.format(here=tmp_path, by=by))
    site = load_site(tmp_path / "site.yaml")
    output = tmp_path / "out.zarr"
    output.mkdir()
    run = tmp_path / "run"
    units = run / "ledger" / "out.zarr-1" / "token"
    units.mkdir(parents=True)
    template = units.parent / "template.json"
    template.write_text(json.dumps({"output": str(output), "token": "token"}))
    (units / "unit-0.json").write_text("{}")
    for path in (template, units / "unit-0.json"):
        os.utime(path, ((NOW - days(9)).timestamp(),) * 2)
    assert staging_purge.warn(site, run, timedelta(hours=1), now=NOW) is None
    long = days(20)
    told = staging_purge.warn(site, run, long, now=NOW, pin=None)
    assert told is not None
    assert f"warning: {output} may be purged from 2026-03-" in told
    assert "hint: scratch keeps files for 10 days; copy what is finished" in told
    pinned: list[Path] = []
    told = staging_purge.warn(site, run, long, now=NOW, pin=lambda p, reason: pinned.append(p))
    assert pinned == ([output] if by == "pangeo-hpc" else [])
    assert ("it is pinned now" in str(told)) is (by == "pangeo-hpc")

    def refuse(*_: object, **__: object) -> None:
        raise NotAllowed("it was pinned twice already")

    told = staging_purge.warn(site, run, long, now=NOW, pin=refuse)
    assert ("not pinned: it was pinned twice already" in str(told)) is (by == "pangeo-hpc")
