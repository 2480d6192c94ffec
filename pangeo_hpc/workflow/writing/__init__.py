"""Datasets as Zarr, unit by unit, such that a later attempt goes on where one stops."""
