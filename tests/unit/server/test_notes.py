import json
import os
from types import SimpleNamespace

from pangeo_hpc.server import dask_notes
from pangeo_hpc.server.notes import FRESH, fresh, prepare


def note(folder, name, when):
    path = folder / name
    path.touch()
    os.utime(path, (when, when))


def test_only_fresh_notes_of_living_programs_of_this_host_count(tmp_path):
    """A crashed kernel's note, another node's and an old one are no work."""
    now = 1000.0
    for name in ("c1.10", "c1.11", "c2.10", "c1.12", "c1.x", "dask"):
        note(tmp_path, name, now - 1)
    note(tmp_path, "c1.13", now - FRESH - 1)
    found = fresh(tmp_path, now, host="c1", alive=lambda pid: pid != 12)
    assert found == 2
    assert fresh(None, now) == 0


def test_kernels_are_told_by_a_private_directory(tmp_path):
    """Dask reads there what to load and where dashboards are; nobody else can write into it."""
    folder = tmp_path / "work"
    variables = prepare(folder, "/user/alice/")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert variables["PANGEO_HPC_WORK"] == str(folder)
    text = (folder / "dask" / "pangeo-hpc.json").read_text()
    settings = json.loads(text)["distributed"]
    assert settings["dashboard"]["link"].format(port=1234) == "/user/alice/proxy/1234/status"
    for kind in ("scheduler", "client"):
        (file,) = settings[kind]["preload"]
        assert file == dask_notes.__file__


def scheduler(processing=(), unrunnable=(), queued=()):
    workers = {"w": SimpleNamespace(processing=processing)}
    return SimpleNamespace(workers=workers, unrunnable=unrunnable, queued=queued)


def test_when_dask_works():
    """Tasks on a worker, tasks that wait for one, and futures that somebody waits for."""
    assert dask_notes.is_working(scheduler(processing=["task"]))
    assert dask_notes.is_working(scheduler(unrunnable=["task"]))
    assert dask_notes.is_working(scheduler(queued=["task"]))
    assert not dask_notes.is_working(scheduler())
    for status, expected in (("pending", True), ("finished", False), ("error", False)):
        client = SimpleNamespace(futures={"key": SimpleNamespace(status=status)})
        assert dask_notes.is_working(client) is expected


def test_a_note_lives_as_long_as_the_work(tmp_path):
    """It is made and kept fresh while tasks run, is for its owner only, and goes with them."""
    path = tmp_path / "c1.10"
    dask_notes.look([scheduler(), scheduler(["task"])], path, 500.0)
    assert path.stat().st_mtime == 500.0
    assert path.stat().st_mode & 0o077 == 0
    dask_notes.look([scheduler(["task"])], path, 505.0)
    assert path.stat().st_mtime == 505.0
    dask_notes.look([scheduler()], path, 510.0)
    assert not path.exists()


def test_trouble_with_notes_never_reaches_the_kernel(tmp_path):
    """No directory, or an object of another version of Dask: the work goes on without a note."""
    dask_notes.look([scheduler(["task"])], tmp_path / "gone" / "c1.10", 500.0)
    strange = SimpleNamespace(workers={"w": SimpleNamespace()}, unrunnable=())
    dask_notes.look([strange], tmp_path / "c1.10", 500.0)
    assert not (tmp_path / "c1.10").exists()
