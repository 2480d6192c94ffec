"""What an operator asks of a hub: who runs what, what it costs, and what does not fit."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import machine
from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import HubRunner, end_all_jobs, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub whose metrics anybody may read."""
    ensure_hub_machine()
    end_all_jobs(cluster)
    open_metrics = "c.JupyterHub.authenticate_prometheus = False\n"
    with HubRunner(cluster, extra_config=open_metrics) as runner:
        yield runner


def command(hub: HubRunner, *words: str, user: str | None = None) -> Any:
    """Run a command of `pangeo-hpc hub` on the hub's host."""
    argv = [f"{machine.VENV}/bin/pangeo-hpc", "--site", str(hub.site_file), "hub", *words]
    return subprocess.run(
        [*argv, "--state", str(hub.state)], user=user, capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C.UTF-8"}, cwd="/",
    )  # fmt: skip


def test_an_operator_sees_and_repairs(hub: HubRunner, cluster: SlurmCluster) -> None:
    """Status, metrics and reconcile tell the truth of a hub that is up, down, and without memory.

    Users are refused; a real orphan is found without being touched, and then cancelled.
    """
    hub.begin_anew("alice", "bob")
    waits = "pangeo_hpc_queue_wait_seconds_count"
    before = hub.metric(waits)
    alice = hub.client("alice")
    assert alice.spawn("alice", options={"node_type": "compute", "cores": 2}) in (201, 202)

    def ready() -> bool:
        return bool((alice.server("alice") or {}).get("ready"))

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    told = json.loads(command(hub, "status", "--json").stdout)
    (row,) = told["servers"]
    (job,) = cluster.admin(["squeue", "-h", "-o", "%A"]).split()
    assert (told["hub"], row["user"], row["job"], row["state"]) == ("up", "alice", job, "running")
    assert (row["queue"], row["node_type"], row["memory"]) == ("compute", "compute", 1500 * 2**20)
    assert row["node"] in ("c1", "c2", "c3", "c4")
    assert 0 < row["walltime_left"] <= 600
    assert told["schedulers"]["slurm"]["failures"] == 0
    table = command(hub, "status").stdout
    assert job in table and "alice" in table

    # nobody else may ask, neither by file nor by a token of their own
    refused = command(hub, "status", user="bob")
    assert refused.returncode == 5, refused
    assert "row" not in refused.stdout
    assert alice.open("/hub/api/pangeo-hpc/status")[0] == 403

    running = 'pangeo_hpc_servers{scheduler="slurm",state="running"}'
    assert hub.metric(running) == 1
    assert hub.metric(waits) == before + 1
    assert hub.metric('pangeo_hpc_query_seconds_count{scheduler="slurm"}') >= 1
    assert hub.metric("jupyterhub_running_servers") >= 1, "they stand beside JupyterHub's own"
    assert alice.spawn("alice", "bad", {"node_type": "short", "option.begin": "x"}) == 400
    assert command(hub, "reconcile", "--program", str(hub.program)).returncode == 0

    with hub.down():
        hub.stop()
        down = command(hub, "status", "--json")
        assert down.returncode == 4
        assert "does not answer" in down.stderr
        last = json.loads(down.stdout)
        assert (last["hub"], [each["job"] for each in last["servers"]]) == ("down", [job])
        (hub.state / "jupyterhub.sqlite").unlink()
    assert json.loads(command(hub, "status", "--json").stdout)["servers"] == []
    dry = command(hub, "reconcile", "--program", str(hub.program), "--json")
    assert dry.returncode == 6, dry
    (orphan,) = json.loads(dry.stdout)["found"]
    assert (orphan["kind"], orphan["user"], orphan["job"]) == ("orphan", "alice", job)
    assert cluster.admin(["squeue", "-h", "-t", "R", "-o", "%A"]).split() == [job], (
        "it was not touched"
    )

    # a job that somebody gave such a name by hand is shown, and is not ours to cancel
    bob = cluster.user("bob")
    wrap = ["sbatch", "--parsable", "--job-name=jupyter-abcdefgh", "--wrap=sleep 300"]
    other = bob.run(wrap).stdout.strip()
    done = command(
        hub, "reconcile", "--program", str(hub.program), "--cancel-orphans", "--each-user", "--json"
    )
    found = {each["user"]: each for each in json.loads(done.stdout)["found"]}
    assert found["alice"]["done"] == "cancelled"
    assert (found["bob"]["job"], done.returncode) == (other, 6)
    assert "not the job of a server" in found["bob"]["done"]
    left = wait_until(lambda: cluster.admin(["squeue", "-h", "-o", "%A"]).split() == [other], 120)
    assert left, cluster.admin(["squeue"])
    bob.run(["scancel", other])
