"""Where a user's servers are kept, for how long, and who is served."""

import grp
import os
import pwd

from pangeo_hpc.hub import servers
from tests.unit.hub.conftest import ALICE

DAY = 86400.0


def folder(place, name, *, days, **files):
    made = place / name
    made.mkdir()
    for each, text in files.items():
        (made / each.replace("_", ".")).write_text(text)
    os.utime(made, (1e9 - days * DAY, 1e9 - days * DAY))
    return made


def test_what_is_swept(tmp_path):
    """Ended servers after 30 days, any after 90; a waiting one, links and other files stay."""
    ended = folder(tmp_path, "jupyter-aaaaaaaa", days=31, job_json="{}", exit="0")
    young = folder(tmp_path, "jupyter-bbbbbbbb", days=29, job_json="{}", exit="0")
    waits = folder(tmp_path, "jupyter-cccccccc", days=60, job_json="{}")
    old = folder(tmp_path, "jupyter-dddddddd", days=91, job_json="{}")
    never = folder(tmp_path, "jupyter-eeeeeeee", days=31)
    other = folder(tmp_path, "notes", days=400)
    elsewhere = folder(tmp_path, "elsewhere", days=400)
    (tmp_path / "jupyter-ffffffff").symlink_to(elsewhere)
    assert servers.sweep(tmp_path, 1e9) == [ended, old, never]
    assert all(each.exists() for each in (young, waits, other, elsewhere))


def test_a_few_at_a_time(tmp_path):
    """A start of a server never waits for a thousand folders to go."""
    for number in range(30):
        folder(tmp_path, f"jupyter-{number:08}", days=100)
    assert len(servers.sweep(tmp_path, 1e9)) == 20
    assert len(servers.sweep(tmp_path, 1e9)) == 10


def test_the_end_of_a_log(tmp_path):
    """The last lines, of a bounded part of the file; nothing where there is none."""
    log = tmp_path / "output.log"
    log.write_bytes(b"x" * 10**6 + b"\nlast but one\nlast \xff\n")
    assert servers.tail(log, 2) == ["last but one", "last \ufffd"]
    assert servers.tail(log, 0) == []
    assert servers.tail(tmp_path / "none", 5) == []
    assert sum(map(len, servers.tail(log, 100))) <= 65536


def test_who_is_served(site, monkeypatch):
    """Members by the system's lists and by their own group; unknown groups have none."""
    monkeypatch.setattr(os, "getgrouplist", lambda user, gid: [gid, 7])
    group = grp.struct_group(("climate", "x", 7, ["carol"]))

    def getgrnam(name):
        if name != "climate":
            raise KeyError(name)
        return group

    monkeypatch.setattr(grp, "getgrnam", getgrnam)
    own = pwd.struct_passwd(("dave", "x", 1004, 7, "", "/home/dave", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [own])
    assert servers.is_member(ALICE, ["nothing", "climate"])
    assert not servers.is_member(ALICE, ["nothing"])
    assert not servers.is_member(ALICE, [])
    assert servers.members(["climate", "nothing"]) == ("carol", "dave")
