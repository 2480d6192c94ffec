"""Jobs go to Slurm once, are found again and are cancelled; its words are kept."""

from pathlib import Path

import pytest

from pangeo_hpc.errors import SchedulerError, SchedulerUnreachable, SubmitRefused
from pangeo_hpc.run import Command, Recorder, Result, converse, minimal_environment
from pangeo_hpc.schedulers.base import SchedulerOptions
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.testing.contract import REQUEST
from tests.recordings.slurm_steps import asked, failure, ids, noted, replay, steps

slurm = Slurm(SchedulerOptions())
SCRIPT = Path("/work/job.sh")
REFUSED = [
    step
    for case in ("40", "41")
    for step in steps(case)
    if step.command.startswith("sbatch") and step.result.returncode
    if "--test-only" not in step.command
]
HINTS = {
    "queue": "sinfo -s",
    "account": "--account",
    "qos": "`qos` of the node type",
    "memory": "less memory",
    "feature": "`constraint`",
    "gpus": "no node of this queue",
    "gpu-type": "no node of this queue",
    "array": "MaxArraySize",
    "dependency": "--after",
    "reservation": "scontrol show reservation",
    "license": "license",
    "host": "hosts",
    "option": "not one of this Slurm",
    "value": "cannot be read by sbatch",
    "word": "a line of the site's",
    "tiny-2": "as many jobs queued",
    "tiny-3": "as many jobs queued",
    "tiny-long": "as many jobs queued",
    "no-script": "submit again",
    "drained": "takes no jobs now",
    "walltime": "lower the walltime",
    "cores": "fewer cores",
    "nodes": "fewer nodes",
    "small": "fewer cores",
}


def submit(*answers: Result) -> str:
    return converse(slurm.submit(SCRIPT, REQUEST), Recorder(answers))


@pytest.mark.parametrize("step", REFUSED, ids=[step.note for step in REFUSED])
def test_refusals(step):
    """Every recorded refusal quotes Slurm and says the next step."""
    with pytest.raises(SubmitRefused) as caught:
        submit(step.result)
    error = caught.value
    assert HINTS[step.note] in error.hint
    assert error.text.startswith("slurm refused the job: ")
    assert "sbatch: error" not in error.text
    assert "\n" not in error.text
    assert error.retry == (step.note.startswith("tiny"))


def test_every_refusal_is_tested():
    """The table above and the recordings go together."""
    assert {step.note for step in REFUSED} == set(HINTS)


def test_a_rule_of_the_site():
    """What a site's own filter says is quoted whole, even if nobody knows it."""
    words = "sbatch: error: Please state a project (see https://…)\nsbatch: error: Batch job"
    with pytest.raises(SubmitRefused) as caught:
        submit(Result((), 1, "", f"{words} submission failed: Unspecified error\n"))
    assert "Please state a project" in caught.value.text
    assert "the site's own rule" in caught.value.hint


def test_a_full_slurm():
    """It may be asked again later without any change."""
    words = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
    last = "sbatch: error: Batch job submission failed: Resource temporarily unavailable\n"
    with pytest.raises(SubmitRefused) as caught:
        submit(Result((), 1, "", words * 3 + last))
    assert caught.value.retry
    assert caught.value.text.count("sleeping") == 1


def test_no_answer_is_no_refusal():
    """After a timeout on its socket the job did run: this must be looked for by its name."""
    with pytest.raises(SchedulerUnreachable) as caught:
        submit(noted("71", "unclear"))
    assert "may or may not exist" in caught.value.hint
    assert not caught.value.unsent
    (job_id,) = replay("71", slurm.find("unclear-x7k2", "alice"), after="unclear")
    assert job_id != ids("71")["running"]


def test_where_nobody_listens():
    """Nothing was sent, so no job need be looked for."""
    with pytest.raises(SchedulerUnreachable) as caught:
        submit(noted("70", "lost"))
    assert caught.value.unsent


def test_the_environment_of_a_submission():
    """sbatch hands its environment on: our TZ and LC_ALL are not the job's, the site's are."""
    named = Slurm(SchedulerOptions(cluster="alpha", environment={"SLURM_CONF": "/etc/s.conf"}))
    runner = Recorder([Result((), 0, "12;alpha\n")])
    assert converse(named.submit(SCRIPT, REQUEST), runner) == "12"
    (command,) = runner.commands
    assert command.argv == ("sbatch", "--clusters=alpha", "--parsable", "/work/job.sh")
    environ = minimal_environment(command.environment, {"PATH": "/bin", "HOME": "/home/a"})
    assert environ == {"PATH": "/bin", "HOME": "/home/a", "SLURM_CONF": "/etc/s.conf"}


