"""Environments: which Python a job runs, and what has to happen before it does."""

from pangeo_hpc.envs.resolve import CURRENT, Environment, resolve, running

__all__ = ["CURRENT", "Environment", "resolve", "running"]
