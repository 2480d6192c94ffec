"""Stand-ins for sbatch, squeue, scancel, sacct and scontrol that keep state and run jobs.

`install` puts them into a folder. They refuse what the recorded Slurm refused, print what it
printed, and lie when they are told to (`tell`). They prove parsing and argument building; only a
real Slurm proves that a job gets the resources it asked for. This file also is the program: it is
run by its path and needs the standard library only.
"""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("sbatch", "squeue", "scancel", "sacct", "scontrol")
PARTITIONS = {"short": 3600, "long": 86400}
MOST_CORES = 8
DOWN = "Unable to contact slurm controller (connect failure)"
MUTE = "Socket timed out on send/recv operation"
_OPTIONS = {
    "sbatch": {"--parsable", "--test-only", "--version"},
    "squeue": {"-h", "-a", "-r", "-t=", "-j=", "-O=", "-o=", "--user=", "--name="},
    "scancel": set(),
    "sacct": {
        *("--noheader", "--parsable2", "--noconvert", "--allocations"),
        *("--jobs=", "--format=", "--user=", "--name=", "--starttime="),
    },
    "scontrol": {"--all", "--oneliner", "--details"},
}
_DIRECTIVES = {
    *("job-name", "partition", "qos", "account", "constraint", "nodes", "ntasks-per-node"),
    *("cpus-per-task", "mem", "gres", "time", "dependency", "array", "output", "open-mode"),
    *("exclusive", "requeue", "no-requeue", "comment", "hold", "kill-on-invalid-dep"),
}
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")

Job = dict[str, Any]


