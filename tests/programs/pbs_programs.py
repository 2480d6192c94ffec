"""Stand-ins for qsub, qstat, qdel, qselect and pbsnodes that keep state and run jobs as processes.

`install` puts them into a folder. They refuse what the recorded PBS refused, print what it
printed, and lie when they are told to (`tell`). They prove parsing and argument building; only a
real PBS proves that a job gets the resources it asked for. This file also is the program: it is
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("qsub", "qstat", "qdel", "qselect", "pbsnodes")
SERVER = "standin"
QUEUES: dict[str, dict[str, Any]] = {
    "short": {"walltime": 3600, "ncpus": 4},
    "long": {"walltime": 86400, "ncpus": 16},
    "main": {"route": "short,long"},
}
NODES = 4
_NAME = re.compile(r"[A-Za-z0-9._+-]{1,230}")
_ID = re.compile(r"(\d+)(?:\[(\d*)\])?(?:\.[\w.-]+)?")

Job = dict[str, Any]


def install(folder: Path, **told: object) -> Path:
    """Put the programs into a folder, with an empty queue, and return where they are."""
    programs, state = folder / "bin", folder / "state"
    for place in (programs, state / "jobs", state / "spool"):
        place.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        words = shlex.join([sys.executable, "-I", __file__, str(state), name])
        (programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (programs / name).chmod(0o755)
    tell(programs, **told)
    return programs


def tell(programs: Path, **told: object) -> None:
    """Tell the programs how to behave from now on.

    ``paused`` starts no jobs; ``history`` False keeps none; ``private`` says that nobody sees
    others' jobs; ``down`` names programs that cannot
    reach the server, ``hang`` those that never answer, ``mute`` those that do their work and then
    say that the server is gone; ``json`` is "broken" (releases to 23.06) or "first" (later ones);
    ``domain`` stands behind the names of nodes; ``say`` lays attributes over what qstat tells of a
    job, by its id.
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
    """The state of the server: one file per job, one lock."""

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
        return sorted(found, key=lambda job: (job["number"], job["index"] or 0))

    def ended(self) -> list[Job]:
        """Return every job and element that has ended."""
        return [job for job in self.jobs() if job["state"] == "F"]

    def job(self, number: int, index: int | None) -> Job:
        """Return one job."""
        found: Job = json.loads(self.path(number, index).read_text())
        return found

    def path(self, number: int, index: int | None) -> Path:
        """Return the file of a job."""
        return self.folder / "jobs" / f"{number}.{'' if index is None else index}.json"

    def write(self, job: Job) -> None:
        """Store a job in one step."""
        path = self.path(job["number"], job["index"])
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(job))
        partial.replace(path)

    def schedule(self) -> None:
        """Start what may start, and drop what waits for a job that failed."""
        if self.told.get("paused"):
            return
        for job in self.jobs():
            if job["state"] not in ("Q", "H"):
                continue
            before = [other for other in self.jobs() if other["number"] in job["after"]]
            if any(other["state"] != "F" for other in before):
                continue
            if any(
                (other["exit"] == 0) is (other["number"] in job["failed"])
                for other in before
                if other["number"] not in job["any"]
            ):
                self.write(job | {"state": "F", "substate": 92, "ended": time.time()})
                continue
            self.write(job | {"state": "R", "substate": 41, "started": time.time()})
            subprocess.Popen(
                [sys.executable, "-I", __file__, str(self.folder), "run", job["id"]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )


def full_id(number: int, index: int | str | None) -> str:
    """Return an id as PBS prints it."""
    return f"{number}.{SERVER}" if index is None else f"{number}[{index}].{SERVER}"


# -- qsub ---------------------------------------------------------------------------------------


def qsub(queue: Queue, arguments: list[str]) -> str:
    """Take a job whose script is the only argument, and return its id."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise Refusal(2, "usage: qsub script")
    script = Path(arguments[0])
    if not script.is_file():
        raise Refusal(1, "qsub: script file:: No such file or directory")
    asked = _directives(script)
    number = max((job["number"] for job in queue.jobs()), default=0) + 1
    first, last = (int(part) for part in (asked.get("J") or "0-0").split("-"))
    for index in range(first, last + 1) if "J" in asked else [None]:
        queue.write(_new_job(number, index, script, asked))
    queue.schedule()
    return full_id(number, "" if "J" in asked else None) + "\n"


def _directives(script: Path) -> dict[str, str]:
    asked: dict[str, str] = {}
    for line in script.read_text().splitlines()[1:]:
        if line and not line.startswith("#"):
            break
        if not line.startswith("#PBS "):
            continue
        words = shlex.split(line[5:])
        if len(words) != 2 or not re.fullmatch("-[AJNPWjlkoqr]", words[0]):
            raise Refusal(1, f"qsub: directive error: {line[5:]}")
        letter, value = words[0][1], words[1]
        for part in value.split(",") if letter == "l" else [value]:
            key, _, rest = part.partition("=")
            asked[f"l.{key}" if letter == "l" else letter] = rest if letter == "l" else part
    _refuse(asked)
    return asked


def _refuse(asked: dict[str, str]) -> None:
    """Refuse what the recorded PBS refused, with its words and exit statuses."""
    if not _NAME.fullmatch(asked.get("N", "x")):
        raise Refusal(2, "qsub: illegal -N value\nusage: qsub script")
    name, _, server = asked.get("q", "short").partition("@")
    if server not in ("", SERVER):
        message = f"Unknown Host.\nqsub: cannot connect to server {server} (errno=15008)"
        raise Refusal(160, message)
    if name not in QUEUES:
        raise Refusal(170, "qsub: Unknown queue")
    if asked.get("A", "").startswith("BAD"):
        raise Refusal(32, f"qsub: Invalid account {asked['A']}: no such project")
    if "l.select" in asked and ("l.ncpus" in asked or "l.mem" in asked):
        words = 'cannot be used with "select" or "place", resource is: ncpus'
        raise Refusal(5, f'qsub: "-lresource=" {words}')
    if not re.fullmatch(r"\d+:\d\d:\d\d", asked.get("l.walltime", "0:00:00")):
        raise Refusal(166, "qsub: Illegal attribute or resource value Resource_List.walltime")
    if re.fullmatch(r"(\d+)-\1", asked.get("J", "")):
        raise Refusal(2, "qsub: illegal -J value\nusage: qsub script")
    limits = QUEUES[name]
    if _seconds(asked) > limits.get("walltime", 1e9) or _cores(asked) > limits.get("ncpus", 1e9):
        raise Refusal(188, "qsub: Job violates queue and/or server resource limits")


def _seconds(asked: dict[str, str]) -> int:
    hours, minutes, seconds = (int(part) for part in asked.get("l.walltime", "1:00:00").split(":"))
    return hours * 3600 + minutes * 60 + seconds


def _nodes(asked: dict[str, str]) -> int:
    return int(asked.get("l.select", "1").partition(":")[0])


def _cores(asked: dict[str, str]) -> int:
    found = re.search(r"ncpus=(\d+)", asked.get("l.select", ""))
    return _nodes(asked) * int(found[1]) if found else int(asked.get("l.ncpus", "1"))


def _new_job(number: int, index: int | None, script: Path, asked: dict[str, str]) -> Job:
    name = asked.get("q", "short").partition("@")[0]
    route = QUEUES[name].get("route", name)
    kinds = dict(re.findall(r"(afterok|afternotok|afterany):([\w.:]+)", asked.get("W", "")))
    wanted = {
        kind: [int(i) for i in re.findall(r"(?:^|:)(\d+)", ids)] for kind, ids in kinds.items()
    }
    failed = wanted.get("afternotok", [])
    after = wanted.get("afterok", []) + failed + wanted.get("afterany", [])
    return {
        "number": number,
        "index": index,
        "id": full_id(number, index),
        "name": asked.get("N", script.name),
        "queue": route.split(",")[-1],
        "script": str(script),
        "output": asked.get("o", "/dev/null").replace("^array_index^", str(index)),
        "walltime": _seconds(asked),
        "nodes": _nodes(asked),
        "cores": _cores(asked),
        "after": after,
        "failed": failed,
        "any": wanted.get("afterany", []),
        "state": "H" if after else "Q",
        "substate": 22 if after else 10,
        "created": time.time(),
        "exit": None,
        # without -V and -v the server keeps no more of the environment than this
        "variables": ",".join(
            f"PBS_O_{name}={os.environ[name]}"
            for name in ("HOME", "LOGNAME", "PATH", "SHELL")
            if name in os.environ
        ),
    }


# -- a running job ------------------------------------------------------------------------------


def run_job(queue: Queue, arguments: list[str]) -> str:
    """Run one job to its end: what the node does."""
    match = _ID.fullmatch(arguments[0])
    assert match is not None
    index = int(match[2]) if match[2] else None
    number = int(match[1])
    job = queue.job(number, index)
    spool = queue.folder / "spool" / job["id"]
    domain = queue.told.get("domain", "")
    nodes = [f"node{place + 1:02}{domain}" for place in range(min(job["nodes"], NODES))]
    node_file = spool.with_suffix(".nodes")
    node_file.write_text("".join(f"{node}\n" for node in nodes))
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(Path.home()),
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": job["id"],
        "PBS_JOBNAME": job["name"],
        "PBS_NODEFILE": str(node_file),
        "NCPUS": str(job["cores"] // job["nodes"]),
    }
    if index is not None:
        environ["PBS_ARRAY_INDEX"] = str(index)
    with spool.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/bash", job["script"]],
            cwd=Path.home(),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    hosts = "+".join(f"{node}/0" for node in nodes)
    with queue.locked():
        job = queue.job(number, index)
        queue.write(job | {"substate": 42, "hosts": hosts, "pid": process.pid})
        if job.get("deleted"):
            os.killpg(process.pid, signal.SIGTERM)
    try:
        code = process.wait(job["walltime"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        code = -29 - 256
    with suppress(OSError):  # output that cannot be delivered changes no exit status
        Path(job["output"]).write_bytes(spool.read_bytes())
    with queue.locked():
        job = queue.job(number, index)
        queue.write(job | _end(code, bool(job.get("deleted"))) | {"ended": time.time()})
        # it may have been paused while the job ran
        Queue(queue.folder).schedule()
    return ""


def _end(code: int, deleted: bool) -> Job:
    """Return how a job ended. A killed one has 256 and its signal, once it was deleted."""
    if code < -256:
        return {"state": "F", "substate": 93, "exit": code + 256}
    status = code if code >= 0 else (256 if deleted else 128) - code
    substate = 91 if deleted else 93 if status else 92
    return {"state": "F", "substate": substate, "exit": status}


# -- qstat, qselect, qdel, pbsnodes -------------------------------------------------------------


def qstat(queue: Queue, arguments: list[str]) -> str:
    """Print jobs, queues or the server."""
    if arguments == ["--version"]:
        return "pbs_version = 23.06.06\n"
    flags, ids = _flags(arguments, "fFwxtQB")
    if "F" in flags and "f" not in flags:
        raise Refusal(2, "qstat: conflicting options.\nusage: \nqstat [-f]")
    if "Q" in flags or "B" in flags:
        return _document(*_server_facts(queue, "Q" in flags))
    history = queue.told.get("history", True)
    if "x" in flags and not history:
        sys.stderr.write("qstat: PBS is not configured to maintain job history\n")
        return _document("Jobs", {}) if "F" in flags else ""
    wanted, status = [], 0
    for job_id in ids:
        found, status, words = _find(queue, job_id, flags, status)
        wanted += found
        sys.stderr.write(words)
    if not ids:
        wanted = [job for job in queue.jobs() if job["state"] != "F" or "x" in flags]
    said = queue.told.get("say", {})
    records = {job["id"]: _record(job) | said.get(job["id"], {}) for job in wanted}
    text = _told_jobs(queue, records) if "F" in flags else _as_text(records)
    if status:
        sys.stdout.write(text)
        raise Refusal(status, "")
    return text


def _find(queue: Queue, job_id: str, flags: str, status: int) -> tuple[list[Job], int, str]:
    match = _ID.fullmatch(job_id)
    if not match:
        return [], 1, f"qstat: illegally formed job identifier: {job_id}\n"
    number, index = int(match[1]), match[2]
    found = [job for job in queue.jobs() if job["number"] == number]
    array = any(job["index"] is not None for job in found)
    if index:
        found = [job for job in found if str(job["index"]) == index]
    named = full_id(number, index)
    ended = bool(found) and all(job["state"] == "F" for job in found)
    if not found or array != (index is not None) or (ended and not queue.told.get("history", True)):
        return [], 153, f"qstat: Unknown Job Id {named}\n"
    if ended and "x" not in flags:
        return [], status or 35, f"qstat: {named} Job has finished, use -x or -H to obtain …\n"
    return found, status, ""


def _record(job: Job) -> dict[str, Any]:
    """Return a job as qstat -f tells it; times are in the caller's zone."""
    record: dict[str, Any] = {
        "Job_Name": job["name"],
        "Job_Owner": f"{os.environ.get('USER') or Path.home().name}@{SERVER}",
        "job_state": job["state"],
        "queue": job["queue"],
        "ctime": _ctime(job["created"]),
        "Resource_List": {
            "ncpus": job["cores"],
            "nodect": job["nodes"],
            "walltime": f"{job['walltime'] // 3600:02}:{job['walltime'] // 60 % 60:02}"
            f":{job['walltime'] % 60:02}",
        },
        "substate": job["substate"],
        "Variable_List": job["variables"],
    }
    if job["state"] == "Q":
        record["comment"] = "Not Running: Queue not started."
    if job["after"]:
        record["depend"] = ",".join(
            f"{_kind(job, other)}:{full_id(other, None)}" for other in job["after"]
        )
    if job.get("hosts"):
        record |= {"exec_host": job["hosts"], "stime": _ctime(job["started"]), "run_count": 1}
        record["comment"] = "Job run at some time on (node01:ncpus=1)"
    if job.get("deleted"):
        record["comment"] = f"{record.get('comment', 'x')} and terminated by {job['deleted']}"
    if job["exit"] is not None:
        record |= {"Exit_status": job["exit"], "resources_used": {"mem": "6444kb"}}
    if job["state"] == "F":
        record |= {"obittime": _ctime(job["ended"])}
    return record


def _kind(job: Job, other: int) -> str:
    if other in job["any"]:
        return "afterany"
    return "afternotok" if other in job["failed"] else "afterok"


def _ctime(moment: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment))


