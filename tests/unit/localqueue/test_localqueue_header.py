"""The head of a script, and the settings of a queue."""

from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import UsageError
from pangeo_hpc.localqueue.header import Wish, interpreter, is_script, read_header
from pangeo_hpc.localqueue.settings import Settings
from pangeo_hpc.schedulers.base import JobRequest, SchedulerOptions
from pangeo_hpc.schedulers.local import Local
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.units import GIB, MIB


def test_directives_are_read_back() -> None:
    """What the scheduler writes into a script is what the queue reads out of it."""
    request = JobRequest(
        name="sea ice, °C [1]-x7k2",
        command=("true",),
        cores=3,
        memory=1543 * MIB + 17,
        walltime=timedelta(hours=30),
        queue="local",
        exclusive=True,
        output=Path("/work/it's here/{id}.{index}.log"),
        after=("3", "4_1"),
        array=5,
        requeue=True,
    )
    script = render(Local(SchedulerOptions()).directives(request), request)
    assert read_header(script.encode(), "job.sh") == Wish(
        name="sea ice, °C [1]-x7k2",
        cores=3,
        memory=1543 * MIB,
        walltime=30 * 3600.0,
        output="/work/it's here/{id}.{index}.log",
        after=("3", "4_1"),
        array=5,
        queue="local",
        exclusive=True,
        requeue=True,
    )


def test_only_the_head_is_read() -> None:
    """Directives stand before the first command; the last one of a kind counts."""
    script = (
        b"#!/bin/bash\n\n# words\n#LOCAL --cores=2\n#LOCAL\t--cores=3\ntrue\n#LOCAL --cores=4\n"
    )
    assert read_header(script, "job.sh") == Wish(cores=3)
    assert read_header(b"true\n#LOCAL --cores=4\n", "job.sh") == Wish()
    assert read_header(b"#LOCALE --cores=4\n#!x\xff\n", "job.sh") == Wish()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#LOCAL --wall=1", "unrecognized arguments: --wall=1"),
        ("#LOCAL -l wd", "unrecognized arguments: -l wd"),
        ("#LOCAL --memory=4", "512M"),
        ("#LOCAL --walltime=1:30", "could be hours or minutes"),
        ("#LOCAL --array=0", "less than 1"),
        ("#LOCAL --array=10001", "at most 10000"),
        ("#LOCAL --name='", "No closing quotation"),
        ("#LOCAL --name=''", "is empty"),
        ("#LOCAL --cores=-1", "not a whole number"),
    ],
)
def test_bad_lines(line: str, words: str) -> None:
    """A line that cannot be understood is named with its number and what is wrong."""
    with pytest.raises(UsageError) as caught:
        read_header(f"#!/bin/bash\n{line}\n".encode(), "job.sh")
    assert caught.value.text.startswith("job.sh:2: ")
    assert words in caught.value.text
    assert line in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("first", "argv"),
    [
        ("#!/bin/bash -l", ("/bin/bash", "-l")),
        ("#!/bin/bash", ("/bin/bash", "-l")),
        ("#! /usr/bin/env bash", ("/usr/bin/env", "bash", "-l")),
        ("#!/bin/bash -eu", ("/bin/bash", "-eu", "-l")),
        ("#!/usr/bin/env python3", ("/usr/bin/env", "python3")),
        ("#!/opt/my python -I", ("/opt/my", "python -I")),
        ("#!/bin/sh", ("/bin/sh",)),
        ("echo no head", ("/bin/bash", "-l")),
        ("#!", ("/bin/bash", "-l")),
    ],
)
def test_interpreters(first: str, argv: tuple[str, ...]) -> None:
    """The kernel's reading of a #! line, and a login shell where it is bash."""
    assert interpreter(f"{first}\ntrue\n".encode()) == argv


def test_what_is_a_script() -> None:
    """Programs and empty files are none."""
    assert is_script(b"true")
    assert not is_script(b"\x7fELF\0")
    assert not is_script(b" \n")


def test_settings_are_read() -> None:
    """Every setting has a variable, with its unit."""
    environ = {
        "PANGEO_LOCALQUEUE_IDLE": "2 minutes",
        "PANGEO_LOCALQUEUE_KILL_WAIT": "0",
        "PANGEO_LOCALQUEUE_KEEP": "3 days",
        "PANGEO_LOCALQUEUE_SAMPLE": "0.1 seconds",
        "PANGEO_LOCALQUEUE_TOTAL_CORES": "3",
        "PANGEO_LOCALQUEUE_TOTAL_MEMORY": "2 GiB",
        "PANGEO_LOCALQUEUE_CORES": "1",
    }
    found = Settings.of(environ)
    assert found == Settings(120.0, 0.0, 3 * 86400.0, 0.1, 3, 2 * GIB)
    assert (found.capacity().cores, found.capacity().memory) == (3, 2 * GIB)
    assert "PANGEO_LOCALQUEUE_CORES" not in found.variables(environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [("IDLE", "60"), ("TOTAL_CORES", "two"), ("TOTAL_CORES", "0"), ("TOTAL_MEMORY", "4")],
)
def test_bad_settings(name: str, value: str) -> None:
    """A value that means nothing is refused by the name of its variable."""
    with pytest.raises(UsageError, match=f"PANGEO_LOCALQUEUE_{name}"):
        Settings.of({f"PANGEO_LOCALQUEUE_{name}": value})
