"""What the parts of a cluster's class are built on."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Base: TypeAlias = Any  # what Dask's own classes and WorkerCluster have
else:
    Base = object
