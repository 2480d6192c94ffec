"""What JupyterLab's extension says: the catalogue's words, from the job's folder."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from pangeo_hpc.server import wording
from pangeo_hpc.server.pages import JUPYTER, TEXTS, TextsHandler
from pangeo_hpc.texts import english

SCRIPT = JUPYTER / "labextensions/@pangeo-hpc/time-left/static/remoteEntry.js"
GERMAN = {
    "form": {"language": "de"},
    "lab": {"left_minutes": "noch {minutes} min", "keep": "Weiterlaufen lassen"},
    "units": {"minute_many": "{number} Minuten"},
}


def translated(folder: Path, texts: object) -> Path:
    """Write a site's file of texts."""
    path = folder / "site-texts.json"
    path.write_text(json.dumps(texts))
    return path


def test_a_translation_goes_with_the_job(tmp_path):
    """What the site says otherwise reaches the server's folder, private; the rest is English."""
    wording.write(tmp_path, translated(tmp_path, GERMAN))
    assert (tmp_path / wording.FILE).stat().st_mode & 0o777 == 0o600
    found = wording.read(tmp_path)
    assert found["language"] == "de"
    assert found["lab"]["left_minutes"] == "noch {minutes} min"
    assert found["lab"]["over"] == "time is over"
    assert found["units"]["minute_many"] == "{number} Minuten"


@pytest.mark.parametrize("texts", [{"lab": {"ends": "ohne"}}, {"lab": {"none": "x"}}, 7])
def test_a_spoilt_translation_keeps_no_server_from_starting(tmp_path, texts):
    """The hub tells such a mistake when it starts; a job goes on in English."""
    wording.write(tmp_path, translated(tmp_path, texts))
    assert wording.read(tmp_path) == wording.told(english())
    wording.write(tmp_path, tmp_path / "is-not-there.json")
    assert wording.read(tmp_path) == wording.told(english())


@pytest.mark.parametrize("kept", [None, "", "7", "{}", '{"lab": {}, "units": {}}'])
def test_a_folder_without_whole_words_is_english(tmp_path, kept):
    """As of a server that was submitted before there were any."""
    if kept is not None:
        (tmp_path / wording.FILE).write_text(kept)
    assert wording.read(tmp_path) == wording.told(english())


def test_the_extension_has_no_words_of_its_own():
    """Every text it says is one of the catalogue, and it says every one."""
    script = SCRIPT.read_text()
    said = set(re.findall(r'\.say\("(\w+)"', script)) | {"left_hours", "left_minutes"}
    for key in re.findall(r'\.many\(\w+, "(\w+)"\)', script):
        said |= {f"{key}_one", f"{key}_many"}
    assert said == set(english().part("lab"))
    for word in ("left`", "server ends", "Nothing has run", "saved.", "Keep it"):
        assert word not in script


def test_the_server_hands_them_over(monkeypatch):
    """The extension asks once, and gets the texts as they were told."""
    monkeypatch.setattr(TextsHandler, "prepare", lambda self: None)
    monkeypatch.setattr(TextsHandler, "current_user", "alice", raising=False)
    monkeypatch.setattr(TextsHandler, "set_default_headers", lambda self: None)
    words = wording.told(english())

    async def ask():
        application = Application([(f"/{TEXTS}", TextsHandler, {"words": words})])
        (listening,) = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(application)
        server.add_sockets([listening])
        try:
            port = listening.getsockname()[1]
            answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/{TEXTS}")
            return json.loads(answer.body)
        finally:
            server.stop()

    assert asyncio.run(ask()) == words
