"""How a failure is kept, shown and told."""

import json
import re
from pathlib import Path

import pytest

from pangeo_hpc import texts
from pangeo_hpc.hub.failure import Failure, ServerFailed

ENGLISH = texts.load()
FAILURE = Failure(
    kind="out-of-memory",
    sentence="The job needed more memory.",
    advice="Ask for more.",
    when=1.0,
    state="out of memory",
    exit_code=137,
    words="<i>OUT_OF_MEMORY</i>",
    job="7",
    asked={"node_type": "compute", "cores": "2", "option.begin": "now+9"},
    changes={"memory": "6 GiB"},
    lines=("<script>alert(1)</script>", "token=s3cr3t 100%"),
)


def test_the_page_escapes_what_others_wrote() -> None:
    """Neither a log nor a scheduler's words can put anything into the page."""
    html = FAILURE.html(ENGLISH, "/hub/spawn/alice?a=1&b=2")
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<i>" not in html
    assert 'href="/hub/spawn/alice?a=1&amp;b=2"' in html
    assert "Try again with 6 GiB of memory" in html
    assert "137" in html


def test_the_retry_has_what_was_asked_and_the_fix() -> None:
    """Every choice that was made is asked for again, with the changed ones."""
    assert FAILURE.retry == {
        "node_type": "compute",
        "cores": "2",
        "option.begin": "now+9",
        "memory": "6 GiB",
    }


def test_another_node_type_decides_for_itself() -> None:
    """What only the old node type knows is left out of the next try."""
    changed = Failure(
        kind="out-of-memory",
        sentence="",
        advice="",
        when=1.0,
        asked={"node_type": "compute", "cores": "2", "option.begin": "now+9", "account": "c"},
        changes={"node_type": "big", "memory": "24 GiB"},
    )
    assert changed.retry == {"node_type": "big", "memory": "24 GiB", "account": "c"}


def test_the_log_stays_with_its_user() -> None:
    """The database and the hub's log get the diagnosis; only the page and the API the lines."""
    error = ServerFailed(FAILURE, ENGLISH, "/hub/spawn/alice")
    assert "s3cr3t" not in str(FAILURE.plain())
    assert "s3cr3t" not in str(error)
    assert "s3cr3t" not in error.get_message()
    assert "out-of-memory" in str(error)
    assert "s3cr3t" in error.jupyterhub_message
    assert "s3cr3t" in error.jupyterhub_html_message
    assert error.reason == "out-of-memory"


def test_it_is_kept_without_the_lines() -> None:
    """What was kept is taken up again; anything else is no failure."""
    again = Failure.revive(FAILURE.plain())
    assert again is not None
    assert again.retry == FAILURE.retry
    assert again.lines == ()
    assert Failure.revive({}) is None


@pytest.mark.parametrize("name", ["kinds.walltime.sentence", "retry_with", "log"])
def test_texts_are_those_of_the_catalogue(name: str) -> None:
    """A text that is missing there fails here, not on a user's page."""
    assert ENGLISH.part("failure")[name]


def test_a_translation_reaches_the_page(tmp_path: Path) -> None:
    """All that is ours on it is of the catalogue, the job's state too."""
    shouted = {name: text.upper() for name, text in ENGLISH.part("failure").items()}
    states = {name: text.upper() for name, text in ENGLISH.part("states").items()}
    keep = {"failure.retry_with": "NOCH EINMAL MIT {changes}", "failure.memory": "{value} RAM"}
    flat = {f"failure.{name}": text for name, text in shouted.items() if "{" not in text}
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({**flat, **keep, **{f"states.{n}": t for n, t in states.items()}}))
    html = FAILURE.html(texts.load(path), "/hub")
    assert "NOCH EINMAL MIT 6 GiB RAM" in html
    assert ">OUT OF MEMORY</dd>" in html
    left = re.sub(r"<[^>]*>", " ", html)
    for ours in ("Job", "State", "Exit code", "scheduler", "log", "Try again"):
        assert ours not in left


def test_a_server_that_was_up_did_not_fail_to_start() -> None:
    """What stands above its end says so, also after it was kept."""
    ended = Failure.revive({**FAILURE.plain(), "up": True})
    assert ended is not None
    assert ENGLISH(ended.title) == "Your server ended"
    assert ended.earlier("", ENGLISH) == "This server ended"
    assert ended.earlier("big", ENGLISH) == 'The server "big" ended'
    assert ENGLISH(FAILURE.title) == "Your server did not start"
    assert FAILURE.earlier("", ENGLISH) == "The last start of this server failed"