def _told_jobs(queue: Queue, records: dict[str, Any]) -> str:
    how = queue.told.get("json")
    if how == "first":
        records = dict(list(records.items())[:1])
    text = _document("Jobs", records)
    return text.replace('"Job_Name": "', '"Job_Name": inf"', 1) if how == "broken" else text


def _document(section: str, records: dict[str, Any]) -> str:
    head: dict[str, Any] = {"timestamp": int(time.time()), "pbs_version": "23.06.06"}
    if records:
        head[section] = records
    return json.dumps(head, indent=4) + "\n"


def _as_text(records: dict[str, Any]) -> str:
    lines = []
    for job_id, record in records.items():
        lines.append(f"Job Id: {job_id}")
        for name, value in record.items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            lines += [f"    {name}{'.' if part else ''}{part} = {v}" for part, v in parts]
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


def _server_facts(queue: Queue, of_queues: bool) -> tuple[str, dict[str, Any]]:
    if not of_queues:
        facts = {"default_queue": "short", "query_other_jobs": not queue.told.get("private", False)}
        facts |= {"job_history_enable": queue.told.get("history", True)}
        return "Server", {SERVER: {name: str(value) for name, value in facts.items()}}
    queues = {}
    for name, limits in QUEUES.items():
        queues[name] = {"queue_type": "Execution", "enabled": "True", "started": "True"}
        if "route" in limits:
            queues[name] |= {"queue_type": "Route", "route_destinations": limits["route"]}
        else:
            most = {"walltime": limits["walltime"], "ncpus": limits["ncpus"]}
            queues[name] |= {"resources_max": most}
    return "Queue", queues


