"""Workers have what the client has, or are refused by name: real environments, real jobs."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import machine
from tests.cluster.machine import VENV
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

# Of a package that every Dask client has imported: not the newest.
OTHER = "toolz==0.12.1"

SESSION = """\
import json, sys, time
import pangeo_hpc
from pangeo_hpc.errors import EnvironmentMismatch

def tell(**what):
    print(json.dumps(what), flush=True)

with pangeo_hpc.start_cluster("compute", workers=0, environment={environment!r}) as cluster:
    client = cluster.get_client()
    future = client.submit(sum, [1, 2])
    cluster.scale(1)
    try:
        cluster.wait_for_workers(1, timeout=120)
        tell(result=future.result(60))
    except EnvironmentMismatch as error:
        tell(text=error.text, hint=error.hint)
        try:
            future.result(30)
        except EnvironmentMismatch as again:
            tell(text=again.text)
    {more}
"""


def environment(prefix: Path, *packages: str) -> Path:
    """Make an environment that has the test's packages, and others before them."""
    machine.call([f"{VENV}/bin/python", "-m", "venv", "--without-pip", str(prefix)])
    (place,) = prefix.glob("lib/python3*/site-packages")
    (below,) = VENV.glob("lib/python3*/site-packages")
    (place / "below.pth").write_text(f"{below}\n")
    if packages:
        words = ["install", "--no-deps", f"--target={place}", *packages]
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        machine.call([f"{VENV}/bin/python", "-m", "pip", "-q", *words], timeout=300, env=env)
    return prefix


@pytest.fixture(scope="module")
def site(cli: CommandLine) -> Path:
    """Return a site that has environments: with another version, and with one package more."""
    top = cli.user.cluster.directory / "environments"
    shutil.rmtree(top, ignore_errors=True)  # of a first try
    top.mkdir()
    places = {
        "other": environment(top / "other", OTHER),
        "more": environment(top / "more"),
        "overlay": environment(top / "overlay"),
    }
    (more,) = places["more"].glob("lib/python3*/site-packages")
    (more / "one_more-1.0.dist-info").mkdir()
    (overlay,) = places["overlay"].glob("lib/python3*/site-packages")
    (overlay / "mine.py").write_text("value = 'overlay'\n")
    lines = f"  other: {{prefix: {places['other']}}}\n"
    lines += f"  more: {{prefix: {places['more']}, default: true}}\n"
    text = f"{Path(cli.site).read_text()}environments:\n{lines}"
    return cli.script("environments.yaml", text)


def session(
    cli: CommandLine, site: Path, environment: str | None, *, more: str = "", python: Path = VENV
) -> list[dict[str, Any]]:
    """Run a session with workers of an environment, and return what it told."""
    script = cli.script("same.py", SESSION.format(environment=environment, more=more))
    done = cli.user.run(
        [python / "bin" / "python", script],
        env={"PANGEO_HPC_SITE": str(site), "PYTHONPATH": str(cli.here / "theirs")},
        cwd=cli.here,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_another_version_is_refused(cli: CommandLine, alice: ClusterUser, site: Path) -> None:
    """The package, both versions and the remedy are named, also by what waits for a worker."""
    told = session(cli, site, "other")
    assert len(told) == 2, told
    assert "toolz: client " in told[0]["text"]
    assert ", worker 0.12.1" in told[0]["text"]
    assert "numpy" not in told[0]["text"]
    assert "/environments/other/bin/python" in told[0]["hint"]
    assert told[1]["text"] == told[0]["text"]
    assert alice.run(["squeue", "--noheader", "--me"]).stdout == ""


def test_in_an_allocation(cli: CommandLine, site: Path) -> None:
    """There the start of the cluster itself says so."""
    script = cli.script(
        "same_inside.py",
        "import pangeo_hpc\npangeo_hpc.start_cluster(where='allocation', environment='other')\n",
    )
    batch = cli.script(
        "same_inside.sh",
        "#!/bin/bash\n#SBATCH --time=5 --mem=2G --cpus-per-task=2 --nodes=2\n"
        f"export PANGEO_HPC_SITE={site}\n{VENV}/bin/python {script}\n",
    )
    output = cli.here / "same_inside.out"
    code, _ = cli.sbatch(batch, f"--output={output}")
    said = output.read_text()
    assert code == 1, said
    assert "EnvironmentMismatch" in said
    assert "toolz: client " in said


def test_more_packages_do_no_harm(cli: CommandLine, site: Path) -> None:
    """Workers may have what the client lacks."""
    assert session(cli, site, "more") == [{"result": 3}]


def test_the_clients_own_environment(cli: CommandLine, alice: ClusterUser, site: Path) -> None:
    """Without a name workers find what the client finds: overlay, PYTHONPATH, beside the script."""
    theirs = cli.here / "theirs"
    theirs.mkdir(exist_ok=True)
    (theirs / "theirs.py").write_text("value = 'PYTHONPATH'\n")
    cli.script("beside.py", "value = 'beside'\n")
    more = """\
def look():
        import mine, theirs, beside
        return [mine.value, theirs.value, beside.value]
    tell(found=client.submit(look).result(60))
"""
    overlay = cli.user.cluster.directory / "environments" / "overlay"
    told = session(cli, site, None, more=more, python=overlay)
    assert told[-1] == {"found": ["overlay", "PYTHONPATH", "beside"]}
