"""A run is killed at random moments on a real Slurm, and what it wrote is held to its promises.

Three kinds of death: of all processes of the job; of the node, with its slurmd and all it runs; and
of slurmd alone, so that the attempt lives on beside the requeued one.
"""

import json
import random
import signal
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from tests.cluster.daemons import Process, end_all, until, wait_until
from tests.cluster.requeued import run_again, shown
from tests.cluster.sites import CommandLine
from tests.cluster.slurm import SlurmCluster

KINDS = ("process group", "whole node", "slurmd alone")

# Every write into the store, every unit and every beginning is logged with its holder's number.
SCRIPT = """\
import faulthandler, os, signal, sys, time
import dask.array as da
import numpy as np
import xarray as xr
from pangeo_hpc import workflow
from pangeo_hpc.workflow.writing.flight import Flight
from pangeo_hpc.workflow.writing.store import DurableStore

faulthandler.register(signal.SIGRTMIN)

output, units, pace, log = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]

def note(*words):
    line = " ".join(map(str, words)) + "\\n"
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

put = DurableStore._put

def noted(self, path, value):
    put(self, path, value)
    note("wrote", self._fence.number, os.stat(path).st_ctime_ns, path)

DurableStore._put = noted

start = Flight.start

def flying(self, work, job):
    note("flies", number, len(self.jobs) + 1)
    start(self, work, job)

Flight.start = flying

def compute(block, block_info=None):
    note("computes", number, block_info[0]["array-location"][0][0] // 4)
    if not os.path.exists(log + ".hurry"):
        time.sleep(pace)
    return np.sqrt(block)

values = da.from_array(np.arange(units * 4 * 30.0).reshape(-1, 5, 6), chunks=(4, 5, 6))
tas = values.map_blocks(compute, dtype="f8", meta=np.zeros((0, 0, 0)))
ds = xr.Dataset({"tas": (("time", "y", "x"), tas), "low": (("time", "y"), values[:, :, 0])})
with workflow.start(cluster=False) as run:
    number = run._attempt.lease.holder.number
    note("begins", number, time.time_ns())
    # small as they are, each unit has files of its own
    files = {"tas": {"chunks": (4, 5, 6)}, "low": {"chunks": (4, 5)}}
    run.write_zarr(ds, output, along="time", unit=4, encoding=files)
"""

JOB = """\
#!/bin/bash
#SBATCH --nodes=1 --ntasks=1 --cpus-per-task=2 --mem=1500M --time=60 --requeue
#SBATCH --open-mode=append --output={name}.out
pangeo-hpc --site {site} run {script} --name {name} -- {name}.zarr {units} {pace} {log}
"""


@dataclass
class Log:
    """What the script noted, by the numbers of its holders."""

    begins: dict[int, int] = field(default_factory=dict)
    wrote: list[tuple[int, int, str]] = field(default_factory=list)
    computes: list[tuple[int, int]] = field(default_factory=list)
    flies: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Log":
        found = cls()
        for line in path.read_text().splitlines() if path.exists() else ():
            kind, holder, *rest = line.split(" ", 3)
            if kind == "begins":
                found.begins[int(holder)] = int(rest[0])
            elif kind == "wrote":
                found.wrote.append((int(holder), int(rest[0]), rest[1]))
            elif kind == "flies":
                found.flies[int(holder)] = max(found.flies.get(int(holder), 0), int(rest[0]))
            else:
                found.computes.append((int(holder), int(rest[0])))
        return found


@dataclass(frozen=True)
class Death:
    """One kill, and what came of it."""

    kind: str
    done: int
    holder: int
    lived_on: bool = False


