"""The site as frozen, typed models; attribute names are the keys of the YAML."""

from pangeo_hpc.site.model.hub import Hub, Idle, LoginServer, Tls
from pangeo_hpc.site.model.nodes import DaskShape, LocalDisk, NodeType, Option
from pangeo_hpc.site.model.schedulers import SchedulerEntry
from pangeo_hpc.site.model.site import Site, UserDefaults
from pangeo_hpc.site.model.software import Catalog, EnvironmentEntry, ObjectStore
from pangeo_hpc.site.model.storage import Home, Notify, Pins, Purge, ScratchFilesystem

__all__ = [
    "Catalog",
    "DaskShape",
    "EnvironmentEntry",
    "Home",
    "Hub",
    "Idle",
    "LocalDisk",
    "LoginServer",
    "NodeType",
    "Notify",
    "ObjectStore",
    "Option",
    "Pins",
    "Purge",
    "SchedulerEntry",
    "ScratchFilesystem",
    "Site",
    "Tls",
    "UserDefaults",
]
