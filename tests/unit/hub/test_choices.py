"""One reader for form, link, REST options and stored choices, and one limit for all."""

import pytest

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.hub import choices
from pangeo_hpc.hub.choices import Choices, decide, of_form, planned, profile, read
from pangeo_hpc.site import load_site
from tests.unit.hub.conftest import ALICE, write_site


def refused(given):
    with pytest.raises(RequestRefused) as caught:
        read(given)
    return {problem.path: problem for problem in caught.value.problems}


def test_a_form_and_rest_options_mean_the_same():
    """Lists of one text and plain values, flat options and a mapping: the same choices."""
    form = {
        "node_type": ["shared"],
        "cores": ["4"],
        "walltime": [""],
        "option.reservation": ["maint"],
        "_xsrf": ["secret"],
    }
    rest = {"node_type": "shared", "cores": 4, "options": {"reservation": "maint"}}
    assert (
        read(form)
        == read(rest)
        == Choices(node_type="shared", cores="4", options={"reservation": "maint"})
    )


def test_what_was_chosen_is_kept_and_read_again():
    """The stored form leaves out what was not chosen, and gives equal choices."""
    chosen = Choices(profile="batch", memory="8 GiB", options={"reservation": "maint"})
    assert chosen.plain() == {
        "profile": "batch", "memory": "8 GiB", "option.reservation": "maint",
    }  # fmt: skip
    assert read(chosen.plain()) == chosen


def test_every_problem_is_told_at_once():
    """Unknown names with a guess, repeated ones, what is no text, and hidden line breaks."""
    found = refused(
        {
            "node_typ": "shared",
            "cores": ["1", "2"],
            "memory": True,
            "account": "a\n#SBATCH --uid=0",
            "working_directory": "../bob",
        }
    )
    assert found["node_typ"].hint == "did you mean node_type?"
    assert {"cores", "memory", "account", "working_directory"} < set(found)


@pytest.mark.parametrize(
    "given", [{"cmd": "x"}, {"prologue": "x"}, {"req_queue": "x"}, {"option.": "x"}]
)
def test_nothing_else_is_a_choice(given):
    """The names by which other spawners take commands are refused like any other."""
    assert set(refused(given)) == set(given)


def test_too_many_choices():
    """A request of thousands of options is refused without looking at each."""
    found = refused({"options": {f"o{number}": "x" for number in range(5000)}})
    assert list(found) == [""]


@pytest.mark.parametrize("text", ["~bob/x", "/home/alice/../bob", "../x"])
def test_a_directory_cannot_climb(text):
    """Another user's home and parent folders are refused; one's own home is fine."""
    assert "working_directory" in refused({"working_directory": text})
    assert read({"working_directory": "~/work"}).working_directory == "~/work"


def test_limits_hold_on_every_way(site):
    """Limits, node type, environment and option values are checked together."""
    asked = read({"cores": "64", "memory": "1 TiB", "environment": "pange"})
    with pytest.raises(RequestRefused) as caught:
        decide(site, asked, ALICE)
    told = {problem.path: problem for problem in caught.value.problems}
    assert set(told) == {"cores", "memory", "environment"}
    assert told["environment"].hint == "did you mean pangeo?"
    for given in ({"node_type": "batch"}, {"node_type": "sharde"}, {"option.reservation": "A1"}):
        with pytest.raises(RequestRefused):
            decide(site, read(given), ALICE)
    request = decide(site, read({"profile": "batch", "cores": "8", "memory": "16 GiB"}), ALICE)
    assert (request.cores, request.memory, request.queue) == (8, 16 * 2**30, "shared")


def test_a_login_server_has_what_the_site_gives_it(site):
    """It is a request to the local queue with the site's limits, twelve hours, and no account."""
    request = decide(site, read({"profile": "login", "environment": "pangeo"}), ALICE)
    assert (request.scheduler, request.cores, request.memory) == ("local", 1, 2 * 2**30)
    assert request.walltime.total_seconds() == 12 * 3600
    assert (request.queue, request.account, request.setup) == (None, None, ())


@pytest.mark.parametrize(
    "more", [{"memory": "2 GiB"}, {"node_type": "shared"}, {"option.reservation": "x"}]
)
def test_a_login_server_takes_no_limits_of_a_job(site, more):
    """Whoever names them is refused, and a form that sends all its fields is not."""
    with pytest.raises(RequestRefused) as caught:
        decide(site, read({"profile": "login", **more}), ALICE)
    assert [problem.path for problem in caught.value.problems] == list(more)
    form = {"profile": ["login"], "environment": ["pangeo"], **{k: [v] for k, v in more.items()}}
    assert read(of_form(form)) == Choices(profile="login", environment="pangeo")
    job = {**form, "profile": ["batch"]}
    assert of_form(job) == job


def test_an_unknown_profile_is_refused(site):
    """There is no profile but the site's."""
    for name in ("nope", "local", "LOGIN"):
        with pytest.raises(RequestRefused) as caught:
            decide(site, read({"profile": name}), ALICE)
        assert [problem.path for problem in caught.value.problems] == ["profile"]


def test_a_profile_that_the_site_does_not_offer(tmp_path):
    """A login server is refused where the site has none."""
    only_jobs = load_site(write_site(tmp_path, "[batch]"))
    with pytest.raises(RequestRefused):
        decide(only_jobs, read({"profile": "login"}), ALICE)
    assert profile(only_jobs, Choices()) == "batch"


def test_without_a_profile(site):
    """It is the site's first, but whoever says anything of a job means a job."""
    assert profile(site, Choices()) == "login"
    assert profile(site, Choices(environment="pangeo")) == "login"
    assert profile(site, Choices(cores="2")) == "batch"
    assert profile(site, Choices(options={"reservation": "x"})) == "batch"


def test_users_never_see_the_local_queue_of_the_hub(site):
    """The node type and the scheduler of login servers are not in the site itself."""
    where, ask = planned(site, Choices(profile="login"))
    assert where.node_type(ask.node_type).name == "login"
    assert "login" not in site.node_types
    assert "local" not in site.schedulers


def test_the_sites_own_local_queue_is_taken(tmp_path):
    """A scheduler of type local under any name serves, with its environment."""
    text = "schedulers:\n  slurm: {type: slurm}\n  here: {type: local}\n"
    own = load_site(write_site(tmp_path, extra=text))
    assert decide(own, read({"profile": "login"}), ALICE).scheduler == "here"
    odd = load_site(write_site(tmp_path, extra="schedulers:\n  local: {type: pbs}\n"))
    assert decide(odd, read({"profile": "login"}), ALICE).scheduler == "local-login"
    assert choices.planned(odd, Choices(profile="batch"))[0] is odd
