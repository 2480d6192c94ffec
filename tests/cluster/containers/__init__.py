"""The test cluster in containers: one for each daemon and node, and one to log in."""
