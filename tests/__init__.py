"""Tests of pangeo-hpc."""
