"""Placeholders, and the person they stand for."""

import os
import pwd
from pathlib import Path

import pytest

from pangeo_hpc.errors import UsageError
from pangeo_hpc.site import Person, current_person, expand, placeholders
from pangeo_hpc.site.people import expand_path

ALICE = Person("alice", 1000, 1000, "climate", Path("/home/alice"))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("/scratch/{user}", "/scratch/alice"),
        ("/pscratch/{user[0]}/{user}", "/pscratch/a/alice"),
        ("/work/{group}/{user}", "/work/climate/alice"),
        ("~/x", "/home/alice/x"),
        ("~", "/home/alice"),
        ("${TMPDIR}/{user}", "${TMPDIR}/alice"),
        ("/plain", "/plain"),
    ],
)
def test_placeholders_are_filled(template, text):
    """Shell variables are left to the shell."""
    assert expand(template, "key", ALICE) == text


def test_values_of_one_template_come_with_it():
    """They are taken as they are: an option's value was matched before."""
    assert expand("--x={value}", "key", ALICE, value="a/b,c") == "--x=a/b,c"
    assert placeholders("{a}${b}{c[0]}") == ("a", "c[0]")


def test_what_has_no_value_is_an_error_that_names_the_key():
    """Project falls back to account; neither is an error with the next step."""
    with pytest.raises(
        UsageError, match=r"scratch.path: \{project\} has no value for alice"
    ) as caught:
        expand("/p/{project}", "scratch.path", ALICE)
    assert "PANGEO_HPC_PROJECT" in caught.value.hint
    with pytest.raises(UsageError, match=r"\{login\} is not a placeholder"):
        expand("/p/{login}", "key", ALICE)
    assert expand("/p/{project}", "key", ALICE.with_defaults("acc", None)) == "/p/acc"


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("$SCRATCH", "/scratch1/07/alice"),
        ("$SCRATCH/{user}/x", "/scratch1/07/alice/alice/x"),
        ("~/x", "/home/alice/x"),
        ("/s/$SCRATCH", "/s/$SCRATCH"),
    ],
)
def test_a_path_may_begin_with_a_variable_of_the_session(template, path):
    """Some centres tell users where their scratch is by a variable alone."""
    environ = {"SCRATCH": "/scratch1/07/alice"}
    assert expand_path(template, "key", ALICE, environ) == Path(path)


@pytest.mark.parametrize("environ", [{}, {"SCRATCH": ""}, {"SCRATCH": "here"}])
def test_a_variable_without_a_path_is_an_error_that_names_the_key(environ):
    """Nothing is made in the working directory by mistake."""
    with pytest.raises(UsageError, match=r"scratch.s.path: \$SCRATCH is not set"):
        expand_path("$SCRATCH", "scratch.s.path", ALICE, environ)


@pytest.mark.parametrize(
    "value", ["../../etc", "a b", "a\n#SBATCH --uid=0", "/etc", "-x", "a/../b", "a$(id)"]
)
def test_values_cannot_leave_their_place(value):
    """A project is chosen by a user and stands in paths and job headers."""
    with pytest.raises(UsageError, match="cannot stand for"):
        expand("/scratch/{project}", "key", ALICE.with_defaults(None, value))


def test_the_current_person_is_told_by_the_kernel(tmp_path):
    """USER is only a variable; HOME counts, as it does for every other program."""
    person = current_person({"USER": "mallory", "HOME": str(tmp_path)})
    assert person.uid == os.getuid()
    assert person.user == pwd.getpwuid(os.getuid()).pw_name
    assert person.home == tmp_path
    assert current_person({}).home == Path(pwd.getpwuid(os.getuid()).pw_dir)
