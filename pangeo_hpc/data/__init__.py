"""Data that lie elsewhere: object stores and catalogs of datasets."""

from pangeo_hpc.data.catalogs import open_catalog
from pangeo_hpc.data.stores import object_store

__all__ = ["object_store", "open_catalog"]
