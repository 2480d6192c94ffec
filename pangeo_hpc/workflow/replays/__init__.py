"""A run once more, beside the first, and whether it gives the same."""
