"""Scratch filesystems: where a user's own directory is, and when what lies there is purged."""

from pangeo_hpc.scratch.paths import inside, keep_until, path, root, variable

__all__ = ["inside", "keep_until", "path", "root", "variable"]
