"""Many NetCDF files or CSV tables become one Zarr store, through the same resumable writer."""
