"""The program that acts as users, asked by a hub in hostile hands: every wrong order is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pangeo_hpc.errors import Exit, NotAllowed
from pangeo_hpc.hub import job
from pangeo_hpc.site import Person

SITE = """\
name: small
scheduler: local
node_types:
  one: {{cores: 1, memory: 1 GiB, walltime: "00:10:00"}}
user_state: {state}/{{user}}
hub:
  url: http://127.0.0.1:8000
  connect_url: http://hub.example:8081
  allowed_groups: [{groups}]
"""
NAME = "jupyter-abcdefgh"


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a site for which carol asks, whose file is safe."""
    monkeypatch.setattr("pangeo_hpc.hub.owned.check", lambda path: None)
    carol = Person("carol", 4242, 4242, "climate", tmp_path / "home")
    monkeypatch.setattr(job, "current_person", lambda environ: carol)
    monkeypatch.setattr(job.servers, "is_member", lambda person, groups: "climate" in groups)
    monkeypatch.setattr(os, "umask", lambda mask: None)
    monkeypatch.setattr(os, "chdir", lambda path: None)
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(state=tmp_path / "state", groups="climate"))
    return path


def order(site_file: Path, verb: str, given: Any) -> tuple[int, Any]:
    sent = given if isinstance(given, bytes) else json.dumps(given).encode()
    code, answer = job.carry_out([verb], sent, site_file)
    return code, answer


WELL = {"format": 1, "user": "carol"}
GARBAGE: list[Any] = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"not JSON",
    b"[" * 100_000,
    b'{"format": 1, "user": "carol"',
    b"1" * 10_000,
    b" " * (10 << 20),
    [],
    {},
    {"user": "carol"},
    {"format": 2, "user": "carol"},
    {"format": 1},
    {**WELL, "command": ["sh"]},
    {**WELL, "site": "/tmp/site.yaml"},
    {**WELL, "user": ""},
    {**WELL, "user": ["carol"]},
    {**WELL, "user": "carol\n"},
    {**WELL, "name": "jupyter-../../x"},
    {**WELL, "name": "jupyter-abcdefgh\n"},
    {**WELL, "name": "/etc/passwd"},
    {**WELL, "server": "a/b"},
    {**WELL, "server": "a\0b"},
    {**WELL, "choices": [1]},
    {**WELL, "choices": {"cores": 4}},
    {**WELL, "choices": {"cores": "\ud800"}},
    {**WELL, "choices": {str(n): "1" for n in range(51)}},
    {**WELL, "variables": {"LD_PRELOAD": "/tmp/x.so"}},
    {**WELL, "variables": {"PATH": "/tmp"}},
    {**WELL, "variables": {"JUPYTERHUB_x=1;y": "z"}},
    {**WELL, "variables": {"JUPYTERHUB_A": 1}},
    {**WELL, "jobs": "7"},
    {**WELL, "jobs": ["-u root"]},
    {**WELL, "jobs": ["7 8"]},
    {**WELL, "jobs": [7]},
    {**WELL, "jobs": ["7"] * 1001},
    {**WELL, "lines": -1},
    {**WELL, "lines": True},
    {**WELL, "lines": 10**9},
]


@pytest.mark.parametrize("given", GARBAGE, ids=lambda given: str(given)[:40])
@pytest.mark.parametrize("verb", ["submit", "find", "status", "cancel", "logs"])
def test_garbage_is_refused(site_file: Path, verb: str, given: Any) -> None:
    """An order that is not of the fixed keys with the right values is wrong use, and no more."""
    code, answer = order(site_file, verb, given)
    assert code == Exit.USAGE, answer
    assert answer["error"]["text"]
    assert not (site_file.parent / "state").exists()


@pytest.mark.parametrize("words", [[], ["submit", "x"], ["--help"], ["rm"], [""], ["submit "]])
def test_only_the_verbs_are_known(site_file: Path, words: list[str]) -> None:
    """Other words, or more of them, are refused before anything is read."""
    code, _ = job.carry_out(words, json.dumps(WELL).encode(), site_file)
    assert code == Exit.USAGE