def qselect(queue: Queue, arguments: list[str]) -> str:
    """Print the ids of the jobs of a name, or of all jobs."""
    history, name = "-x" in arguments, ""
    if "-N" in arguments:
        name = arguments[arguments.index("-N") + 1]
    if history and not queue.told.get("history", True):
        sys.stderr.write("qselect: PBS is not configured to maintain job history\n")
        return ""
    found = {
        full_id(job["number"], None if job["index"] is None else ""): None
        for job in queue.jobs()
        if name in ("", job["name"]) and (history or job["state"] != "F")
    }
    return "".join(f"{job_id}\n" for job_id in found)


def qdel(queue: Queue, arguments: list[str]) -> str:
    """Delete jobs: a signal, and the end is noted when it is there."""
    if not arguments:
        raise Refusal(2, "usage:\n\tqdel [-W force|suppress_email=X] [-x] job_identifier...")
    status = 0
    for job_id in arguments:
        found, code, words = _find(queue, job_id, "", 0)
        status = code or status
        words = re.sub("qstat: (.*) Job has finished.*", r"qdel: Job has finished \1", words)
        sys.stderr.write(words.replace("qstat:", "qdel:"))
        for job in found:
            if job["state"] == "R":
                queue.write(job | {"deleted": f"somebody@{SERVER}"})
                if job.get("pid"):
                    os.killpg(job["pid"], signal.SIGTERM)
            elif job["state"] != "F":
                queue.write(job | {"state": "F", "substate": 91, "ended": time.time()})
    if status:
        raise Refusal(status, "")
    return ""


