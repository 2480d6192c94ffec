"""What a Slurm job script begins with."""

import re

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.units import format_walltime, whole_mib

# slurmdbd keeps 255 bytes of a name.
LONGEST_NAME = 200
_PLAIN = re.compile(r"[\w@%+=:,./~^-]*")


def job_name(name: str) -> str:
    """Return a name by which a job is found again, its nonce (after the last dash) untouched.

    Slurm takes any name, but squeue and sacct split what they are asked for at commas.
    """
    clean = re.sub(r"[^A-Za-z0-9._+-]+", "_", name) or "job"
    if len(clean) <= LONGEST_NAME:
        return clean
    stem, _, nonce = clean.rpartition("-")
    if len(nonce) > LONGEST_NAME // 2:
        return clean[-LONGEST_NAME:]
    return f"{stem[: LONGEST_NAME - len(nonce) - 1]}-{nonce}"


def directives(request: JobRequest) -> tuple[str, ...]:
    """Return the header of a job script. Raise RequestRefused for values that cannot stand in it.

    `resources` mean nothing to Slurm: features go by `constraint`, GPUs by `gpus`.
    """
    _refuse_odd(request)
    lines = [_option("job-name", job_name(request.name)), *_where(request), *_size(request)]
    if "walltime" not in request.omit:
        lines.append(_option("time", format_walltime(request.walltime)))
    if request.exclusive:
        lines.append("--exclusive")
    lines.append("--requeue" if request.requeue else "--no-requeue")
    lines += _dependency(request)
    if request.array is not None:
        lines.append(_option("array", f"0-{request.array - 1}"))
    if request.output is not None:
        lines += [_option("output", _output(request)), "--open-mode=append"]
    lines += request.directives
    return tuple(f"#SBATCH {line.removeprefix('#SBATCH ')}" for line in lines)


def _where(request: JobRequest) -> list[str]:
    asked = {
        "partition": None if "queue" in request.omit else request.queue,
        "qos": request.qos,
        "account": None if "account" in request.omit else request.account,
        "constraint": request.constraint,
    }
    return [_option(name, value) for name, value in asked.items() if value]


def _size(request: JobRequest) -> list[str]:
    """Return what the job gets: one task per node, which is the job's to divide."""
    lines = [_option("nodes", str(request.nodes)), "--ntasks-per-node=1"]
    if "cores" not in request.omit:
        lines.append(_option("cpus-per-task", str(request.cores)))
    if request.memory is not None and "memory" not in request.omit:
        # --mem=0 would ask for all the memory of a node.
        lines.append(_option("mem", f"{max(whole_mib(request.memory), 1)}M"))
    if request.gpus:
        # --gpus-per-node does not work with every select plugin, --gres does.
        kind = f"{request.gpu_type}:" if request.gpu_type else ""
        lines.append(_option("gres", f"gpu:{kind}{request.gpus}"))
    return lines


def _dependency(request: JobRequest) -> list[str]:
    """Return what the job waits for; one that waits in vain goes away by itself."""
    kinds = {
        "afterok": request.after,
        "afternotok": request.after_failure,
        "afterany": request.after_end,
    }
    told = ",".join(f"{kind}:{':'.join(ids)}" for kind, ids in kinds.items() if ids)
    lines = [_option("dependency", told)] if told else []
    return [*lines, "--kill-on-invalid-dep=yes"] if told else []


def _output(request: JobRequest) -> str:
    """Return the file name pattern: %A is the array's id, %a the index, %% a percent sign."""
    array = request.array is not None
    pattern = str(request.output).replace("%", "%%")
    return pattern.replace("{id}", "%A" if array else "%j").replace(
        "{index}", "%a" if array else "0"
    )


def _option(name: str, value: str) -> str:
    """Return an option as sbatch reads it back: it splits at blanks and cuts at ``#``.

    Quotes protect both, and within one kind of quotes the other is an ordinary character
    (measured on 22.05; a backslash outside of quotes is dropped).
    """
    if _PLAIN.fullmatch(value):
        return f"--{name}={value}"
    quote = "'" if '"' in value else '"'
    return f"--{name}={quote}{value}{quote}"


def _refuse_odd(request: JobRequest) -> None:
    """Refuse values that would end the line, the word or the quotes they stand in."""
    words = {
        "queue": request.queue,
        "qos": request.qos,
        "account": request.account,
        "gpu_type": request.gpu_type,
        **{f"after.{place}": job_id for place, job_id in enumerate(request.after)},
        **{f"after_failure.{place}": i for place, i in enumerate(request.after_failure)},
        **{f"after_end.{place}": i for place, i in enumerate(request.after_end)},
    }
    problems = [
        Problem(path, f"{word!r} cannot stand in a job script", "use letters, digits and ._-")
        for path, word in words.items()
        if word is not None and not re.fullmatch(r"[\w@%+=,./~-]+", word)
    ]
    lines = {"constraint": request.constraint or "", "output": str(request.output or "")}
    problems += [
        Problem(path, f"{line!r} cannot stand in a job script", "leave out quotes and backslashes")
        for path, line in lines.items()
        if not line.isprintable() or "\\" in line or ("'" in line and '"' in line)
    ]
    problems += [
        Problem(f"directives.{place}", f"{line!r} is not one line", "leave out line breaks")
        for place, line in enumerate(request.directives)
        if not line.isprintable()
    ]
    if problems:
        raise RequestRefused(problems)
