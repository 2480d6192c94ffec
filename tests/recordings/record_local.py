"""Record what the local queue's program tells about jobs in every state.

Run as `python -m tests.recordings.record_local` from the checkout; it takes some seconds, uses a
queue of its own, and writes tests/recordings/local/status.json.
"""

import os
import signal
import tempfile
from pathlib import Path

from pangeo_hpc.schedulers.base import JobState
from tests.unit.localqueue.conftest import RealQueue

TARGET = Path(__file__).parent / "local" / "status.json"
HOG = "held=$(head -c 100000000 /dev/zero | tr '\\0' x); sleep 60"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        queue = RealQueue(Path(folder))
        queue.environment["PANGEO_LOCALQUEUE_TOTAL_CORES"] = "8"
        try:
            record(queue)
        finally:
            queue.end_everything()


def record(queue: RealQueue) -> None:
    queue.submit("sleep 60", "--walltime=00:05:00")
    queue.wait(queue.submit("true", "--name=ndvi-x7k2"))
    queue.wait(queue.submit("exit 3"))
    queue.wait(queue.submit("sleep 60", "--walltime=00:00:01"))
    queue.wait(queue.submit(HOG, "--memory=50M"))
    waiting = queue.submit("true", "--after=1")
    queue.call("cancel", waiting)
    lost = queue.submit("sleep 60")
    queue.wait(lost, JobState.RUNNING)
    element = queue.store.look(lost)[0]
    assert element.standing.script and element.standing.supervisor
    os.kill(element.standing.supervisor.pid, signal.SIGSTOP)
    os.killpg(element.standing.script.pid, signal.SIGKILL)
    os.kill(element.standing.supervisor.pid, signal.SIGKILL)
    queue.wait(lost)
    queue.submit("true", "--after=1")
    queue.submit("exit $PANGEO_LOCALQUEUE_INDEX", "--array=2")
    queue.wait("9_0")
    queue.wait("9_1")
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(queue.call("status").stdout.replace(str(queue.folder), "/home/alice"))


if __name__ == "__main__":
    main()
