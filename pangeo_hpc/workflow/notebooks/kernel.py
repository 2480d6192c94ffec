"""The kernel of a notebook in a job: private, and never outlives the program that runs it.

``python -m pangeo_hpc.workflow.notebooks.kernel PARENT FOLDER -f CONNECTION_FILE``, where FOLDER is
one that only we can enter.
"""

import os
import sys
from typing import Any

from pangeo_hpc import processes


def main(arguments: list[str]) -> None:
    """Tie our life to that of the parent, and become ipykernel."""
    processes.end_with(int(arguments[0]))
    from ipykernel import iostream, kernelapp

    output = _private(iostream.IOPubThread, f"ipc://{arguments[1]}/children")
    setattr(kernelapp, iostream.IOPubThread.__name__, output)
    kernelapp.launch_new_instance(argv=arguments[2:])


def _private(base: Any, address: str) -> Any:
    """Return ipykernel's output thread with a socket of ours for what forked children print.

    Its own is a port on loopback, and what any user of the node sends there ends up, quoted in a
    complaint, in the notebook (7.4).
    """
    import zmq
    from zmq.eventloop.zmqstream import ZMQStream

    class Output(base):
        def _setup_pipe_in(self) -> None:
            self._pipe_uuid = os.urandom(16)
            pipe = self.socket.context.socket(zmq.PULL)
            pipe.linger = 0
            pipe.bind(address)
            self._pipe_in = ZMQStream(pipe, self.io_loop)
            self._pipe_in.on_recv(self._handle_pipe_msg)

        def _setup_pipe_out(self) -> tuple[Any, Any]:
            context = zmq.Context()
            pipe = context.socket(zmq.PUSH)
            pipe.linger = 3000
            pipe.connect(address)
            return context, pipe

    return Output


if __name__ == "__main__":
    main(sys.argv[1:])