class Killed:
    """A run on a cluster, to be killed as often as one likes."""

    def __init__(
        self, cluster: SlurmCluster, cli: CommandLine, name: str, units: int, pace: float
    ) -> None:
        self.cluster, self.cli, self.user = cluster, cli, cli.user
        self.name, self.units = name, units
        self.log_file = cli.here / f"{name}.log"
        self.store = cli.user.scratch / f"{name}.zarr"
        script = cli.script(f"{name}.py", SCRIPT)
        told = {"site": cli.site, "script": script, "name": name, "log": self.log_file}
        job = cli.script(f"{name}.sh", JOB.format(units=units, pace=pace, **told))
        words = ["sbatch", "--parsable", str(job)]
        self.job = self.user.run(words, cwd=cli.here).stdout.strip()
        self.deaths: list[Death] = []

    @property
    def log(self) -> Log:
        return Log.read(self.log_file)

    @property
    def folder(self) -> Path:
        (found,) = self.user.shared.parent.glob(f"**/runs/testcluster/{self.name}")
        return found

    def entries(self) -> dict[int, int]:
        """Return the holder that finished each unit, as the ledger tells."""
        found = {}
        for path in self.folder.glob("ledger/*/*/unit-*.json"):
            entry = json.loads(path.read_text())
            found[int(path.stem.removeprefix("unit-"))] = int(entry["holder"])
        return found

    def kill(self, kind: str, chance: random.Random) -> bool:
        """Let an attempt work, kill it, and wait until the next one works; tell if one was left."""
        holder = self._at_work()
        wanted = len(self.log.computes) + chance.randint(1, 4)
        until(lambda: len(self.log.computes) >= wanted or self._complete())
        time.sleep(chance.uniform(0, 0.3))
        if self._complete():
            return False
        node = self._shown("BatchHost")
        try:
            self.deaths.append(self._death(kind, node, holder))
        finally:
            if kind != "process group":
                self.cluster.start_node(node)
        return True

    def _death(self, kind: str, node: str, holder: int) -> Death:
        """Kill the attempt on a node, and wait until the next one works."""
        lived_on = False
        if kind == "process group":
            end_all(lambda: self._processes(node))
            # `_release` has it run again
            until(lambda: self._shown("JobState") in ("FAILED", "COMPLETED"))
        else:
            self.cluster.kill_node(node, only_daemon=kind == "slurmd alone")
            self.cluster.mark_down(node)
            until(lambda: self._shown("JobState") in ("PENDING", "RUNNING", "COMPLETED"))
        done = len(self.entries())
        until(self._begins_again(holder))
        if kind == "slurmd alone":
            lived_on = self._outlived(holder, node)
        return Death(kind, done, holder, lived_on)

    def finish(self) -> None:
        """Let the last attempt come to its end, without any pause."""
        Path(f"{self.log_file}.hurry").touch()
        until(lambda: self._release() and self._complete(), 300)

    def story(self) -> str:
        """Return what became of the job and its attempts, for a test that failed."""
        argv = ["sacct", "--duplicates", "--allocations", f"--jobs={self.job}"]
        argv += ["--format=JobID,State,ExitCode,Submit,Start,End,NodeList"]
        begins = {n: time.strftime("%T", time.gmtime(t / 1e9)) for n, t in self.log.begins.items()}
        told = [self.cluster.admin(argv), f"begins {begins}", *map(str, self.deaths)]
        return "\n".join([*told, time.strftime("now %T", time.gmtime()), self._said(60)])

    def check(self) -> None:
        """Hold the output, the ledger and the log to what is promised."""
        self._check_values()
        log, finished = self.log, self.entries()
        assert sorted(finished) == list(range(self.units))
        # a finished unit is never computed by a later attempt; no more than were in flight are left
        by_holder = defaultdict(set)
        for holder, unit in log.computes:
            by_holder[holder].add(unit)
            assert finished[unit] >= holder, f"unit {unit} was computed again by holder {holder}"
        for holder, units in by_holder.items():
            left = {unit for unit in units if finished[unit] != holder}
            assert len(left) <= log.flies[holder], f"holder {holder} left {left}"
        assert self.recomputed <= sum(log.flies.get(death.holder, 0) for death in self.deaths)
        # nothing of a holder is in the store after a later one began
        for holder, moment, path in log.wrote:
            later = [begun for number, begun in log.begins.items() if number > holder]
            assert moment <= min(later, default=moment), f"holder {holder} wrote {path} too late"
        assert len(log.begins) == len(self.deaths) + 1
        assert not list(self.store.rglob("*.partial"))

    @property
    def recomputed(self) -> int:
        """Return how many computations of units were repeated."""
        return sum(times - 1 for times in Counter(unit for _, unit in self.log.computes).values())

    def table(self) -> str:
        """Return what was survived, as a table for the documentation."""
        head = "| killed | times | of these, the old attempt lived on | units computed again |"
        rows = [head, "| --- | --- | --- | --- |"]
        finished = self.entries()
        for kind in KINDS:
            mine = [death for death in self.deaths if death.kind == kind]
            holders = {death.holder for death in mine}
            again = [u for h, u in self.log.computes if h in holders and finished[u] != h]
            alive = sum(death.lived_on for death in mine)
            rows.append(f"| {kind} | {len(mine)} | {alive} | {len(again)} |")
        return "\n".join(rows)

    def _check_values(self) -> None:
        with xr.open_zarr(self.store, chunks=None) as ds:
            found = ds.load()
        values = np.arange(self.units * 4 * 30.0).reshape(-1, 5, 6)
        assert found.tas.values.tobytes() == np.sqrt(values).tobytes()
        assert found.low.values.tobytes() == np.ascontiguousarray(values[:, :, 0]).tobytes()
        assert found.attrs["pangeo_hpc_state"] == "complete"

    def _at_work(self) -> int:
        """Wait until the newest holder computes and return its number."""

        def works() -> bool:
            log = self.log
            newest = max(log.begins, default=0)
            return newest > 0 and any(holder == newest for holder, _ in log.computes)

        until(lambda: self._release() and (works() or self._complete()))
        return max(self.log.begins)

    def _begins_again(self, holder: int):
        return lambda: self._release() and (max(self.log.begins) > holder or self._complete())

    def _outlived(self, holder: int, node: str) -> bool:
        """Wait until the old attempt saw that it was overtaken; tell whether it lived for it."""
        (mark,) = self.folder.glob(f"leases/{holder:04}.json")
        if not wait_until(lambda: json.loads(mark.read_text())["released_at"], 120):
            living = self._processes(node)
            for pid in filter(_tells_its_stack, living):
                Process.of(pid).send(signal.SIGRTMIN)
            time.sleep(2)  # nothing tells when a stack was written
            raise AssertionError(f"{living} go on\n{self._said(200)}")
        # a slurmd that finds it still there has Slurm kill the job, wherever it runs by now
        until(lambda: not self.cluster.pids(node))
        return True

    def _processes(self, node: str) -> list[int]:
        """Return what the job runs on its node, without Slurm's own daemons."""
        found = []
        for pid in self.cluster.pids(node):
            with suppress(FileNotFoundError):
                if Path(f"/proc/{pid}").stat().st_uid == self.user.uid and Process.of(pid).alive:
                    found.append(pid)
        return found

    def _release(self) -> bool:
        """Let a requeued job start at once; an end that no kill explains fails the test."""
        state = self._shown("JobState")
        code, _, number = self._shown("ExitCode").partition(":")
        not_launched = self._shown("RunTime") == "00:00:00"
        died = state == "FAILED" and (int(number) or int(code) > 128 or not_launched)
        fine = died or state in ("PENDING", "RUNNING", "COMPLETING", "COMPLETED")
        assert fine, f"job {self.job} is {state}"
        run_again(self.cluster, self.job)
        return True

    def _said(self, lines: int) -> str:
        return "\n".join((self.cli.here / f"{self.name}.out").read_text().splitlines()[-lines:])

    def _complete(self) -> bool:
        return self._shown("JobState") == "COMPLETED"

    def _shown(self, name: str) -> str:
        return shown(self.cluster, self.job, name)


def _tells_its_stack(pid: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGRTMIN - 1) & 1)