def install(folder: Path, **told: object) -> Path:
    """Put the programs into a folder, with an empty queue, and return where they are."""
    programs, state = folder / "bin", folder / "state"
    for place in (programs, state / "jobs"):
        place.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        words = shlex.join([sys.executable, "-I", __file__, str(state), name])
        (programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (programs / name).chmod(0o755)
    tell(programs, **told)
    return programs


def tell(programs: Path, **told: object) -> None:
    """Tell the programs how to behave from now on.

    ``paused`` starts no jobs; ``accounting`` False is a Slurm without slurmdbd; ``forget`` lets
    squeue forget ended jobs at once. These name programs: ``down`` cannot reach slurmctld, ``hang``
    never answer, ``mute`` do their work and then say that their socket timed out, ``die`` do it and
    are killed before they print, ``late`` print and then hang, ``chat`` print a banner first,
    ``cut`` lose the second half of their answer.
    """
    state = programs.parent / "state"
    # a program that starts at this moment reads the old words or the new ones
    (state / "told.new").write_text(json.dumps(told))
    (state / "told.new").replace(state / "told.json")


def calls(programs: Path) -> list[list[str]]:
    """Return every call so far: the program and its arguments."""
    log = programs.parent / "state" / "calls"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


class Refusal(Exception):
    """What a program says when it refuses, with its exit status."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Queue:
    """The state of slurmctld: one file per job, one lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = json.loads((folder / "told.json").read_text())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock."""
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def jobs(self) -> list[Job]:
        """Return every job and every element of an array, oldest first."""
        found = [json.loads(path.read_text()) for path in (self.folder / "jobs").glob("*.json")]
        return sorted(found, key=lambda job: job["raw"])

    def job(self, raw: int) -> Job:
        """Return one job by the number that is its own."""
        found: Job = json.loads((self.folder / "jobs" / f"{raw}.json").read_text())
        return found

    def write(self, job: Job) -> None:
        """Store a job in one step."""
        path = self.folder / "jobs" / f"{job['raw']}.json"
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(job))
        partial.replace(path)

    def schedule(self) -> None:
        """Start what may start; a job whose dependency failed waits for ever, or is cancelled."""
        if self.told.get("paused"):
            return
        jobs = self.jobs()
        for job in jobs:
            if job["state"] != "PENDING" or job["reason"] == "JobHeldUser":
                continue
            before = [other for other in jobs if other["number"] in job["after"]]
            if any(other["state"] in _ENDED and other["code"] != 0 for other in before):
                ended = {"state": "CANCELLED", "end": time.time()} if job["kill"] else {}
                self.write(job | {"reason": "DependencyNeverSatisfied"} | ended)
            elif all(other["state"] == "COMPLETED" for other in before):
                self.write(job | {"state": "RUNNING", "reason": "None", "start": time.time()})
                subprocess.Popen(
                    [sys.executable, "-I", __file__, str(self.folder), "run", str(job["raw"])],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )


# -- sbatch -------------------------------------------------------------------------------------


def sbatch(queue: Queue, options: dict[str, str], operands: list[str]) -> str:
    """Take a job, tell when it would start, or tell the version."""
    if "--version" in options:
        return "slurm-wlm 22.05.8\n"
    try:
        text = Path(operands[0]).read_text()
    except OSError as error:
        raise Refusal(1, f"sbatch: error: Unable to open file {operands[0]}") from error
    if not text.startswith("#!"):
        raise Refusal(1, "sbatch: error: This does not look like a batch script.")
    try:
        asked = _directives(text)
        _refuse(asked)
    except Refusal as refusal:
        if "--test-only" in options:
            words = str(refusal).rpartition(": ")[2]
            raise Refusal(1, f"allocation failure: {words}") from refusal
        raise
    if "--test-only" in options:
        sys.stderr.write(f"sbatch: Job 9 to start at {_time(time.time())} using 1 processors\n")
        return ""
    number = max((job["raw"] for job in queue.jobs()), default=0) + 1
    first, last = (int(part) for part in asked.get("array", "0-0").split("-"))
    for place, index in enumerate(range(first, last + 1)):
        job = _new_job(number, index if "array" in asked else None, text, asked)
        queue.write(job | {"raw": number + place})
    queue.schedule()
    return f"{number}\n" if "--parsable" in options else f"Submitted batch job {number}\n"


def _directives(text: str) -> dict[str, str]:
    asked: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if line and not line.startswith("#"):
            break
        if not line.startswith("#SBATCH"):
            continue
        for word in shlex.split(line.removeprefix("#SBATCH"), comments=True):
            name, _, value = word.removeprefix("--").partition("=")
            if not word.startswith("--"):
                message = f"sbatch: error: Invalid directive found in batch script: {word}"
                raise Refusal(255, message)
            if name not in _DIRECTIVES:
                message = f"sbatch: unrecognized option '{word}'\nTry \"sbatch --help\" for more"
                raise Refusal(255, message)
            asked[name] = value
    return asked


def _refuse(asked: dict[str, str]) -> None:
    """Refuse what the recorded Slurm refused, with its words and exit statuses."""
    failed = "sbatch: error: Batch job submission failed:"
    if asked.get("partition", "short") not in PARTITIONS:
        words = f"sbatch: error: invalid partition specified: {asked['partition']}\n"
        raise Refusal(1, f"{words}{failed} Invalid partition name specified")
    if asked.get("account", "").startswith("BAD"):
        words = "Invalid account or account/partition combination specified"
        raise Refusal(1, f"{failed} {words}")
    if not re.fullmatch(r"(\d+-)?\d+:\d\d:\d\d", asked.get("time", "0:00:00")):
        raise Refusal(255, "sbatch: error: Invalid --time specification")
    if int(asked.get("cpus-per-task", "1")) > MOST_CORES:
        raise Refusal(1, f"{failed} Requested node configuration is not available")
    if _seconds(asked) > PARTITIONS[asked.get("partition", "short")]:
        words = "Requested time limit is invalid (missing or exceeds some limit)"
        raise Refusal(1, f"{failed} {words}")


def _seconds(asked: dict[str, str]) -> int:
    days, _, clock = asked.get("time", "0:10:00").rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def _new_job(number: int, index: int | None, script: str, asked: dict[str, str]) -> Job:
    after = [int(job) for job in re.findall(r":(\d+)", asked.get("dependency", ""))]
    names = {"A": number, "j": number, "a": index, "%": "%"}
    output = asked.get("output", f"slurm-{number}.out")
    return {
        "number": number,
        "index": index,
        "id": str(number) if index is None else f"{number}_{index}",
        "name": asked.get("job-name", "job.sh"),
        "partition": asked.get("partition", "short"),
        "script": script,
        "output": re.sub("%(.)", lambda match: str(names[match[1]]), output),
        "seconds": _seconds(asked),
        "cores": int(asked.get("cpus-per-task", "1")),
        "nodes": [f"c{place + 1}" for place in range(int(asked.get("nodes", "1")))],
        "after": after,
        "kill": asked.get("kill-on-invalid-dep") == "yes",
        "state": "PENDING",
        "reason": "JobHeldUser" if "hold" in asked else "Dependency" if after else "Priority",
        "submit": time.time(),
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "start": 0,
        "end": 0,
        "code": 0,
        "signal": 0,
    }


# -- a running job ------------------------------------------------------------------------------


def run_job(queue: Queue, raw: int) -> None:
    """Run one job to its end: what the node does."""
    job = queue.job(raw)
    script = queue.folder / "jobs" / f"{raw}.sh"
    script.write_text(job["script"])
    environ = job["environment"] | {
        "SLURM_JOB_ID": str(raw),
        "SLURM_JOB_NODELIST": ",".join(job["nodes"]),
        "SLURMD_NODENAME": job["nodes"][0],
        "SLURM_CPUS_ON_NODE": str(job["cores"]),
    }
    if job["index"] is not None:
        environ["SLURM_ARRAY_JOB_ID"] = str(job["number"])
        environ["SLURM_ARRAY_TASK_ID"] = str(job["index"])
    with Path(job["output"]).open("ab") as output:
        process = subprocess.Popen(
            ["/bin/bash", str(script)],
            cwd=job["folder"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with queue.locked():
        job = queue.job(raw)
        queue.write(job | {"pid": process.pid})
        if job.get("cancelled"):
            os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(job["seconds"])
        timeout = False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        timeout = True
    code = process.returncode
    with queue.locked():
        job = queue.job(raw)
        state = "TIMEOUT" if timeout else "FAILED" if code else "COMPLETED"
        state = "CANCELLED" if job.get("cancelled") else state
        end = {"state": state, "end": time.time(), "code": max(code, 0), "signal": max(-code, 0)}
        queue.write(job | end | {"reason": {"FAILED": "NonZeroExitCode"}.get(state, "None")})
        # it may have been paused while the job ran
        Queue(queue.folder).schedule()


# -- squeue, scancel, sacct, scontrol -----------------------------------------------------------


def squeue(queue: Queue, options: dict[str, str], operands: list[str]) -> str:
    """Print jobs; one id alone that is unknown is an error, among others it is none."""
    jobs = [job for job in queue.jobs() if not (queue.told.get("forget") and _ended(job))]
    wanted = options["-j"].split(",") if "-j" in options else []
    if len(wanted) == 1 and not any(str(job["number"]) == _base(wanted[0]) for job in jobs):
        raise Refusal(1, "slurm_load_jobs error: Invalid job id specified")
    jobs = _chosen(jobs, wanted, options)
    if options.get("-t") != "all":
        jobs = [job for job in jobs if not _ended(job)]
    if options.get("-o") == "%F|%j":
        return "".join(f"{job['number']}|{job['name']}\n" for job in jobs)
    columns = [part.rstrip("|").split(":") for part in options["-O"].split(",")]
    lines = []
    for job in jobs:
        values = _queue_values(job)
        cells = (f"{values[name]:<{int(width)}}"[: int(width)] for name, width in columns)
        lines.append("".join(f"{cell}|" for cell in cells) + "\n")
    return "".join(lines)


def _queue_values(job: Job) -> dict[str, str]:
    begun = job["start"] > 0
    return {
        "JobArrayID": job["id"],
        "State": job["state"],
        "Name": job["name"],
        "exit_code": str(job["code"] << 8 | job["signal"]),
        "RestartCnt": "0",
        "UserName": _user(),
        "Partition": job["partition"],
        "NumCPUs": str(job["cores"] * len(job["nodes"])),
        "SubmitTime": _time(job["submit"]),
        "StartTime": _time(job["start"]) if begun else "N/A",
        "EndTime": _time(job["end"] or job["start"] + job["seconds"]) if begun else "N/A",
        "TimeLimit": f"{job['seconds'] // 60}:{job['seconds'] % 60:02}",
        "NodeList": ",".join(job["nodes"]) if begun else "",
        "Reason": job["reason"],
    }


def scancel(queue: Queue, options: dict[str, str], operands: list[str]) -> str:
    """End jobs; unknown ones and those that ended are passed over in silence."""
    if not operands:
        raise Refusal(1, "scancel: error: No job identification provided")
    for job in _chosen(queue.jobs(), operands, {}):
        if job["state"] == "PENDING":
            queue.write(job | {"state": "CANCELLED", "end": time.time()})
        elif not _ended(job):
            queue.write(job | {"cancelled": True})
            with suppress(KeyError, ProcessLookupError):
                os.killpg(job["pid"], signal.SIGTERM)
    return ""


def sacct(queue: Queue, options: dict[str, str], operands: list[str]) -> str:
    """Print the history, a job and its batch step in a row each."""
    if queue.told.get("accounting") is False:
        raise Refusal(1, "Slurm accounting storage is disabled")
    wanted = options["--jobs"].split(",") if "--jobs" in options else []
    lines = []
    for job in _chosen(queue.jobs(), wanted, options):
        rows = [_past(job)]
        if "--allocations" not in options and job["start"]:
            rows.append(rows[0] | {"JobID": f"{job['id']}.batch", "MaxRSS": "3448832"})
        for row in rows:
            names = options["--format"].split(",")
            lines.append("|".join(row[name] for name in names) + "\n")
    return "".join(lines)


def _past(job: Job) -> dict[str, str]:
    cancelled = job["state"] == "CANCELLED"
    # by Slurm itself, and not by a person (seen on 22.05)
    in_vain = cancelled and job["reason"] == "DependencyNeverSatisfied"
    by = "CANCELLED" if in_vain else f"CANCELLED by {os.getuid()}"
    ended = (0, 0) if cancelled or job["state"] == "TIMEOUT" else (job["code"], job["signal"])
    return {
        "JobID": job["id"],
        "JobName": job["name"],
        "State": by if cancelled else job["state"],
        "ExitCode": f"{ended[0]}:{ended[1]}",
        "User": _user(),
        "Partition": job["partition"],
        "AllocCPUS": str(job["cores"] * len(job["nodes"])),
        "Submit": _time(job["submit"]),
        "Start": _time(job["start"]) if job["start"] else "Unknown",
        "End": _time(job["end"]) if job["end"] else "Unknown",
        "Timelimit": time.strftime("%H:%M:%S", time.gmtime(job["seconds"])),
        "MaxRSS": "",
        "NodeList": ",".join(job["nodes"]) if job["start"] else "None assigned",
        "Reason": "Dependency" if in_vain else "None",
    }


def scontrol(queue: Queue, options: dict[str, str], operands: list[str]) -> str:
    """Show a job, or the nodes and partitions that there are."""
    if operands[:2] == ["show", "job"]:
        found = _chosen(queue.jobs(), operands[2:], {})
        if not found:
            raise Refusal(1, "slurm_load_jobs error: Invalid job id specified")
        times = _queue_values(found[0])
        return (
            f"JobId=1\n   StartTime={times['StartTime']} EndTime={times['EndTime']} Deadline=N/A\n"
        )
    if operands == ["show", "node"]:
        facts = f"CPUAlloc=0 CPUTot={MOST_CORES} RealMemory=8000 State=IDLE Partitions=short,long"
        return "".join(f"NodeName=c{number} {facts}\n" for number in range(1, 5))
    if operands == ["show", "partition"]:
        lines = [
            f"PartitionName={name} Default={'YES' if name == 'short' else 'NO'} "
            f"MaxTime={seconds // 3600}:00:00 MaxNodes=UNLIMITED State=UP\n"
            for name, seconds in PARTITIONS.items()
        ]
        return "".join(lines)
    raise Refusal(1, "invalid entity")


def _chosen(jobs: list[Job], ids: list[str], options: dict[str, str]) -> list[Job]:
    if ids:
        jobs = [job for job in jobs if job["id"] in ids or str(job["number"]) in ids]
    if "--user" in options and options["--user"] != _user():
        return []
    name = options.get("--name")
    return [job for job in jobs if name is None or job["name"].lower() == name.lower()]


def _ended(job: Job) -> bool:
    return job["state"] in _ENDED


def _base(job_id: str) -> str:
    return job_id.partition("_")[0]


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _time(moment: float) -> str:
    told = os.environ.get("SLURM_TIME_FORMAT", "%Y-%m-%dT%H:%M:%S")
    return time.strftime(told, time.localtime(moment))


# -- every program ------------------------------------------------------------------------------


def _read(program: str, arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return options and operands; what the program does not know is refused."""
    known, options, operands = _OPTIONS[program], {}, []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        if not word.startswith("-"):
            operands.append(word)
        elif f"{name}=" in known:
            options[name] = value if "=" in word else words.pop(0)
        elif word in known:
            options[word] = ""
        else:
            raise Refusal(1, f"{program}: unrecognized option '{word}'")
    return options, operands


def main(folder: Path, program: str, arguments: list[str]) -> int:
    """Be one of the programs and return its exit status."""
    queue = Queue(folder)
    if program == "run":
        run_job(queue, int(arguments[0]))
        return 0
    with (folder / "calls").open("a") as log:
        log.write(json.dumps([program, *arguments]) + "\n")
    behaviour = {what for what, names in queue.told.items() if names is not True and names}
    mood = {what for what in behaviour if program in queue.told[what]}
    if "hang" in mood:
        time.sleep(600)
    if "down" in mood and "--version" not in arguments:
        sys.stderr.write(f"{program}: error: {DOWN}\n")
        return 1
    act = {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "sacct": sacct}
    try:
        options, operands = _read(program, arguments)
        with queue.locked():
            text = act.get(program, scontrol)(queue, options, operands)
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return refusal.status
    return _answer(program, text, mood)


def _answer(program: str, text: str, mood: set[str]) -> int:
    if "die" in mood:
        os.kill(os.getpid(), signal.SIGKILL)
    if "mute" in mood:
        sys.stderr.write(f"{program}: error: {MUTE}\n")
        return 1
    if "chat" in mood:
        sys.stdout.write("Welcome to Alpha\nquota: 12 of 20\n")
    sys.stdout.write(text[: len(text) // 2] if "cut" in mood else text)
    sys.stdout.flush()
    if "late" in mood:
        time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
