"""The command `pangeo-hpc`: finds the noun's file, and turns every error into words and a code."""

import os
import signal
import sys
from importlib import import_module

import click

from pangeo_hpc._version import __version__
from pangeo_hpc.cli.output import Face, printable
from pangeo_hpc.errors import Exit, PangeoHpcError

# Where each command lives and its one line in --help, so that --help imports none of them.
COMMANDS = {
    "data": ("pangeo_hpc.cli.data:data", "Convert data to Zarr, and see what is in a store."),
    "demo": ("pangeo_hpc.cli.demo:demo", "Run the main job end to end on this site."),
    "doctor": ("pangeo_hpc.cli.doctor:doctor", "Check for real whether the site works."),
    "hub": ("pangeo_hpc.cli.hub:hub", "Run JupyterHub whose servers are jobs."),
    "lab": ("pangeo_hpc.cli.lab:lab", "Run JupyterLab as a batch job, without any hub."),
    "nodes": (
        "pangeo_hpc.cli.nodes:nodes",
        "Show node types, what is free, and when a job starts.",
    ),
    "run": ("pangeo_hpc.cli.submit:run", "Run a script inside a job that is already there."),
    "runs": ("pangeo_hpc.cli.runs:runs", "See, follow and cancel what was submitted."),
    "scratch": ("pangeo_hpc.cli.scratch:scratch", "Find your scratch directories."),
    "site": ("pangeo_hpc.cli.site:site", "Draft, check and show a site YAML."),
    "submit": ("pangeo_hpc.cli.submit:submit", "Submit a script as a batch job."),
}


class Nouns(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            guess = f"did you mean {near[0]}?" if near else "see: pangeo-hpc --help"
            message = f"no such command: {args[0]}\nhint: {guess}"
            raise click.UsageError(message, ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=Nouns,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--site", metavar="SITE", help="A site YAML, or the name of a shipped one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (every reading command).")
@click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong.")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.version_option(__version__, prog_name="pangeo-hpc")
@click.pass_context
def cli(context: click.Context, site: str | None, as_json: bool, quiet: bool, debug: bool) -> None:
    """Work with Jupyter, Dask, Xarray and Zarr on a Slurm or PBS cluster."""
    context.obj = Face(site=site, json=as_json, quiet=quiet, debug=debug)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code that tells what happened."""
    sys.exit(call(sys.argv[1:] if argv is None else argv))


def call(argv: list[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        with cli.make_context("pangeo-hpc", list(argv)) as context:
            code = cli.invoke(context)
            return code if isinstance(code, int) else Exit.DONE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _usage(error)
    except PangeoHpcError as error:
        return _told(error, argv)
    except BrokenPipeError:
        # whoever read our output has seen enough; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        from pangeo_hpc import files

        told = files.refused(None, error)
        if told is None:
            raise
        return _told(told, argv)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED


def _usage(error: click.ClickException) -> int:
    text = error.format_message()
    context = getattr(error, "ctx", None)
    click.echo(f"error: {printable(text)}", err=True)
    if context is not None and "hint:" not in text:
        click.echo(f"hint: see: {context.command_path} --help", err=True)
    return Exit.USAGE


def _told(error: PangeoHpcError, argv: list[str]) -> int:
    if "--debug" in argv:
        import traceback

        click.echo(printable("".join(traceback.format_exception(error))), err=True)
    click.echo(f"error: {printable(str(error))}", err=True)
    return error.exit_code
