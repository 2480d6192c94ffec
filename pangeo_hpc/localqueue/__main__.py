"""The program: `python -m pangeo_hpc.localqueue submit|status|cancel|nodes|estimate`."""

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pangeo_hpc._version import __version__
from pangeo_hpc.errors import Exit, PangeoHpcError, SchedulerError
from pangeo_hpc.localqueue import answers, submission
from pangeo_hpc.localqueue.daemon import Daemon
from pangeo_hpc.localqueue.header import Parser, add_options, wish_of
from pangeo_hpc.localqueue.launch import capacity_of, ensure_daemon, refuse_elsewhere
from pangeo_hpc.localqueue.pulse import wake
from pangeo_hpc.localqueue.records import Element
from pangeo_hpc.localqueue.settings import Settings
from pangeo_hpc.localqueue.settle import settle
from pangeo_hpc.localqueue.store import Store, default_root
from pangeo_hpc.localqueue.supervisor import supervise
from pangeo_hpc.machine import Machine
from pangeo_hpc.schedulers.base import JobState

# What a caller may simply try again ends with this, so that it is never taken for a refusal.
TRY_AGAIN = 75


class Desk:
    """One call of the program on one queue."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.settings = Settings.of(os.environ)
        self.store = Store(options.state or default_root(Path.home()))
        self.now = time.time()

    def submit(self) -> str:
        """Take a job, and return its id once it cannot be lost any more."""
        path = Path(self.options.script)
        content = submission.read_script(path)
        self._check_place()
        job = submission.decide(content, path, wish_of(self.options), self._capacity(), os.environ)
        with self.store.locked():
            taken = submission.take(self.store, job, content)
            self._settled()
        wake(self.store)
        return str(taken.number)

    def status(self) -> dict[str, Any]:
        """Tell about jobs."""
        active = self._current()
        return answers.jobs(
            self.store,
            active,
            self._capacity(),
            ids=self.options.ids,
            name=self.options.name,
            now=self.now,
        )

    def cancel(self) -> dict[str, Any]:
        """End jobs, waiting or running; return at once."""
        self._check_place()
        with self.store.locked():
            self._settled()
            chosen = {e.id: e for wanted in self.options.ids for e in self.store.look(wanted)}
            for element in chosen.values():
                if element.standing.state is JobState.PENDING:
                    words = "cancelled before it started"
                    ended = element.standing.end(JobState.CANCELLED, words, now=self.now)
                    self.store.write(element, ended)
                elif not element.standing.state.ended:
                    self.store.request_cancel(element)
            self._settled()
        wake(self.store)
        return {"format": answers.FORMAT, "cancelled": sorted(chosen)}

    def nodes(self) -> dict[str, Any]:
        """Tell about the machine."""
        return answers.nodes(self._current(), self._capacity())

    def estimate(self) -> dict[str, Any]:
        """Tell when such a job would start."""
        path = Path(self.options.script)
        content = submission.read_script(path)
        active = self._current()
        capacity = self._capacity()
        job = submission.decide(content, path, wish_of(self.options), capacity, os.environ)
        return answers.estimate(self.store, active, capacity, Element(job), now=self.now)

    def serve(self) -> None:
        """Be the daemon."""
        self._check_place()
        Daemon(self.store, self.settings, os.environ).serve()

    def supervise(self) -> None:
        """Run one job."""
        supervise(self.store, self.options.ids[0], self.settings, os.environ)

    def _current(self) -> list[Element]:
        self._check_place()
        with self.store.locked():
            return self._settled()

    def _settled(self) -> list[Element]:
        """Bring the records up to date, and see to it that somebody works on them."""
        active = settle(self.store, now=self.now)
        if active:
            ensure_daemon(self.store, self.settings, os.environ)
        return active

    def _capacity(self) -> Machine:
        return capacity_of(self.store, self.settings)

    def _check_place(self) -> None:
        refuse_elsewhere(self.store, now=self.now)


def parser() -> Parser:
    """Return the parser of the command line."""
    main_parser = Parser(prog="python -m pangeo_hpc.localqueue", allow_abbrev=False)
    main_parser.add_argument("--version", action="version", version=f"pangeo-hpc {__version__}")
    verbs = main_parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    about = {
        "submit": "take a job script into the queue; prints its id",
        "status": "tell about jobs, by id, by name, or all",
        "cancel": "end jobs",
        "nodes": "tell about this machine",
        "estimate": "tell when a job would start, without submitting it",
        "serve": "be the queue's daemon; started when it is needed",
        "supervise": "run one job; started by the daemon",
    }
    for verb, text in about.items():
        sub = verbs.add_parser(verb, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--state", type=Path, help="the folder of the queue")
        if verb in ("submit", "estimate"):
            add_options(sub)
            sub.add_argument("script", metavar="SCRIPT")
        if verb == "status":
            sub.add_argument("--name", help="only jobs of exactly this name")
        if verb in ("status", "cancel", "supervise"):
            sub.add_argument("ids", metavar="ID", nargs="*" if verb == "status" else "+")
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status: 0, 2 wrong use, 4 refused, 5 not allowed, 75."""
    form = "%(asctime)s %(process)d %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)
    try:
        options = parser().parse_args(arguments)
        answer = getattr(Desk(options), options.verb)()
    except PangeoHpcError as error:
        print(error, file=sys.stderr)
        retry = isinstance(error, SchedulerError) and error.retry
        return TRY_AGAIN if retry else int(error.exit_code)
    except OSError as error:
        # Something of the system failed half-way: not a refusal, the job may be there.
        print(f"the queue could not finish: {error}", file=sys.stderr)
        return TRY_AGAIN
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if isinstance(answer, dict):
        print(json.dumps(answer, indent=2))
    elif answer is not None:
        print(answer)
    return int(Exit.DONE)


if __name__ == "__main__":
    sys.exit(main())
