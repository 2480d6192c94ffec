import pytest

from pangeo_hpc.server.work import Facts, Idleness, is_hand, pause, work


def test_what_counts_as_work():
    """A busy kernel, Dask tasks, and a terminal in which something runs."""
    facts = Facts(
        kernels=[("pangeo", "busy"), ("old", "idle"), ("new", "starting")],
        terminals={"1": ["vim", "sh", "sh"], "2": []},
        dask=2,
    )
    assert work(facts) == (
        "a kernel is busy (pangeo)",
        "Dask tasks are running",
        "terminal 1 runs sh, vim",
    )


def test_an_empty_server_and_a_kernel_that_never_started_are_no_work():
    """Idle kernels, a shell that waits, a kernel that hangs in its start: nothing of that works."""
    assert work(Facts(kernels=[("a", "idle"), ("b", "starting")], terminals={"1": []})) == ()


@pytest.mark.parametrize(
    ("method", "path", "status", "navigates", "expected"),
    [
        ("GET", "api/kernels", 200, False, False),
        ("GET", "api/contents/notebook.ipynb", 200, False, False),
        ("GET", "pangeo-hpc/time-left", 200, False, False),
        ("GET", "lab", 200, True, True),
        ("GET", "lab", 404, True, False),
        ("PUT", "api/contents/notebook.ipynb", 200, False, True),
        ("POST", "api/sessions", 201, False, True),
        ("PUT", "lab/api/workspaces/default", 204, False, False),
        ("DELETE", "api/kernels/1", 204, False, True),
        ("PUT", "api/contents/notebook.ipynb", 403, False, False),
        ("POST", "pangeo-hpc/present", 204, False, True),
        ("GET", "pangeo-hpc/present", 200, True, False),
        ("POST", "pangeo-hpc/other", 200, False, False),
        ("POST", "api/security/csp-report", 204, False, False),
    ],
)
def test_what_counts_as_somebodys_doing(method, path, status, navigates, expected):
    """Opening a page and changing something do; what an open page asks by itself does not."""
    assert is_hand(method, path, status, navigates=navigates) is expected


def test_idle_time_counts_from_the_last_work_or_sign():
    """Work and signs of life set the clock back, and an old sign never does."""
    idleness = Idleness(100.0)
    idleness.look(110.0, (), 105.0, 0.0)
    assert idleness.seconds(115.0) == 10.0
    idleness.look(120.0, ("a kernel is busy",))
    assert idleness.seconds(120.0) == 0.0
    idleness.look(150.0, (), 105.0)
    assert idleness.seconds(150.0) == 30.0
    # a clock that was set back makes nobody idle for less than no time
    assert idleness.seconds(90.0) == 0.0


def test_a_sign_from_the_future_does_not_keep_a_server():
    """A clock that jumps leaves no server running for ever."""
    idleness = Idleness(100.0)
    idleness.look(110.0, (), 99999.0)
    assert idleness.seconds(120.0) == 10.0


def test_looks_are_frequent_enough_for_a_short_limit():
    """Ten looks within the limit, at most one a second, at least one a minute."""
    assert (pause(20.0), pause(7200.0), pause(1.0), pause(None)) == (2.0, 60.0, 1.0, 60.0)
