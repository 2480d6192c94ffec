"""What a PBS job script begins with."""

import re

from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.schedulers.base import JobRequest, SchedulerOptions
from pangeo_hpc.units import format_walltime, whole_mib

# 230 characters were accepted, 237 refused.
LONGEST_NAME = 230


def job_name(name: str) -> str:
    """Return a name that PBS takes, its nonce (what follows the last dash) untouched.

    Refused are blanks, most punctuation and letters beyond ASCII (recording 40-rejections).
    """
    clean = re.sub(r"[^A-Za-z0-9._+-]+", "_", name) or "job"
    if len(clean) <= LONGEST_NAME:
        return clean
    stem, _, nonce = clean.rpartition("-")
    if len(nonce) > LONGEST_NAME // 2:
        return clean[-LONGEST_NAME:]
    return f"{stem[: LONGEST_NAME - len(nonce) - 1]}-{nonce}"


def directives(request: JobRequest, options: SchedulerOptions) -> tuple[str, ...]:
    """Return the header of a job script. Raise RequestRefused for values that cannot stand in it.

    Walltime and memory are always asked for: where a queue has a maximum and no default, the
    maximum becomes the request. Nothing is passed by -v, which corrupts quotes and lets every
    user read the value.
    """
    _refuse_odd(request)
    lines = [f"-N {job_name(request.name)}"]
    queue = "" if "queue" in request.omit else request.queue or ""
    if options.server:
        queue = f"{queue}@{options.server}"
    if queue:
        lines.append(f"-q {queue}")
    if request.account and "account" not in request.omit:
        lines.append(f"{options.account_option} {request.account}")
    lines += _totals(request) if options.request == "totals" else _select(request)
    if "walltime" not in request.omit:
        lines.append(f"-l walltime={format_walltime(request.walltime)}")
    lines += _output(request)
    kinds = {
        "afterok": request.after,
        "afternotok": request.after_failure,
        "afterany": request.after_end,
    }
    told = ",".join(f"{kind}:{':'.join(ids)}" for kind, ids in kinds.items() if ids)
    if told:
        # one that waits for failures in vain is deleted by the server
        lines.append(f"-W depend={told}")
    if _is_array(request):
        # An array is always one that may be run again; saying no is refused.
        lines.append(f"-J 0-{(request.array or 0) - 1}")
    else:
        lines.append(f"-r {'y' if request.requeue else 'n'}")
    return tuple(f"#PBS {line.removeprefix('#PBS ')}" for line in (*lines, *request.directives))


def _select(request: JobRequest) -> list[str]:
    """Return the request as chunks, one to a node."""
    chunk = [f"select={request.nodes}"]
    if "cores" not in request.omit:
        chunk.append(f"ncpus={request.cores}")
    if request.memory is not None and "memory" not in request.omit:
        chunk.append(f"mem={_mb(request.memory)}mb")
    if request.gpus:
        chunk.append(f"ngpus={request.gpus}")
    chunk += [f"{name}={value}" for name, value in request.resources.items()]
    lines = [f"-l {':'.join(chunk)}"]
    if request.exclusive:
        lines.append("-l place=scatter:excl")
    elif request.nodes > 1:
        lines.append("-l place=scatter")
    return lines


def _totals(request: JobRequest) -> list[str]:
    """Return the request as sums over all nodes, for sites that place jobs themselves.

    select and place cannot go with it: PBS refuses the mixture.
    """
    sums = []
    if "cores" not in request.omit:
        sums.append(f"ncpus={request.cores * request.nodes}")
    if request.memory is not None and "memory" not in request.omit:
        sums.append(f"mem={_mb(request.memory) * request.nodes}mb")
    if request.gpus:
        sums.append(f"ngpus={request.gpus * request.nodes}")
    sums += [f"{name}={value}" for name, value in request.resources.items()]
    return [f"-l {','.join(sums)}"] if sums else []


def _output(request: JobRequest) -> list[str]:
    """Return where the output goes: PBS knows the index in a path, but not the id.

    In place of the id stands the job's name, which is as unique.
    """
    if request.output is None:
        return ["-j oe"]
    path = str(request.output).replace("{id}", job_name(request.name))
    if _is_array(request):
        path = path if "{index}" in path else f"{path}.{{index}}"
        path = path.replace("{index}", "^array_index^")
    path = path.replace("{index}", "0")
    return ["-j oe", f'-o "{path}"' if re.search(r"\s", path) else f"-o {path}"]


def _is_array(request: JobRequest) -> bool:
    """Tell whether to ask for an array; one of a single element is refused (illegal -J value)."""
    return request.array is not None and request.array > 1


def _mb(memory: int) -> int:
    return max(whole_mib(memory), 1)


def _refuse_odd(request: JobRequest) -> None:
    """Refuse values that would end the line or the word they stand in."""
    words = {
        "queue": request.queue,
        "account": request.account,
        **{f"resources.{name}": f"{name}={value}" for name, value in request.resources.items()},
        **{f"after.{place}": job_id for place, job_id in enumerate(request.after)},
        **{f"after_failure.{place}": i for place, i in enumerate(request.after_failure)},
        **{f"after_end.{place}": i for place, i in enumerate(request.after_end)},
    }
    problems = [
        Problem(path, f"{word!r} cannot stand in a job script", "use letters, digits and ._-")
        for path, word in words.items()
        if word is not None and not re.fullmatch(r"[^\s:,+\"'\\#]+", word)
    ]
    lines = {"output": str(request.output or "")}
    lines |= {f"directives.{place}": line for place, line in enumerate(request.directives)}
    problems += [
        Problem(
            path, f"{line!r} is not one plain line", "leave out line breaks and control characters"
        )
        for path, line in lines.items()
        if not line.isprintable() or (path == "output" and '"' in line)
    ]
    if problems:
        raise RequestRefused(problems)
