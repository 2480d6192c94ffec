"""The noun `site`: draft a site YAML, check it, and show what it comes to."""

import os
from pathlib import Path
from typing import Any

import click

from pangeo_hpc.cli.output import face, json_option


@click.group(short_help="Draft, check and show a site YAML.")
def site() -> None:
    """Draft, check and show the YAML that describes a site."""


@site.command(short_help="Ask this machine and draft a site.")
@click.option("-o", "--output", metavar="FILE", help="Write the draft to a new file.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@json_option
@click.pass_context
def init(context: click.Context, output: str | None, force: bool) -> None:
    """Ask this machine's scheduler and write a commented draft that validates.

    Nothing is asked of you, and nothing on the cluster is changed. Read the draft, above all what
    it says to check, before others use it.
    """
    from pangeo_hpc import files
    from pangeo_hpc.detect import draft_site, survey_machine
    from pangeo_hpc.errors import UsageError

    target = Path(output) if output else None
    if target and target.exists() and not force:
        hint = "choose another name, or replace it with --force"
        raise UsageError(f"{target} is there already", hint=hint)
    text = draft_site(survey_machine(os.environ))
    talk = face(context)
    if target is None:
        if talk.json:
            talk.data({"draft": text})
        else:
            talk.out(text.rstrip("\n"))
        return
    files.make_directory(target.absolute().parent)
    files.write_atomic(target.absolute(), text)
    talk.say(f"wrote {target}; read it, then: pangeo-hpc site validate {target}")


@site.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@json_option
@click.pass_context
def validate(context: click.Context, files: tuple[str, ...]) -> None:
    """Tell every problem of site YAMLs, with file and line.

    Without FILE it is the site that all commands use.
    """
    from pangeo_hpc.errors import Exit, PangeoHpcError, Problem, SiteError
    from pangeo_hpc.site import load

    talk = face(context)
    problems: list[Problem] = []
    results: list[dict[str, Any]] = []
    for name in files or (None,):
        where = talk.site if name is None else Path(name)
        try:
            found = load(where, own_defaults=not files)
        except SiteError as error:
            problems += error.problems
            shown = next((each.file for each in error.problems if each.file), str(where or ""))
            results.append(
                {
                    "file": shown,
                    "valid": False,
                    "problems": [_plain(problem) for problem in error.problems],
                }
            )
        except PangeoHpcError as error:
            if error.exit_code != Exit.SITE or not files:
                raise
            problem = Problem("", error.text, error.hint)
            problems.append(problem)
            results.append({"file": name, "valid": False, "problems": [_plain(problem)]})
        else:
            number = len(found.site.node_types)
            names = list(found.site.node_types)
            results.append({"file": found.source.shown, "valid": True, "node_types": names})
            if not talk.json:
                plural = "" if number == 1 else "s"
                talk.out(f"{found.source.shown}: valid, {number} node type{plural}")
    if talk.json:
        talk.data({"files": results})
    if problems:
        raise SiteError(problems)


def _plain(problem: Any) -> dict[str, Any]:
    keys = ("path", "text", "hint", "file", "line")
    return {key: getattr(problem, key) for key in keys}


@site.command(short_help="Show the effective site, and where it came from.")
@click.option("--origin", is_flag=True, help="Show each value with where it came from.")
@json_option
@click.pass_context
def show(context: click.Context, origin: bool) -> None:
    """Show the effective site: every value, the built-in defaults among them."""
    from pangeo_hpc.site import load
    from pangeo_hpc.site.show import as_yaml, effective, origins, short

    talk = face(context)
    loaded = load(talk.site)
    if origin and talk.json:
        rows = [
            {"key": key, "value": value, "from": said.place, "level": said.level.name.lower()}
            for key, value, said in origins(loaded)
        ]
        talk.data({"site": loaded.source.shown, "values": rows})
    elif origin:
        table = [(key, short(value), said.place) for key, value, said in origins(loaded)]
        talk.table(("key", "value", "from"), table)
    elif talk.json:
        talk.data(effective(loaded))
    else:
        talk.out(f"# {loaded.source.shown}: {loaded.source.why}")
        talk.out(as_yaml(effective(loaded)).rstrip("\n"))


@site.command()
@click.pass_context
def schema(context: click.Context) -> None:
    """Print the JSON Schema of a site YAML, for editors."""
    import json

    from pangeo_hpc.site.schema import json_schema

    face(context).out(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@site.command()
@json_option
@click.pass_context
def sample(context: click.Context) -> None:
    """Print a commented YAML with every setting."""
    from pangeo_hpc.site.sample import sample as text

    talk = face(context)
    if talk.json:
        talk.data({"sample": text()})
    else:
        talk.out(text().rstrip("\n"))
