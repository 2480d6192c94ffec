"""The words of the pages, and a site's own."""

import json

import pytest

from pangeo_hpc.errors import SiteError
from pangeo_hpc.hub import texts


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
    form = {"strat": "x", "start": "{0.__class__}", "cores": "{", "memory": 7, "gpus": "{a}"}
    path.write_text(json.dumps({"form": form}))
    with pytest.raises(SiteError) as caught:
        texts.load(path)
    assert [each.path.split()[-1] for each in caught.value.problems] == [
        "form.strat", "form.start", "form.cores", "form.memory", "form.gpus",
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
