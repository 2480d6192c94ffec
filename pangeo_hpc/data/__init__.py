"""Data that lie elsewhere: object stores and catalogs of datasets."""

from pangeo_hpc.data.stores import object_store

__all__ = ["object_store"]
