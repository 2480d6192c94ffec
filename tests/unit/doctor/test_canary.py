"""The canary looks around where it is, and a directory is tried without being changed."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from pangeo_hpc import files
from pangeo_hpc.doctor import canary, imports
from pangeo_hpc.doctor.look import PlaceState, interfaces, try_directory
from pangeo_hpc.run import Command, Result


def test_a_directory_that_can_be_written(tmp_path: Path) -> None:
    """It is left as it was."""
    assert try_directory(tmp_path) == (PlaceState.WRITABLE, "")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """One that we could make is made at its first use, and not before."""
    assert try_directory(tmp_path / "a" / "b") == (PlaceState.CREATABLE, "")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_we_cannot_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words name the folder that is not ours."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    state, words = try_directory(tmp_path / "alice")
    assert state is PlaceState.MISSING
    assert f"{tmp_path} is not ours" in words


def test_what_is_no_directory(tmp_path: Path) -> None:
    """A file, and a link that leads nowhere, cannot be used."""
    (tmp_path / "file").touch()
    assert try_directory(tmp_path / "file")[0] is PlaceState.REFUSED
    assert try_directory(tmp_path / "file" / "below")[0] in (
        PlaceState.REFUSED,
        PlaceState.MISSING,
    )


def test_interfaces_have_addresses() -> None:
    """Loopback is on every machine."""
    assert "127.0.0.1" in interfaces()["lo"]


def test_clocks_are_compared(tmp_path: Path) -> None:
    """What the login host wrote lies between our two looks at our own clock."""

    def answer() -> None:
        while not (tmp_path / canary.HELLO).exists():
            time.sleep(0.01)
        files.write_json(tmp_path / canary.ANSWER, {"time": time.time() + 100})

    helper = threading.Thread(target=answer)
    helper.start()
    found = canary.compare_clocks(tmp_path, patience=10)
    helper.join()
    assert found is not None
    assert found[0] <= -99.5 <= found[1] + 1
    assert found[0] <= found[1] < -98


def test_nobody_answers(tmp_path: Path) -> None:
    """A canary whose doctor is gone goes on without."""
    assert canary.compare_clocks(tmp_path, patience=0.05) is None


def test_a_whole_report(tmp_path: Path) -> None:
    """It is written whole, and holds nothing of the environment's values."""
    ask = {
        "mark": "mark",
        "patience": 0.05,
        "seconds": 5,
        "places": {"scratch": str(tmp_path)},
        "environments": {"current": "echo hello"},
    }
    (tmp_path / "mark").touch()
    (tmp_path / canary.ASK).write_text(json.dumps(ask))
    canary.main(tmp_path)
    found = json.loads((tmp_path / canary.REPORT).read_text())
    assert found["places"]["scratch"] == {"state": "writable", "words": "", "same": True}
    assert found["usable"]["cores"] >= 1
    assert found["environments"] == {"current": {"words": "hello"}}
    assert os.environ["PATH"] not in json.dumps(found)


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (Result((), 0, f'banner\n{imports.MARK}{{"versions": {{}}}}\n'), {"versions": {}}),
        (Result((), 3, "", "pangeo-hpc: environment x"), {"words": "pangeo-hpc: environment x"}),
        (Result((), None, "", "", 90.0), {"words": "no answer within 90 s"}),
        (Result((), 1, f'{imports.MARK}{{"versions": {{}}}}\n', "died"), {"words": "died"}),
    ],
)  # fmt: skip
def test_an_environment_is_tried(result: Result, found: dict[str, object]) -> None:
    """What it printed counts if it ended well; else its last words do."""
    asked: list[Command] = []

    def runner(command: Command) -> Result:
        asked.append(command)
        return result

    assert canary.try_environment("script", seconds=7, runner=runner) == found
    assert asked[0].argv == ("/bin/bash", "-l", "-s")
    assert (asked[0].input, asked[0].timeout) == ("script", 7)


def test_imports() -> None:
    """A module that is there has a version; one that is not has a reason."""
    found = imports.look(["psutil", "no_such_module"])
    assert found["versions"]["psutil"]
    assert found["broken"] == {
        "no_such_module": "ModuleNotFoundError: No module named 'no_such_module'"
    }
    assert imports.parse("nothing of ours") is None
