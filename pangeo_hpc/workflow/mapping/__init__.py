"""Independent items, each computed once: what is behind `Run.map`."""
