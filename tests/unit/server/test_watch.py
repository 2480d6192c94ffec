import asyncio
import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from pangeo_hpc.server.watch import Told, Watch

LOG = logging.getLogger("test")


def made(*, state="idle", tell=None):
    """Return a watch over a server with one kernel."""
    kernels = SimpleNamespace(
        last_kernel_activity=datetime.fromtimestamp(500, UTC),
        list_kernels=lambda: [{"name": "python3", "execution_state": state}],
    )
    application = SimpleNamespace(settings={"kernel_manager": kernels})
    told = Told(job="7", node="c1", tell=tell)
    watch = Watch(told=told, application=application, base="/user/alice/", log=LOG)
    watch.idleness.since = 0.0
    return watch


def request(method, path, *, mode="cors", status=200):
    """Return a finished request."""
    asked = SimpleNamespace(method=method, path=path, headers={"Sec-Fetch-Mode": mode})
    return SimpleNamespace(request=asked, get_status=lambda: status)


def test_work_keeps_jupyters_own_activity_fresh():
    """Any culler that asks Jupyter sees what works here."""
    watch = made(state="busy")
    watch.look(1000.0)
    assert watch.application.settings["pangeo_hpc_last_activity"].timestamp() == 1000.0
    assert watch.plain(1000.0)["idle"]["work"] == ["a kernel is busy (python3)"]
    idle = made()
    idle.look(1000.0)
    assert "pangeo_hpc_last_activity" not in idle.application.settings
    # since the kernel's last message
    assert idle.plain(1000.0)["idle"]["seconds"] == 500.0


@pytest.mark.parametrize(
    ("method", "path", "mode", "counts"),
    [
        ("POST", "/user/alice/pangeo-hpc/present", "cors", True),
        ("GET", "/user/alice/lab", "navigate", True),
        ("GET", "/user/alice/pangeo-hpc/time-left", "cors", False),
        ("PUT", "/user/alice/lab/api/workspaces/default", "cors", False),
    ],
)
def test_somebodys_doing_is_a_sign_of_life(method, path, mode, counts):
    """It takes back that the server would be stopped; what a page does by itself does not."""
    watch = made()
    watch.stops_at = 1.0
    watch.notice(request(method, path, mode=mode))
    assert (watch.stops_at is None) is counts
    watch.look(2e9)
    assert (watch.idleness.since > 1e9) is counts


def test_the_hubs_word_on_the_end_counts_and_its_silence_changes_nothing():
    """A hub that is away for a while takes nothing from what is known."""
    answers = [
        {"begun": 100.0, "ends": 700.0, "after": 60.0, "stops_in": 30.0},
        None,
        {"begun": 100.0, "ends": 900.0, "after": None, "stops_in": None},
    ]
    said = []

    def tell(activity):
        said.append(activity)
        return answers.pop(0)

    watch = made(tell=tell)
    asyncio.run(watch._ask_the_hub())
    assert (watch.span.ends, watch.after) == (700.0, 60.0)
    assert watch.stops_at is not None
    asyncio.run(watch._ask_the_hub())
    assert (watch.span.ends, watch.after) == (700.0, 60.0)
    asyncio.run(watch._ask_the_hub())
    assert (watch.span.ends, watch.after, watch.stops_at) == (900.0, None, None)
    assert watch.plain(200.0)["walltime"] == 800.0
    assert all(set(each) == {"idle", "work"} for each in said)