def test_finding_a_job():
    """A job is found while it waits, runs or has just ended; an array once, by its own id."""
    jobs = ids("50")
    assert replay("50", slurm.find("found-x7k2", "alice")) == (jobs["found"],)
    assert replay("50", slurm.find("many-x7k2", "alice")) == (jobs["many"],)
    assert replay("50", slurm.find("ended-x7k2", "alice")) == (jobs["ended"],)


def test_finding_only_in_history():
    """When the queue has forgotten it, sacct still knows its name."""
    found = replay("50", slurm.find("ended-x7k2", "alice"), after="only in history")
    assert found == (ids("50")["ended"],)


def test_names_differ_by_case():
    """squeue and sacct find other spellings too; they are other jobs."""
    assert replay("50", slurm.find("FOUND-x7k2", "alice")) == ()
    assert replay("50", slurm.find("Ended-x7k2", "alice"), after="another name") == ()
    assert replay("50", slurm.find("other-x7k2", "alice")) == ()


def test_finding_jobs_of_others():
    """A name is looked for among the jobs of one user."""
    assert replay("50", slurm.find("found-x7k2", "bob")) == ()
    error = failure(lambda: replay("50", slurm.find("found-x7k2", "nosuchuser")))
    assert isinstance(error, SchedulerError)
    assert "Invalid user" in error.text


def test_a_search_that_failed_found_nothing_yet():
    """Without an answer of both, a second submission would be a guess."""
    assert failure(lambda: replay("70", slurm.find("lost-x7k2", "alice"))).retry
    assert failure(lambda: replay("72", slurm.find("other-x7k2", "alice"))).retry
    assert replay("90", slurm.find("other-x7k2", "alice")) == (), "there is no history at all"


def test_cancelling():
    """All in one call; what is unknown or has ended is no problem, what is another's is."""
    runner = Recorder([asked("21", "scancel 99999 ")])
    assert converse(slurm.cancel(["99999", "1", "1_7"]), runner) == {}
    assert runner.commands[0].argv == ("scancel", "99999", "1", "1_7")
    bobs = ids("21")["bobs"]
    assert replay("21", slurm.cancel([bobs, "99999"])) == {bobs: "Access/permission denied"}
    element = f"{ids('21')['array']}_1"
    assert replay("21", slurm.cancel([element])) == {element: "Access/permission denied"}


def test_cancelling_without_an_answer():
    """Nobody was told to end the job, and that is said."""
    for case in ("70", "71"):
        error = failure(lambda case=case: replay(case, slurm.cancel([ids(case)["running"]])))
        assert isinstance(error, SchedulerUnreachable)


def test_cancelling_fails_in_words_of_its_own():
    """What cannot be told for one job is told for each."""
    answer = Result((), 1, "", "scancel: error: no such thing\n")
    assert converse(slurm.cancel(["1", "2"]), Recorder([answer])) == dict.fromkeys(
        ["1", "2"], "no such thing"
    )


def test_a_step_of_a_job():
    """A job is cancelled as a whole; a message about its step belongs to it."""
    words = "scancel: error: Kill job error on job step id 12.0: Access/permission denied\n"
    assert converse(slurm.cancel(["12"]), Recorder([Result((), 1, "", words)])) == {
        "12": "Access/permission denied"
    }


def test_estimates():
    """The start is told as the queue is now; a job that is refused has none."""
    script = Path("/home/alice/job.sh")
    assert replay("20", slurm.estimate(script, REQUEST)) is not None
    assert replay("40", slurm.estimate(script, REQUEST)) is None
    assert failure(lambda: replay("70", slurm.estimate(script, REQUEST))).retry


def test_when_a_job_ends():
    """A running job is told when its walltime is over; one that is gone has no end."""
    running = ids("20")["running"]
    ends = replay("20", slurm.ends(running))
    started = replay("20", slurm.status(list(ids("20").values())))[running].started
    assert (ends - started).total_seconds() == 300
    assert replay("20", slurm.ends("99999")) is None
    assert failure(lambda: replay("70", slurm.ends(ids("70")["running"]))).retry


def test_words_are_fit_to_print():
    """Control characters of a message never reach a terminal."""
    with pytest.raises(SubmitRefused) as caught:
        submit(Result((), 1, "", "sbatch: error: \x1b[31mno\x07\n"))
    assert caught.value.text == "slurm refused the job: [31mno"


def test_commands_of_a_site():
    """Commands of another place, with the site's environment, keep our way of asking."""
    placed = Slurm(SchedulerOptions(bin=Path("/opt/slurm/bin"), environment={"A": "b"}))
    command: Command = next(placed.cancel(["12"]))
    assert command.argv == ("/opt/slurm/bin/scancel", "12")
    assert command.environment["A"] == "b"
    assert command.environment["SLURM_TIME_FORMAT"] == "%s"
