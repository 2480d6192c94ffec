"""The shipped contract catches the faults it is there for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pangeo_hpc.errors import SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Command, Result
from pangeo_hpc.schedulers.base import JobState, JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.testing import Recorded, SchedulerContract, Situation


def contract(scheduler: type[PBS], **settings: object) -> SchedulerContract:
    """Return the contract's tests for a scheduler, not collected by pytest."""

    def make(self: SchedulerContract, options: SchedulerOptions) -> PBS:
        return scheduler(options)

    return type("Contract", (SchedulerContract,), {"make": make, **settings})()


class Honest(PBS):
    pass


class Greedy(PBS):
    """Writes more into the script than it should, and ignores what to omit."""

    def directives(self, request):
        honest = super().directives(replace(request, omit=frozenset()))
        return (
            *honest,
            *(f"#PBS -v {name}={value}" for name, value in request.environment.items()),
        )


class Careless(PBS):
    """Writes values as they come, does not ask for walltime and memory, loses the nonce."""

    def directives(self, request):
        return (f"#PBS -N {request.name[:15]}", f"#PBS -q {request.queue}")


class Hasty(PBS):
    """Asks about anything, takes an absent job as completed, and any answer as an id."""

    def status(self, ids):
        yield Command(("qstat", *ids))
        return {job_id: JobStatus(id=job_id, state=JobState.COMPLETED) for job_id in ids}

    history = status

    def submit(self, script, request):
        result = yield Command(("qsub", str(script), *request.environment.values()))
        return result.stdout.strip()

    def step(self, command, facts, *, cores, memory):
        return ("pbsdsh", " ".join(command))

    def allocation(self, environ):
        return "somewhere"


def broken(check: Callable[[], object]) -> None:
    with pytest.raises(AssertionError):
        check()


def test_it_passes_an_honest_one(tmp_path):
    """Where nothing is wrong, nothing is found."""
    honest = contract(Honest)
    honest.test_directives_are_comment_lines()
    honest.test_no_environment_in_directives()
    honest.test_ids_never_become_options()
    honest.test_the_script_is_valid_shell(tmp_path)


def test_it_sees_what_is_in_a_script():
    """Secrets in directives, ignored omissions, missing requests, injected lines, lost nonces."""
    greedy, careless = contract(Greedy), contract(Careless)
    broken(greedy.test_no_environment_in_directives)
    for what in ("queue", "memory", "cores", "walltime", "account"):
        broken(lambda what=what: greedy.test_omit_is_respected(what))
    broken(careless.test_directives_ask_for_walltime_and_memory)
    broken(lambda: careless.test_no_value_starts_a_line("queue"))
    broken(lambda: careless.test_the_name_keeps_its_nonce("n" * 300 + "-x7k2"))
    broken(careless.test_site_directives_are_passed_on)


def test_it_sees_how_it_asks():
    """Questions without ids, ids that are options, programs not the site's, secrets in argv."""
    hasty = contract(Hasty)
    broken(lambda: hasty.test_nothing_to_ask("status"))
    broken(hasty.test_ids_never_become_options)
    broken(lambda: hasty.test_programs_and_environment_are_the_sites("status"))
    broken(hasty.test_submission_hides_the_environment)
    broken(hasty.test_outside_any_job)
    broken(lambda: hasty.test_a_step_ends_with_the_command(("n1",)))
    with pytest.raises(pytest.fail.Exception, match="SchedulerUnreachable"):
        hasty.test_no_answer_in_time("status")


DOWN = Result(("qstat",), 255, "", "qstat: cannot connect to server x (errno=15010)\n")
SAID = {
    Situation.EMPTY: Recorded(answers=[Result(("qstat",), 0)], ids=["1"]),
    Situation.HISTORY_OFF: Recorded(answers=[Result(("qstat",), 0)], ids=["1"]),
    Situation.UNKNOWN_WORD: Recorded(answers=[Result(("qstat",), 0)], ids=["1"]),
    Situation.TRUNCATED: Recorded(answers=[Result(("qstat",), 0)], ids=["1"]),
    Situation.UNREACHABLE: Recorded(answers=[DOWN], ids=["1"]),
    Situation.REFUSED: Recorded(answers=[Result(("qsub",), 1, "", "no")], says="no"),
    Situation.UNCLEAR: Recorded(answers=[DOWN]),
    Situation.BANNER: Recorded(answers=[Result(("qsub",), 0, "hello\n7.s\n")], id="7.s"),
}


@pytest.mark.parametrize("situation", SAID, ids=lambda situation: situation.name.lower())
def test_it_sees_what_is_misunderstood(situation):
    """An answer that is taken for more than it says breaks the contract."""
    hasty = contract(Hasty, recordings=SAID)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        hasty.test_recorded(situation)


def test_every_situation_is_asked_for():
    """A situation without a recording fails, unless the scheduler says why it cannot arise."""
    broken(lambda: contract(Honest).test_recorded(Situation.ARRAY))
    without = contract(Honest, unsupported={Situation.ARRAY: "there are no arrays"})
    without.test_recorded(Situation.ARRAY)
    unsaid = contract(Honest, unsupported={Situation.ARRAY: ""})
    broken(lambda: unsaid.test_recorded(Situation.ARRAY))


def test_errors_need_words_and_hints():
    """A refusal must quote the scheduler and name the next step."""

    class Silent(PBS):
        def submit(self, script, request):
            yield Command(("qsub", str(script)))
            raise SubmitRefused("refused")

        def nodes(self):
            yield Command(("pbsnodes",))
            raise SchedulerUnreachable("down")

    silent = contract(Silent, recordings=SAID)
    broken(lambda: silent.test_recorded(Situation.REFUSED))
    broken(lambda: silent.test_no_answer_in_time("nodes"))


def test_importing_it_is_light():
    """Only pytest is needed beside the standard library."""
    from pangeo_hpc.run import run

    heavy = "dask xarray yaml pydantic rich click jupyterhub numpy"
    program = f"import sys, pangeo_hpc.testing; print(set('{heavy}'.split()) & set(sys.modules))"
    here = str(Path(__file__).parents[3])
    import sys

    command = Command((sys.executable, "-c", program), environment={"PYTHONPATH": here})
    assert run(command).stdout.strip() == "set()"
