"""A unit that takes longer than the walltime, in jobs whose walltime the local queue enforces."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.workflow.test_until_done_local import Here

# the first attempt heeds SIGTERM at the end of its walltime, the second has to be killed
NEVER_DONE = """
import signal
if unit == 2:
    if os.environ["PANGEO_HPC_ATTEMPT"] == "2":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
"""


# jobs of twenty seconds would else stop before their first unit
SHORT = """
from datetime import timedelta
from pangeo_hpc.workflow.deadline import Deadline
Deadline.__init__.__kwdefaults__["margin"] = timedelta(seconds=1)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_unit_longer_than_the_walltime_is_told_after_two_tries(tmp_path: Path) -> None:
    """Whoever submits it again gets its name, how long it was tried, and what helps; exit 1.

    A chain of attempts stops where one of them gains nothing, and resubmits no more.
    """
    here = Here(tmp_path)
    path = here.script(NEVER_DONE)
    Path(path).write_text(SHORT + Path(path).read_text())
    words = here(
        *("submit", path, "--until-done", "--attempts", "6", "--walltime", "00:00:20", "--wait"),
        code=75,
    )
    assert "stopped with work left: attempt 2 finished nothing; at work when it ended: " in words
    assert "unit-000002 of out.zarr" in words
    attempts = here.json("runs", "show", "script")["attempts"]
    assert [each["state"] for each in attempts] == ["timeout", "timeout"]
    assert here.computed == Counter({0: 1, 1: 1, 2: 2})
    again = ("submit", path, "--until-done", "--walltime", "00:00:20", "--wait")
    assert "failed with exit code 1" in here(*again, code=1)
    (log,) = [
        place / "output.log"
        for place in sorted(here.run.glob("attempts/*"))
        if (place / "exit").exists() and (place / "exit").read_text().strip() == "1"
    ]
    told = log.read_text()
    assert "error: unit-000002 of out.zarr takes longer than a job has: 2 attempts" in told
    assert "hint: make the units smaller (unit=), or ask for more --walltime" in told
    # it was not even begun, and nothing waits
    assert here.computed[2] == 2
    assert here.json("runs", "show", "script")["until_done"]["standing"] == "failed"
    kept = [json.loads(place.read_text()) for place in here.run.glob("attempts/*/job.json")]
    assert all(job["final"] for job in kept)
