"""The documentation is true: commands exist, YAML loads, Python compiles, links lead somewhere."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pangeo_hpc.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "docker" / "README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]
BLOCK = re.compile(r"^```(\w+)?(?: (\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEXT = "\n".join(page.read_text() for page in PAGES)


def blocks(language: str) -> list[tuple[str, str, str]]:
    """Return page, mark and text of every block in a language."""
    return [
        (page.name, match[2] or "", match[3])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text())
        if match[1] == language
    ]


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command there is."""
    found: list[tuple[str, ...]] = []
    for noun in COMMANDS:
        command = cli.get_command(click.Context(cli), noun)
        if isinstance(command, click.Group):
            found += [(noun, verb) for verb in command.commands]
        else:
            found.append((noun,))
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_documented(words: tuple[str, ...]) -> None:
    """A command that no page names does not exist for a user."""
    assert f"pangeo-hpc {' '.join(words)}" in TEXT


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_and_option_has_help(words: tuple[str, ...]) -> None:
    """`--help` says what a command does, and what each option is for."""
    command: click.Command | None = cli.get_command(click.Context(cli), words[0])
    if len(words) > 1:
        assert isinstance(command, click.Group)
        command = command.commands[words[1]]
    assert command is not None
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_commands_in_the_docs_exist() -> None:
    """No page tells of a command that is not there."""
    known = {" ".join(words) for words in commands()} | set(COMMANDS)
    for match in re.finditer(r"^(?:\S+/)?pangeo-hpc ([a-z]+)(?: ([a-z]+))?", TEXT, re.MULTILINE):
        noun, verb = match[1], match[2]
        assert noun in COMMANDS, match[0]
        if verb and any(len(words) > 1 and words[0] == noun for words in commands()):
            assert f"{noun} {verb}" in known, match[0]


@pytest.mark.parametrize(("page", "mark", "text"), blocks("yaml"), ids=lambda v: str(v)[:20])
def test_yaml_loads(page: str, mark: str, text: str, tmp_path: Path) -> None:
    """A site is a valid site; the user's own defaults are valid over one."""
    from pangeo_hpc.site import load_site

    home = tmp_path / "home" / ".config" / "pangeo-hpc"
    home.mkdir(parents=True)
    site = tmp_path / "site.yaml"
    environ = {"HOME": str(tmp_path / "home"), "PATH": ""}
    if mark == "user":
        (home / "user.yaml").write_text(text)
        load_site("local", environ=environ)
        return
    assert mark == "site", f"{page}: say `site` or `user` after ```yaml"
    site.write_text(text)
    load_site(site, environ=environ)


@pytest.mark.parametrize(("page", "mark", "text"), blocks("python"), ids=lambda v: str(v)[:20])
def test_python_names_exist(page: str, mark: str, text: str) -> None:
    """A Python block compiles, and every public name it uses of ours is there."""
    import pangeo_hpc
    from pangeo_hpc import scratch, workflow

    ours = {"pangeo_hpc": pangeo_hpc, "workflow": workflow, "scratch": scratch}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in ours:
            assert hasattr(ours[node.value.id], node.attr), f"{page}: {ast.unparse(node)}"


def test_links_lead_somewhere() -> None:
    """Every relative link is a file."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_of_the_readme_exist() -> None:
    """The README's commands are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w[\w-]*)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_help_of_the_whole() -> None:
    """The first page a user sees lists every command."""
    done = subprocess.run(
        [sys.executable, "-m", "pangeo_hpc", "--help"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    for noun, (_, line) in COMMANDS.items():
        assert noun in done.stdout
        assert line.split()[0] in done.stdout
