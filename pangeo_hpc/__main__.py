"""Run the command line as ``python -m pangeo_hpc``."""

from pangeo_hpc.cli.main import main

if __name__ == "__main__":
    main()
