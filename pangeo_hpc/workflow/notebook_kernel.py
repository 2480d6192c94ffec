"""The kernel of a notebook in a job: it never outlives the program that runs the notebook.

``python -m pangeo_hpc.workflow.notebook_kernel PARENT -f CONNECTION_FILE``.
"""

import sys

from pangeo_hpc import processes


def main(arguments: list[str]) -> None:
    """Tie our life to that of the parent, and become ipykernel."""
    processes.end_with(int(arguments[0]))
    from ipykernel import kernelapp

    kernelapp.launch_new_instance(argv=arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
