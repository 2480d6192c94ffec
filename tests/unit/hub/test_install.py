"""What an installed hub consists of, and the steps that make it."""

import json
import os
import stat
from pathlib import Path

import pytest

from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub import proxy
from pangeo_hpc.hub.install import prefix, texts
from pangeo_hpc.hub.install.carry import install, uninstall
from pangeo_hpc.hub.install.record import Entry, Manifest
from pangeo_hpc.hub.install.steps import Account, Folder, Kind, Step, Text
from pangeo_hpc.hub.settings import Places, settings
from pangeo_hpc.run import Command, Recorder, Result
from pangeo_hpc.site import Site, load_site

SITE = """\
name: alpha
scheduler: slurm
node_types:
  one: {{cores: 1, memory: 1 GiB, walltime: "00:10:00"}}
hub:
  url: {url}
  connect_url: http://10.0.0.5:8081
  allowed_groups: [climate]
  {more}
"""


def site(tmp_path: Path, url: str, more: str = "") -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(url=url, more=more))
    return load_site(path, environ={"HOME": str(tmp_path)})


def test_the_rule_names_groups_and_words_only() -> None:
    """No ALL but that of hosts, every word after the program is fixed, odd names are escaped."""
    text = texts.sudoers("hub", ["climate", r"DOMAIN\ocean,1"], Path("/opt/p"), ["submit", "logs"])
    rule = text.replace("\\\n", "").splitlines()
    assert rule[-1] == r"hub ALL=(%climate, %DOMAIN\\ocean\,1) NOPASSWD: PANGEO_HPC_HUB"
    assert [line.split("= ")[1].split(",") for line in rule if line.startswith("Cmnd")] == [
        ["/opt/p submit", "     /opt/p logs"]
    ]
    assert text.count("ALL") == 1 and "*" not in text and "SETENV:" not in text


def test_systemd_reads_a_command_as_it_is_meant() -> None:
    """Blanks, quotes, percents and dollars of an argument are its own."""
    unit = texts.proxy_unit(
        account="hub", environment=Path("/e"), command=["/p", "a b", "100%", "$HOME", 'q"'],
        low_port=True, path="/bin",
    )  # fmt: skip
    assert 'ExecStart=/p "a b" 100%% $$HOME "q\\""\n' in unit
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit


@pytest.mark.parametrize(
    ("url", "more", "words", "low"),
    [
        ("http://hub.example:8000", "", ["--port", "8000"], False),
        ("https://hub.example", "", ["--ip", "127.0.0.1", "--port", "8000"], False),
        (
            "https://hub.example",
            "tls: {certificate: /c.pem, key: /k.pem}",
            ["--port", "443", "--ssl-cert", "/c.pem", "--ssl-key", "/k.pem"],
            True,
        ),
        ("http://hub.example:80", "subdomain_host: http://hub.example", ["--host-routing"], True),
        ("http://h.example:81/jupyter", "", ["http://10.0.0.5:8081/jupyter/hub/error"], True),
    ],
)
def test_the_separate_proxy_is_as_the_hub_expects(
    tmp_path: Path, url: str, more: str, words: list[str], low: bool
) -> None:
    """Its command line follows from the same settings, and holds no secret."""
    found = site(tmp_path, url, more)
    places = Places(site_file=Path("/s"), state=Path("/state"), own_proxy=False)
    argv = proxy.command(found, places, Path("/usr/bin/configurable-http-proxy"))
    for word in words:
        assert word in argv
    assert "--api-ip" in argv and "127.0.0.1" in argv
    assert not any("token" in word.lower() for word in argv)
    assert proxy.needs_low_port(found, places) is low
    chosen = settings(found, places)
    assert chosen["ConfigurableHTTPProxy"]["should_start"] is False
    assert chosen["JupyterHub"]["cleanup_proxy"] is False


@pytest.fixture
def steps(tmp_path: Path) -> tuple[Step, ...]:
    """Return two steps in a folder of their own."""
    folder = tmp_path / "made"
    return (Folder(folder), Text(folder / "file", "ours\n", mode=0o640))


