"""Attempts of a run that follow one another until it is complete."""
