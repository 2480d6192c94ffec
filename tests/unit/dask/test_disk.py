"""Where workers spill."""

import subprocess
from pathlib import Path

import pytest

from pangeo_hpc.dask import disk

# What `df` says in place of the kernel, by the last part of a path.
DF = """\
df() {
case "$2" in
*nfs) kind=nfs4;; *lustre) kind=lustre;; *memory) kind=tmpfs;; *disk) kind=xfs;; *) kind=tmpfs;;
esac
printf 'Type\\n%s\\n' "$kind"
}
"""

CASES = [
    # the site's, TMPDIR, scratch, where it goes, its kind
    ("disk", "memory", "lustre", "disk", ""),
    ("memory", "disk", "lustre", "disk", ""),
    ("nfs", "disk", "lustre", "disk", ""),
    ("nowhere", "disk", "lustre", "disk", ""),
    (None, "memory", "lustre", "lustre", "lustre"),
    ("memory", "nfs", "lustre", "nfs", "nfs4"),
    ("memory", "nowhere", None, "memory", "tmpfs"),
]


@pytest.mark.parametrize(("site", "tmp", "scratch", "place", "kind"), CASES)
def test_a_disk_first(
    tmp_path: Path, site: str | None, tmp: str, scratch: str | None, place: str, kind: str
) -> None:
    """Never memory or a network filesystem unless that is all there is, which is told then."""
    for name in ("disk", "memory", "nfs", "lustre"):
        (tmp_path / name).mkdir()
    environ = {"TMPDIR": str(tmp_path / tmp), "PATH": "/usr/bin:/bin"}
    if scratch:
        environ["PANGEO_SCRATCH"] = str(tmp_path / scratch)
    script = DF + disk.find_script(site and str(tmp_path / site))
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True)
    assert done.stdout.splitlines() == [str(tmp_path / place), *([kind] if kind else [""])]
    assert done.stderr == ""


def test_the_kernel_is_asked() -> None:
    """`df` of this machine knows memory when it sees it."""
    done = subprocess.run(
        ["bash", "-c", disk.find_script("/dev/shm")],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert not done.stdout.startswith("/dev/shm")


def test_it_is_said_in_words() -> None:
    """Memory and a network filesystem are warned of, a disk is not."""
    assert "memory (tmpfs)" in str(disk.warning("tmpfs"))
    assert "network filesystem (nfs4)" in str(disk.warning("nfs4"))
    assert disk.warning("") is None