def test_steps_are_safe_to_repeat_and_to_undo(tmp_path: Path, steps: tuple[Step, ...]) -> None:
    """What was made is made once, remembered, and taken back in reverse order."""
    manifest = tmp_path / "manifest.json"
    kinds = [change.kind for change in install(steps, path=manifest)]
    assert kinds == [Kind.MADE, Kind.MADE]
    assert stat.S_IMODE((tmp_path / "made" / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o600
    assert list(install(steps, path=manifest)) == []
    undone = [(change.kind, change.thing) for change in uninstall(path=manifest)]
    assert undone == [
        (Kind.REMOVED, str(tmp_path / "made" / "file")),
        (Kind.REMOVED, f"{tmp_path}/made/"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_changed_is_left(tmp_path: Path, steps: tuple[Step, ...]) -> None:
    """Neither a new text nor undoing touches it, and it stays remembered."""
    manifest = tmp_path / "manifest.json"
    list(install(steps, path=manifest))
    file = tmp_path / "made" / "file"
    file.write_text("theirs\n")
    again = (steps[0], Text(file, "newer\n", mode=0o640))
    assert [change.kind for change in install(again, path=manifest)] == [Kind.LEFT]
    assert [change.kind for change in uninstall(path=manifest)] == [Kind.LEFT, Kind.LEFT]
    assert file.read_text() == "theirs\n"
    assert len(Manifest.read(manifest).entries) == 2


def test_what_was_there_before_is_not_ours(tmp_path: Path) -> None:
    """A file and a folder of somebody else's are left, and never removed."""
    manifest = tmp_path / "manifest.json"
    file = tmp_path / "file"
    file.write_text("theirs\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    found = list(install((Folder(folder), Text(file, "ours\n")), path=manifest))
    assert [change.kind for change in found] == [Kind.LEFT]
    assert "was there before" in found[0].why
    assert list(uninstall(path=manifest)) == []
    assert folder.is_dir() and file.read_text() == "theirs\n"


def test_a_refused_text_is_not_written(tmp_path: Path) -> None:
    """What the check does not take is never in place, also not in a dry run."""

    def refuse(text: str) -> None:
        raise NotAllowed("no")

    step = Text(tmp_path / "rule", "broken", check=refuse)
    for dry in (True, False):
        with pytest.raises(NotAllowed):
            list(install((step,), dry=dry, path=tmp_path / "manifest.json"))
    assert list(tmp_path.iterdir()) == []


def test_an_installation_that_was_cut_short_can_be_undone(tmp_path: Path) -> None:
    """Each step is remembered as it is done."""

    def refuse(text: str) -> None:
        raise NotAllowed("no")

    manifest = tmp_path / "manifest.json"
    steps = (Text(tmp_path / "first", "x"), Text(tmp_path / "second", "y", check=refuse))
    with pytest.raises(NotAllowed):
        list(install(steps, path=manifest))
    assert [change.thing for change in uninstall(path=manifest)] == [str(tmp_path / "first")]


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    """Nothing is removed on a guess."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"entries": [{"kind": "file"}]}))
    with pytest.raises(NotAllowed, match="damaged"):
        Manifest.read(path)


def test_root_by_another_name_is_no_account(tmp_path: Path) -> None:
    """The hub never gets an account with root's number."""
    with pytest.raises(NotAllowed):
        Account("root", tmp_path).ensure(Manifest(), dry=True)


def test_an_account_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The words of useradd are the error, and nothing is remembered."""
    manifest = Manifest(tmp_path / "m")
    runner = Recorder([Result((), 1, "", "no space left")])
    with pytest.raises(NotAllowed, match="no space left"):
        Account("no-such-account", tmp_path, runner).ensure(manifest, dry=False)
    assert Entry("account", "no-such-account") not in manifest.entries.values()
    assert runner.commands[0].argv[0] == "useradd" and "--system" in runner.commands[0].argv


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as another user")
def test_a_python_that_users_cannot_run_is_refused(tmp_path: Path) -> None:
    """A venv made with a Python of root's home is root's to change and nobody's to use."""
    asked: list[Command] = []

    def runner(command: Command) -> Result:
        asked.append(command)
        if command.argv[0] == "runuser":
            return Result(command.argv, 1, "", "runuser: failed to execute: Permission denied")
        return Result(command.argv, 0, "")

    with pytest.raises(NotAllowed, match="users cannot run .*: .*Permission denied") as caught:
        prefix.check(tmp_path / "python", runner)
    assert "/usr/bin/python3 -m venv" in (caught.value.hint or "")
    assert asked[-1].argv[:3] == ("runuser", "-u", "nobody")
    assert asked[-1].argv[4:7] == (str(tmp_path / "python"), "-I", "-c")