def pbsnodes(queue: Queue, arguments: list[str]) -> str:
    """Print the nodes."""
    del queue
    if arguments != ["-a", "-F", "json"]:
        raise Refusal(1, "usage:\tpbsnodes -a -F json")
    node = {
        "state": "free",
        "resources_available": {"ncpus": 8, "mem": "16gb"},
        "resources_assigned": {},
    }
    return _document("nodes", {f"node{place + 1:02}": node for place in range(NODES)})


def _flags(arguments: list[str], known: str) -> tuple[str, list[str]]:
    flags, words = "", list(arguments)
    while words and words[0].startswith("-"):
        for letter in words.pop(0)[1:]:
            if letter not in known:
                raise Refusal(2, f"qstat: invalid option -- '{letter}'\nusage: \nqstat [-f]")
            flags += letter
            if letter == "F" and words.pop(0) != "json":
                raise Refusal(2, "usage: \nqstat [-f]")
    return flags, words


def main(state: Path, program: str, arguments: list[str]) -> int:
    """Be one of the programs, and return its exit status."""
    programs: dict[str, Callable[[Queue, list[str]], str]] = {
        "qsub": qsub,
        "qstat": qstat,
        "qselect": qselect,
        "qdel": qdel,
        "pbsnodes": pbsnodes,
    }
    queue = Queue(state)
    if program == "run":
        run_job(queue, arguments)
        return 0
    with queue.locked(), (queue.folder / "calls").open("a") as log:
        log.write(json.dumps([program, *arguments]) + "\n")
    if program in queue.told.get("hang", ()):
        time.sleep(600)
    no_server = f"Connection refused\n{program}: cannot connect to server {SERVER} (errno=15010)\n"
    if program in queue.told.get("down", ()):
        sys.stderr.write(no_server)
        return 255 if program == "qstat" else 162
    try:
        with queue.locked():
            if program != "qsub":
                queue.schedule()
            answer = programs[program](queue, arguments)
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n" if str(refusal) else "")
        return refusal.status
    if program in queue.told.get("mute", ()):
        sys.stderr.write(f"{program}: End of File\nEnd of File\n")
        return 162
    sys.stdout.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
