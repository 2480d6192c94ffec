"""Files that follow are added to a store; what does not follow is told, and changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc import workflow
from pangeo_hpc.errors import PangeoHpcError, RequestRefused, UsageError
from pangeo_hpc.site import Person, Site, current_person, load_site
from pangeo_hpc.workflow import runs
from pangeo_hpc.workflow.convert import chunks, job, launch
from pangeo_hpc.workflow.convert.adding import Addition
from pangeo_hpc.workflow.convert.order import Access, Order, Overlaps
from pangeo_hpc.workflow.convert.prepare import prepare
from pangeo_hpc.workflow.convert.record import Record
from tests.unit.workflow.conftest import ROOT, Scripts, stamps
from tests.unit.workflow.convert.test_prepare import STEPS, joined, month

SITE = """\
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types: {{one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}}}
scratch: {{scratch: {{path: "{here}/scratch/{{user}}"}}}}
"""
STEP = 6 * 8 * 4
NAME = "convert-out"


class Here:
    """What the command does, without its processes; `site` is this machine alone."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        (folder / "site.yaml").write_text(SITE.format(here=folder))
        self.site: Site = load_site(folder / "site.yaml")
        self.person: Person = current_person()
        self.folder = runs.home(self.site, self.person) / NAME
        self.scratch = folder / "scratch" / self.person.user
        self.scratch.mkdir(parents=True)
        self.store = self.scratch / "out.zarr"
        patch.setenv(runs.RUN, str(self.folder))
        patch.delenv(runs.ATTEMPT, raising=False)
        patch.setenv("PANGEO_HPC_SITE", str(folder / "site.yaml"))
        patch.setenv("PANGEO_SCRATCH", str(self.scratch))

    def order(self, *paths: Path, overlaps: Overlaps = Overlaps.REFUSE) -> Order:
        return Order(sources=tuple(map(str, paths)), target="out.zarr", overlaps=overlaps)

    def first(self, *paths: Path) -> None:
        """Convert files into a new store."""
        plan = prepare(self.order(*paths))
        script = launch.program(self.site, self.person, plan, launch.Start())
        self.go(script.arguments[0])

    def decide(self, *paths: Path, overlaps: Overlaps = Overlaps.REFUSE) -> Addition | None:
        order = self.order(*paths, overlaps=overlaps)
        return launch.addition(self.site, self.person, order, launch.Start(), map)

    def prepared(self, *paths: Path, overlaps: Overlaps = Overlaps.REFUSE) -> Path | None:
        """Return the order file that adds files, None if there is nothing to add."""
        adding = self.decide(*paths, overlaps=overlaps)
        assert adding is not None
        if not adding.order.sources:
            return None
        script = launch.program_to_add(self.site, self.person, adding, launch.Start())
        return Path(script.arguments[0])

    def append(self, *paths: Path, overlaps: Overlaps = Overlaps.REFUSE) -> bool:
        """Add files, and tell whether there was anything to add."""
        order = self.prepared(*paths, overlaps=overlaps)
        if order is not None:
            self.go(order)
        return order is not None

    def go(self, order: str | Path) -> None:
        runs.open_run(
            self.site,
            self.person,
            NAME,
            script=self.folder / "convert.py",
            arguments=[str(order)],
        )
        with workflow.start(site=self.site, cluster=False) as run:
            job.convert(run, Order.read(Path(order)))

    def read(self) -> xr.Dataset:
        with xr.open_zarr(self.store, chunks=None) as ds:
            return ds.load()

    def refused(self, *paths: Path, overlaps: Overlaps = Overlaps.REFUSE) -> str:
        """Return why files cannot be added; the store and the run stay as they are."""

        def everything() -> dict[str, bytes]:
            places = [*self.store.rglob("*"), *self.folder.rglob("*")]
            return {str(path): path.read_bytes() for path in places if path.is_file()}

        before = everything()
        with pytest.raises(PangeoHpcError) as told:
            self.decide(*paths, overlaps=overlaps)
        assert isinstance(told.value, RequestRefused | UsageError)
        assert everything() == before
        return str(told.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Small units, so that a month is several, and the last one of a month is not whole."""
    monkeypatch.setattr(chunks, "CHUNK", dict.fromkeys(Access, 4 * STEP))
    monkeypatch.setattr(chunks, "SHARD", 8 * STEP)
    monkeypatch.setattr(chunks, "UNIT", 8 * STEP)
    return Here(tmp_path, monkeypatch)


@pytest.fixture
def months(tmp_path: Path) -> list[Path]:
    return [month(tmp_path, number) for number in range(4)]


def shifted(path: Path, days: float, name: str) -> Path:
    """Write a file's steps so many days later."""
    with xr.open_dataset(path) as ds:
        moved = ds.load()
    moved["time"] = moved.time + np.timedelta64(round(days * 24), "h")
    moved.to_netcdf(path.with_name(name), unlimited_dims=["time"])
    return path.with_name(name)


def test_files_that_follow_are_added(here: Here, months: list[Path]) -> None:
    """Named with the old ones or alone, in any order: as if all were converted at once."""
    here.first(*months[:2])
    before = stamps(here.store)
    assert here.append(*reversed(months[:3]))
    after = stamps(here.store)
    # only the last, unfinished file of the record is written anew
    assert [key for key in before if before[key] != after[key]] == ["tas/c/7/0/0", "time/c/0"]
    assert here.append(months[3])
    xr.testing.assert_equal(here.read(), joined(months))
    assert here.read().attrs["pangeo_hpc_state"] == "complete"
    assert len(list((here.store / "time" / "c").iterdir())) == 1
    kept = Record.read(here.folder, here.store)
    assert kept is not None
    assert [each.path for each in kept.sources] == list(map(str, months))
    assert (kept.whole, kept.steps) == (4, 4 * STEPS)


def test_the_same_again_is_nothing_to_do(here: Here, months: list[Path]) -> None:
    """Whether all files are named or some; also when the old ones are gone, or were touched."""
    here.first(*months[:2])
    assert not here.append(*months[:2])
    assert here.append(*months[:3])
    before = stamps(here.store)
    assert not here.append(*months[:3])
    assert not here.append(months[2])
    os.utime(months[0], (1, 1))
    months[1].unlink()
    assert not here.append(months[0], months[2])
    assert stamps(here.store) == before
    assert here.append(months[3])
    assert here.read().sizes["time"] == 4 * STEPS


def test_a_store_that_is_not_there_is_begun(here: Here, months: list[Path]) -> None:
    """So that one command does for every day; a conversion that was begun is finished first."""
    assert here.decide(*months[:2]) is None
    here.first(*months[:2])
    kept = Record.read(here.folder, here.store)
    assert kept is not None
    replace(kept, whole=0, steps=0).write(here.folder)
    assert here.decide(*months[:2]) is None
    assert "of 2 files, is not finished" in here.refused(*months[:3])


def test_whatever_does_not_follow_is_told(here: Here, months: list[Path], tmp_path: Path) -> None:
    """All of it at once, by the file's name; nothing is changed."""
    here.first(*months[1:3])
    told = here.refused(months[0], months[3], shifted(months[3], -5, "late.nc"))
    assert f"{months[0]}: begins with time 2001-01-01 and belongs before the store" in told
    assert f"late.nc: begins before {here.store} ends" in told
    told = here.refused(shifted(months[3], 2, "gap.nc"))
    assert "time: 2 steps are missing between 2001-03-31 and 2001-04-03" in told
    told = here.refused(shifted(months[2], 0.5, "between.nc"))
    assert "between.nc: begins with time 2001-03-02T12:00:00 and belongs between steps" in told
    with xr.open_dataset(months[3]) as ds:
        ds.assign_coords(lat=ds.lat + 1).to_netcdf(tmp_path / "grid.nc")
        ds.astype("f8").to_netcdf(tmp_path / "wide.nc")
        ds.drop_vars("area").to_netcdf(tmp_path / "less.nc")
    told = here.refused(tmp_path / "grid.nc", tmp_path / "wide.nc", tmp_path / "less.nc")
    assert "wide.nc: tas is float64, in the store float32" in told
    assert "lat has other values" in here.refused(tmp_path / "grid.nc")
    assert f"less.nc: has no variable area, which {here.store} has" in here.refused(
        tmp_path / "less.nc"
    )
    assert "last would change steps" in here.refused(months[3], overlaps=Overlaps.LAST)
    assert here.append(months[3])


def test_a_changed_file_is_told(here: Here, months: list[Path]) -> None:
    """Its old values are in the store, so that nothing is added to them."""
    here.first(*months[:2])
    shutil.copy(months[3], months[1])
    told = here.refused(*months[:3])
    assert f"{months[1]}: was changed since it was converted" in told


def test_overlaps_first_keeps_the_store(here: Here, months: list[Path]) -> None:
    """The steps that it has stay, those after them are added, and what it has whole is nothing."""
    here.first(*months[:2])
    late = shifted(months[2], -10, "late.nc")
    assert here.append(late, shifted(months[1], -3, "within.nc"), overlaps=Overlaps.FIRST)
    found = here.read()
    with xr.open_dataset(late) as ds:
        expected = xr.concat(
            [joined(months[:2]).tas, ds.tas.load().isel(time=slice(10, 30))], "time"
        )
    np.testing.assert_array_equal(found.tas, expected)
    np.testing.assert_array_equal(found.time, expected.time)


@pytest.mark.parametrize("scales", [(0.001, 0.001), (0.001, 0.01)])
def test_packed_values_are_added_packed(
    here: Here, tmp_path: Path, scales: tuple[float, float]
) -> None:
    """Where the file packs as the store does; otherwise values would be rounded, and it is told."""
    first, second = month(tmp_path, 0, scale=scales[0]), month(tmp_path, 1, scale=scales[1])
    here.first(first)
    if scales[0] == scales[1]:
        assert here.append(second)
        assert here.read().tas.encoding["dtype"] == np.dtype("i2")
        xr.testing.assert_equal(here.read(), joined([first, second]))
    else:
        assert "tas is packed otherwise than in the store" in here.refused(second)


def test_what_was_unpacked_takes_any_packing(here: Here, tmp_path: Path) -> None:
    """Values are added as they are read."""
    paths = [month(tmp_path, 0, scale=0.001), month(tmp_path, 1, scale=0.01)]
    here.first(*paths)
    paths.append(month(tmp_path, 2, scale=0.1))
    assert here.append(paths[2])
    np.testing.assert_array_equal(here.read().tas, joined(paths).tas)


def test_tables_grow_too(here: Here, tmp_path: Path) -> None:
    """By their times; longer texts and rows without times are refused."""
    import pandas as pd

    def table(name: str, start: int, stop: int, station: str) -> Path:
        times = pd.date_range("2001-01-01", periods=stop, freq="h")[start:]
        frame = pd.DataFrame({"time": times, "t": np.arange(start, stop) / 4, "station": station})
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    first, second = table("a.csv", 0, 24, "Zürich"), table("b.csv", 24, 50, "Bern")
    here.first(first)
    assert here.append(first, second)
    np.testing.assert_array_equal(here.read().t, np.arange(50) / 4)
    assert set(here.read().station.values[24:]) == {"Bern"}
    told = here.refused(table("c.csv", 50, 60, "Neuchâtel"))
    assert "station is <U9, in the store <U6" in told


def test_other_calendars_grow_too(here: Here, tmp_path: Path) -> None:
    """Times are compared in the calendar of the store; another one is refused."""

    def year(number: int, calendar: str) -> Path:
        time = xr.date_range(
            f"{number:04}-01-01", periods=12, freq="MS", calendar=calendar, use_cftime=True
        )
        values = np.arange(12.0) + number
        path = tmp_path / f"{calendar}-{number}.nc"
        xr.Dataset({"tas": (("time",), values)}, {"time": time}).to_netcdf(path)
        return path

    here.first(year(2000, "noleap"), year(2001, "noleap"))
    assert here.append(year(2002, "noleap"))
    found = here.read()
    assert list(found.tas.values[::12]) == [2000, 2001, 2002]
    assert len(np.unique(found.time)) == 36
    assert "calendar 360_day" in here.refused(year(2003, "360_day"))


def test_other_files_without_append_are_refused_with_a_hint(here: Here, months: list[Path]) -> None:
    """The command names the option that does it."""
    here.first(*months[:2])
    plan = prepare(here.order(*months[:3]))
    with pytest.raises(UsageError, match="--append adds files that follow"):
        launch.program(here.site, here.person, plan, launch.Start())
    launch.program(here.site, here.person, plan, launch.Start(force=True))
    with pytest.raises(UsageError, match=r"run convert-out did\nhint: --name convert-out"):
        launch.addition(
            here.site, here.person, here.order(*months[:3]), launch.Start(name="other"), map
        )


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from pangeo_hpc import workflow
    from pangeo_hpc.workflow.convert import job
    from pangeo_hpc.workflow.convert.order import Order
    from pangeo_hpc.workflow.writing import growing, output, template

    def dies(*words, **more):
        os.kill(os.getpid(), signal.SIGKILL)

    place, seen = os.environ["PLACE"], []
    note, tell = output.Output._note, template.tell

    def noted(self, job, result):
        seen.append(job.key)
        if len(seen) == 2:
            dies()
        note(self, job, result)

    if place == "before":
        growing.Growing.extend = dies
    elif place == "room":
        growing._write_early = dies
    elif place == "units":
        output.Output._note = noted
    elif place == "record":
        job._steps = dies
    with workflow.start(cluster=False) as run:
        job.convert(run, Order.read(Path(os.environ["ORDER"])))
"""


@pytest.mark.parametrize("place", ["before", "room", "units", "record"])
def test_killed_while_files_are_added(here: Here, months: list[Path], place: str) -> None:
    """Readers see the old record; the same command goes on, and so does one with more files.

    The first conversion's files are no longer needed for it.
    """
    here.first(*months[:2])
    whole = joined(months)
    order = here.prepared(months[2])
    scripts = Scripts(here.folder, here.scratch)
    path = scripts.write(KILLED)
    code, out, err = scripts.run(path, PLACE=place, ORDER=str(order))
    assert code == -9, out + err
    for old in months[:2]:
        old.unlink()
    length = 3 if place == "record" else 2
    xr.testing.assert_equal(here.read(), whole.isel(time=slice(length * STEPS)))
    assert here.prepared(months[2]) == order
    before = stamps(here.store)
    if place == "units":
        assert here.append(*months[2:])
    else:
        assert here.append(months[2])
        assert not here.append(months[2])
        assert here.append(months[3])
    after = stamps(here.store)
    whole_units = [f"tas/c/{unit}/0/0" for unit in range(7)]
    assert [before[key] for key in whole_units] == [after[key] for key in whole_units]
    xr.testing.assert_equal(here.read(), whole)


def test_a_file_that_was_begun_must_stay(here: Here, months: list[Path], tmp_path: Path) -> None:
    """What was being added when it was interrupted is needed to go on, whatever is named."""
    here.first(*months[:2])
    scripts = Scripts(here.folder, here.scratch)
    path = scripts.write(KILLED)
    assert scripts.run(path, PLACE="units", ORDER=str(here.prepared(months[2])))[0] == -9
    months[2].rename(tmp_path / "moved.nc")
    assert f"{months[2]}: was being added when that was interrupted" in here.refused(months[3])
    (tmp_path / "moved.nc").rename(months[2])
    assert here.append(months[3])
    xr.testing.assert_equal(here.read(), joined(months))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_adds_files(months: list[Path], tmp_path: Path) -> None:
    """`data convert --append`, again and again: begins, adds, and has nothing to do."""
    (tmp_path / "here.yaml").write_text(SITE.format(here=tmp_path))
    environment = {
        **os.environ,
        "PANGEO_HPC_SITE": str(tmp_path / "here.yaml"),
        "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)]),
    }

    def command(*words: object, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pangeo_hpc", "data", "convert", *map(str, words)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    store = Path(command("--append", *months[:2], "out.zarr").strip())
    told = json.loads(command("--append", *months[:3], "out.zarr", "--dry-run", "--json"))
    assert told["format"] == 1
    assert told["there"] == {
        "steps": 60, "first": "2001-01-01", "last": "2001-03-01", "named": 2
    }  # fmt: skip
    assert told["adds"] == STEPS
    assert [each["path"] for each in told["files"]] == [str(months[2])]
    late = shifted(months[2], 1, "late.nc")
    assert "a step is missing" in command("--append", late, "out.zarr", code=2)
    assert command("--append", *months[:3], "out.zarr").strip() == str(store)
    told = json.loads(command("--append", *months[:3], "out.zarr", "--json"))
    assert (told["adds"], told["files"]) == (0, [])
    with xr.open_zarr(store, chunks=None) as ds:
        xr.testing.assert_equal(ds.load(), joined(months[:3]))
