"""Shipped for others: the contract of a scheduler, recorded programs, a small valid site.

A scheduler of a third party subclasses `SchedulerContract`, gives its recordings, and inherits
every test that ours pass.
"""

import pytest

pytest.register_assert_rewrite("pangeo_hpc.testing.contract")

from pangeo_hpc.testing.contract import (  # noqa: E402
    REQUIRED,
    Recorded,
    SchedulerContract,
    Situation,
)
from pangeo_hpc.testing.sites import small_site_yaml  # noqa: E402
from pangeo_hpc.testing.transcripts import Replay, Step, read_transcript  # noqa: E402

__all__ = [
    "REQUIRED",
    "Recorded",
    "Replay",
    "SchedulerContract",
    "Situation",
    "Step",
    "read_transcript",
    "small_site_yaml",
]
