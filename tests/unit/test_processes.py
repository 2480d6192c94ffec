"""A process is known by its pid and its start."""

import subprocess
import sys
from dataclasses import replace

from pangeo_hpc import processes


def test_a_process_is_known_while_it_lives() -> None:
    """Alive, then gone; a recycled pid, another boot and another host are told apart."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = processes.identify(child.pid)
    assert known is not None
    assert processes.is_alive(known) is True
    assert processes.is_alive(replace(known, started=known.started + 1)) is False
    assert processes.is_alive(replace(known, boot="earlier")) is False
    assert processes.is_alive(replace(known, host="elsewhere")) is None
    child.communicate(b"\n")
    assert processes.is_alive(known) is False
    assert processes.identify(child.pid) is None


def test_a_zombie_is_gone() -> None:
    """A process that ended but was not reaped does not count as alive."""
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    known = processes.identify(child.pid)
    child.stdout.read()
    while processes.start_ticks(child.pid) is not None:
        pass
    assert known is None or processes.is_alive(known) is False
    child.wait()
    child.stdout.close()


def test_we_know_ourselves() -> None:
    """The default is this process."""
    me = processes.identify()
    assert me is not None
    assert processes.is_alive(me) is True
