"""Dask clusters: workers as batch jobs, inside an allocation, or on this machine.

Inside this package `import dask` means Dask itself; ours is always `pangeo_hpc.dask`.
"""

from pangeo_hpc.dask.start import start_cluster

__all__ = ["start_cluster"]
