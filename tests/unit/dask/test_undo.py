"""What importing dask_jobqueue does to a process, and that ours does not."""

import subprocess
import sys
from pathlib import Path

SIGINT_KEPT = """
import signal, threading
from pangeo_hpc.dask import undo
signal.signal(signal.SIGINT, signal.default_int_handler)
before, function = signal.getsignal(signal.SIGINT), signal.signal
{call}
assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler
assert signal.signal is function
import dask_jobqueue.runner
print("fine")
"""
THREAD = """
errors = []
def work():
    try:
        undo.dask_jobqueue()
    except BaseException as error:
        errors.append(error)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert not errors, errors
"""


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_ctrl_c_is_left_alone() -> None:
    """Ctrl-C still raises KeyboardInterrupt."""
    assert python(SIGINT_KEPT.format(call="undo.dask_jobqueue()")) == "fine\n"


def test_import_in_a_thread() -> None:
    """The import works in a thread, where Python allows no handlers at all."""
    assert python(SIGINT_KEPT.format(call=THREAD)) == "fine\n"


def test_import_in_a_notebook(tmp_path: Path) -> None:
    """Interrupting a cell still interrupts the cell, in a kernel where Dask has workers as jobs."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=90)
        first = "from pangeo_hpc.dask import undo; undo.dask_jobqueue(); import time; print('in')"
        client.execute(f"{first}\ntime.sleep(90)")
        while True:
            message = client.get_iopub_msg(timeout=90)
            if message["header"]["msg_type"] == "stream":
                manager.interrupt_kernel()
            if message["header"]["msg_type"] == "error":
                break
        assert message["content"]["ename"] == "KeyboardInterrupt"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_upstream_still_does_it() -> None:
    """The day this fails, undo.py can go."""
    program = "import signal, dask_jobqueue; print(signal.getsignal(signal.SIGINT))"
    assert "default_int_handler" not in python(program)