@pytest.mark.parametrize(
    "choices",
    [
        {"cores": "2"},
        {"memory": "2 GiB"},
        {"walltime": "01:00:00"},
        {"node_type": "other"},
        {"node_type": "one\n#SBATCH --uid=0"},
        {"option.x": "--uid=0"},
        {"environment": "mine"},
        {"account": "a b"},
        {"setup": "rm -rf ~"},
        {"command": "sh"},
        {"working_directory": "/nowhere"},
        {"profile": "nope"},
    ],
    ids=str,
)
def test_the_limits_are_held_again(site_file: Path, choices: dict[str, str]) -> None:
    """What the hub let pass, the program refuses by the site's own limits."""
    given = {**WELL, "name": NAME, "choices": choices, "variables": {"JUPYTERHUB_A": "b"}}
    code, answer = order(site_file, "submit", given)
    assert code == Exit.USAGE, answer


def person(user: str, uid: int) -> Person:
    return Person(user, uid, uid, user, Path("/"))


@pytest.mark.parametrize(
    ("user", "uid"),
    [("root", 0), ("toor", 0), ("daemon", 1), ("pangeohub", 999), ("nobody", 65534)],
)
def test_system_accounts_are_not_served(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, user: str, uid: int
) -> None:
    """Whoever is asked for, root and system accounts get nothing, members of the group or not."""
    monkeypatch.setattr(job, "current_person", lambda environ: person(user, uid))
    code, answer = order(site_file, "logs", {**WELL, "user": user, "name": NAME})
    assert code == Exit.NOT_ALLOWED
    assert "system account" in answer["error"]["text"]


def test_an_order_for_somebody_else_is_refused(site_file: Path) -> None:
    """The program acts as the one it runs as, and only for them."""
    code, answer = order(site_file, "logs", {**WELL, "user": "dave", "name": NAME})
    assert code == Exit.NOT_ALLOWED
    assert "the order is for dave" in answer["error"]["text"]


@pytest.mark.parametrize("groups", ["ocean", ""])
def test_a_user_of_no_group_is_refused(site_file: Path, groups: str) -> None:
    """A user outside the groups gets nothing, and with no group nobody does."""
    site_file.write_text(SITE.format(state="/nowhere", groups=groups))
    code, answer = order(site_file, "logs", {**WELL, "name": NAME})
    assert code == Exit.NOT_ALLOWED
    assert "none of the hub's groups" in answer["error"]["text"]


def test_a_site_that_others_can_change_is_not_read(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site is refused before its limits count for anything."""

    def refuse(path: Path) -> None:
        raise NotAllowed(f"{path} can be changed by others than root")

    monkeypatch.setattr("pangeo_hpc.hub.owned.check", refuse)
    site_file.write_text("not: [a site")
    code, answer = order(site_file, "logs", {**WELL, "name": NAME})
    assert code == Exit.NOT_ALLOWED
    assert "can be changed by others" in answer["error"]["text"]


GOOD: dict[str, Any] = {
    "name": "x",
    "id": None,
    "state": "not taken",
    "submitted": "",
    "final": None,
    "request": {"scheduler": "local"},
}
RECORDS = [
    "",
    "[]",
    "{}",
    '{"name": "x"}',
    *(
        json.dumps({**GOOD, "id": "7", "state": state, "request": request})
        for state in ("taken", "submitting", 7)
        for request in ({}, None, [], "x", {"scheduler": "other"}, {"scheduler": []})
    ),
]


@pytest.mark.parametrize("verb", ["find", "status", "cancel", "logs"])
@pytest.mark.parametrize("record", RECORDS)
def test_a_damaged_record_is_an_answer(site_file: Path, verb: str, record: str) -> None:
    """What lies in the user's own folder may be anything; the program says so, and never falls."""
    folder = site_file.parent / "state" / "carol" / "hub" / NAME
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    (folder / "job.json").write_text(record)
    code, answer = order(site_file, verb, {**WELL, "name": NAME, "jobs": ["7"]})
    assert code in (Exit.DONE, Exit.NOT_ALLOWED, Exit.USAGE, Exit.SCHEDULER)
    assert code == Exit.DONE or answer["error"]["text"]


@pytest.mark.parametrize("verb", ["find", "status", "cancel", "logs"])
@pytest.mark.parametrize("name", ["job.json", "output.log", "exit"])
@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(site_file: Path, verb: str, name: str) -> None:
    """A pipe that a user put in the place of a file keeps neither the program nor the hub."""
    folder = site_file.parent / "state" / "carol" / "hub" / NAME
    folder.parent.mkdir(mode=0o700, parents=True)
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(GOOD))
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    code, _ = order(site_file, verb, {**WELL, "name": NAME, "jobs": []})
    assert code in (Exit.DONE, Exit.USAGE)
