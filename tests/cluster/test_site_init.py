"""A draft of the real cluster is valid as it is, and jobs run with it."""

from pathlib import Path

import pytest

from tests.cluster.sites import CommandLine

pytestmark = pytest.mark.usefixtures("anew")

HELLO = "print('hello from the draft')\n"


def test_the_draft_of_the_cluster_is_valid_and_works(cli: CommandLine) -> None:
    """Partitions with their limits, the one that is down as a comment, and a job that runs."""
    draft = cli.here / "drafted" / "site.yaml"
    draft.parent.mkdir(mode=0o777)
    draft.parent.chmod(0o777)
    cli("site", "init", "-o", str(draft))
    text = draft.read_text()
    assert "# broken cannot be used now: all of its nodes are down" in text
    assert "#   climate (default)" in text
    said = cli("site", "validate", str(draft)).stdout
    assert said == f"{draft}: valid, 4 node types\n"
    shown = _with(cli, draft).json("site", "show")
    assert list(shown["node_types"]) == ["compute", "short", "small", "gpu"]
    assert shown["node_types"]["compute"]["max_walltime"] == "01:00:00"
    assert shown["node_types"]["small"]["max_cores"] == 2
    assert shown["node_types"]["gpu"]["max_gpus"] == 2
    # runs of one cluster must not be found by the next, which has the same homes
    draft.write_text(text.replace("~/.local/state", f"{cli.here.parent}/{{user}}/drafted"))
    script = cli.script("hello.py", HELLO)
    ours = _with(cli, draft)
    ours("submit", str(script), "--name", "drafted", "--cores", "1", "--memory", "500M", "--wait")
    assert HELLO.split("'")[1] in ours("runs", "logs", "drafted").stdout
    cli("site", "init", "-o", str(draft), code=2)
    cli("site", "init", "-o", str(draft), "--force")


def test_without_a_site_nothing_is_taken_for_a_laptop(cli: CommandLine) -> None:
    """On a login node the built-in site must be asked for by its name."""
    refused = cli("site", "show", code=3, PANGEO_HPC_SITE="")
    assert "pangeo-hpc site init" in refused.stderr
    cli("--site", "local", "site", "show", PANGEO_HPC_SITE="")


def _with(cli: CommandLine, site: Path) -> CommandLine:
    return CommandLine(cli.user, site)
