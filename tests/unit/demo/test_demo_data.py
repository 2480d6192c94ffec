"""The sample data are found without importing them, and every model is taken or named."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pangeo_hpc.demo import data

FILE = "{variable}_{table}_{model}_{experiment}_{member}_{grid}_{years}.nc"


def touch(
    root: Path,
    model: str,
    *,
    years: str = "195001-201412",
    experiment: str = "historical",
    member: str = "r1i1p1f1",
    table: str = "Amon",
    variable: str = "ta",
    grid: str = "gn",
    version: str = "v20200101",
) -> None:
    """Make an empty file with the name and the folders of CMIP6."""
    folder = root / f"INST/{model}/{experiment}/{member}/{table}/{variable}/{grid}/{version}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE.format(**locals())).touch()


def only(root: Path) -> data.Files:
    (files,) = data.catalogue(root).models
    return files


def test_files_of_a_model_are_in_the_order_of_time(tmp_path: Path) -> None:
    """Files come in the order of their months, however the folder lists them."""
    for years in ("195001-195912", "187001-194912", "196001-201412"):
        touch(tmp_path, "A", years=years)
    names = [path.name for path in only(tmp_path).paths]
    assert [name[-16:-10] for name in names] == ["187001", "195001", "196001"]


def test_lowest_member_own_grid_newest_version(tmp_path: Path) -> None:
    """One set of files is taken by fixed rules, and each other set is named."""
    touch(tmp_path, "A", member="r10i1p1f1")
    touch(tmp_path, "A", member="r2i1p1f1", grid="gr")
    touch(tmp_path, "A", member="r2i1p1f1", version="v20190101")
    touch(tmp_path, "A", member="r2i1p1f1", version="v20210101")
    touch(tmp_path, "A", experiment="ssp585", years="201501-210012")
    files = only(tmp_path)
    assert (files.member, files.grid, files.version) == ("r2i1p1f1", "gn", "v20210101")
    reasons = [each.reason for each in data.catalogue(tmp_path).left_out]
    assert len(reasons) == 4
    assert all("is there too; historical r2i1p1f1 gn v20210101 is used" in r for r in reasons)
    assert any(reason.startswith("ssp585") for reason in reasons)


def test_a_model_without_monthly_history_is_named(tmp_path: Path) -> None:
    """A model that has other files only is left out with what it has."""
    touch(tmp_path, "A")
    touch(tmp_path, "B", table="day", years="20000101-20001231")
    (left,) = data.catalogue(tmp_path).left_out
    assert left == data.LeftOut("B", "there is no ta Amon historical, only ta day historical")


def test_strange_names_are_named(tmp_path: Path) -> None:
    """Files that are not named as CMIP6 names them are not guessed at."""
    touch(tmp_path, "A")
    (tmp_path / "loose.nc").touch()
    folder = tmp_path / "INST/C/historical/r1i1p1f1/Amon/ta/gn/v1"
    folder.mkdir(parents=True)
    (folder / "copy of ta.nc").touch()
    found = data.catalogue(tmp_path)
    assert [files.model for files in found.models] == ["A"]
    assert {(left.model, left.reason) for left in found.left_out} == {
        (".", "file names are not those of CMIP6: loose.nc"),
        ("C", "file names are not those of CMIP6: copy of ta.nc"),
    }


def test_the_digest_is_of_names_and_sizes(tmp_path: Path) -> None:
    """Other files, or other sizes, are other data."""
    touch(tmp_path, "A")
    before = data.catalogue(tmp_path).digest
    assert data.catalogue(tmp_path).digest == before
    only(tmp_path).paths[0].write_text("longer")
    assert data.catalogue(tmp_path).digest != before


def test_nothing_is_found_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the package has no sample data, and that is no error."""
    monkeypatch.setattr(data, "MODULE", "a_package_nobody_has")
    assert data.find() is None


needs_sample = pytest.mark.skipif(
    find_spec(data.MODULE) is None, reason="esmvaltool-sample-data is not installed"
)


@needs_sample
def test_finding_does_not_import() -> None:
    """The package is never imported: that would ask for Iris."""
    code = (
        "import sys; from pangeo_hpc.demo import data; assert data.find().is_dir(); "
        "assert 'esmvaltool_sample_data' not in sys.modules; assert 'iris' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@needs_sample
def test_the_real_package_has_42_models() -> None:
    """All 42 models with monthly files are taken, and the four with daily files only are named."""
    folder = data.find()
    assert folder is not None
    found = data.catalogue(folder)
    assert len(found.models) == 42
    assert found.files == 270
    assert {len(files.paths) for files in found.models} >= {1, 2, 65}
    assert {left.model for left in found.left_out} == {
        "AWI-ESM-1-1-LR",
        "EC-Earth3-AerChem",
        "EC-Earth3-Veg",
        "EC-Earth3-Veg-LR",
    }
    assert found.origin.startswith("esmvaltool-sample-data ")
