"""Software environments, and data that lie elsewhere."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from pangeo_hpc.site.fields import (
    Bucket,
    Choice,
    Duration,
    FixedPath,
    Flag,
    Module,
    PathTemplate,
    Remark,
    Source,
    Token,
    Url,
    Word,
)
from pangeo_hpc.site.model.base import Entry, Part

Overlays = Annotated[Literal["home", "scratch", "none"], Choice]
Protocol = Annotated[Literal["s3", "gs", "abfs", "http", "https", "file"], Choice]
Driver = Annotated[Literal["intake"], Choice]


class EnvironmentEntry(Entry):
    """A software environment: built from a spec, or one that the site already has."""

    description: Remark = Field(
        default="", description="One line for people.", examples=["Xarray, Dask, Zarr, plotting"]
    )
    spec: FixedPath | None = Field(
        default=None,
        description="Conda specification that we lock and build.",
        examples=["../conda-envs/pangeo.yml"],
    )
    root: PathTemplate | None = Field(
        default=None,
        description="Where the generations that we build of it live; needed with spec.",
        examples=["/opt/pangeo-hpc/envs"],
    )
    prefix: PathTemplate | None = Field(
        default=None,
        description="Prefix of an environment that the site already has, instead of spec.",
        examples=["/apps/conda/envs/clim"],
    )
    modules: tuple[Module, ...] = Field(
        default=(), description="Modules to load before it is used.", examples=[["netcdf/4.9"]]
    )
    overlays: Overlays = Field(
        default="home",
        description="Where users' own packages live: home, scratch, or none.",
        examples=["home"],
    )
    default: Flag = Field(
        default=False,
        description="The environment of whoever names none; exactly one has it.",
        examples=[True],
    )


class ObjectStore(Entry):
    """A bucket or another place that fsspec reads."""

    protocol: Protocol = Field(description="How it is spoken to.", examples=["s3"])
    bucket: Bucket | None = Field(
        default=None,
        description="Bucket, and perhaps a folder in it; placeholders allowed.",
        examples=["alpha-archive"],
    )
    path: PathTemplate | None = Field(
        default=None,
        description="Protocol file only: the directory that is the store.",
        examples=["/archive/{user}"],
    )
    endpoint_url: Url | None = Field(
        default=None,
        description="Address of the service, where it is not the protocol's own.",
        examples=["https://objects.alpha.example"],
    )
    ca_bundle: FixedPath | None = Field(
        default=None,
        description="Protocol s3 only: certificates to trust, where the service has its own.",
        examples=["/etc/ssl/certs/ca-certificates.crt"],
    )
    region: Token | None = Field(
        default=None,
        description="Protocol s3 only: the region, where the service asks for one.",
        examples=["us-east-1"],
    )
    credentials: PathTemplate | None = Field(
        default=None,
        description=(
            "File of the user that holds the credentials, never the credentials; "
            "absent = the environment, then the protocol's usual files."
        ),
        examples=["~/.aws/credentials"],
    )
    profile: Token | None = Field(
        default=None, description="Section of that file; absent = default.", examples=["alpha"]
    )
    anonymous: Flag = Field(
        default=False,
        description="Read without any credentials, as public data are.",
        examples=[False],
    )
    timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long one request waits for an answer before it is tried again.",
        examples=["30 seconds"],
    )


class Catalog(Part):
    """A catalog of datasets."""

    name: Word = Field(description="What users open it by.", examples=["cmip6"])
    driver: Driver = Field(default="intake", description="What reads it.", examples=["intake"])
    url: Source = Field(
        description="File or address of the catalog.", examples=["/data/catalogs/cmip6.yaml"]
    )
