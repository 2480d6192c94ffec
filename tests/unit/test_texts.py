"""The words of the pages, and a site's own."""

import json
from datetime import timedelta

import pytest

from pangeo_hpc import texts
from pangeo_hpc.errors import SiteError
from pangeo_hpc.schedulers.base import JobState
from pangeo_hpc.units import format_duration


def test_a_site_says_it_in_its_language(tmp_path):
    """What its file says is taken, and the rest stays English."""
    path = tmp_path / "de.json"
    path.write_text(json.dumps({"form": {"start": "Starten", "starts_in": "In {time}."}}))
    say = texts.load(path)
    assert say("form.start") == "Starten"
    assert say("form.starts_in", time="2 h") == "In 2 h."
    assert say("form.cores") == "Cores"


def test_every_mistake_of_a_translation_is_told(tmp_path):
    """Unknown texts, unknown placeholders, broken braces and numbers, all at once."""
    path = tmp_path / "de.json"
    form = {
        "language": "Deutsch",
        "strat": "x",
        "start": "{0.__class__}",
        "cores": "{",
        "memory": 7,
        "gpus": "{a}",
    }
    path.write_text(json.dumps({"form": form}))
    with pytest.raises(SiteError) as caught:
        texts.load(path)
    assert [each.path.split()[-1] for each in caught.value.problems] == [
        "form.language", "form.strat", "form.start", "form.cores", "form.memory", "form.gpus",
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, "{", "7"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, content):
    """It is an error of the site, not a traceback."""
    path = tmp_path / "de.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SiteError):
        texts.load(path)


def test_a_value_is_no_placeholder():
    """What a user typed is said as it is, braces and all."""
    assert "{time}" in texts.load()("form.starts_in", time="{time}")


def test_a_missing_placeholder_is_told_with_its_key(tmp_path):
    """Without it the sentence would lack what it is about."""
    path = tmp_path / "de.json"
    path.write_text(json.dumps({"waiting": {"pending": "Auftrag {job} wartet."}}))
    with pytest.raises(SiteError, match=r"hub\.texts: waiting\.pending: lacks \{queue\}"):
        texts.load(path)


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 61, 3600, 5400, 86400, 93784.4, 1e6])
def test_durations_are_those_of_the_command_line(seconds):
    """In English a page says a time as every table does."""
    time = timedelta(seconds=seconds)
    assert texts.english().duration(time) == format_duration(time)


def test_a_phrase_is_said_later_with_phrases_in_it(tmp_path):
    """Whoever knows what is to be said needs no language."""
    path = tmp_path / "de.json"
    german = {"things": {"cores": "Kerne"}, "pbs": {"not_free": "Noch nicht frei: {thing}."}}
    path.write_text(json.dumps({"reasons": german}))
    cores = texts.phrase("reasons.things.cores")
    said = texts.phrase("reasons.pbs.not_free", thing=cores)
    assert texts.load(path).say(said) == "Noch nicht frei: Kerne."
    assert texts.english().say(said) == "What the job asks for is not free yet: cores."


def test_every_state_of_a_job_has_a_word():
    """In English it is the one of the command line."""
    said = texts.english().part("states")
    assert {each.name.lower(): str(each) for each in JobState} == said
