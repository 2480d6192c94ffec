"""What the test cluster raises when it cannot do its work."""


class ClusterError(RuntimeError):
    """Say which part of the test cluster failed, with its command and the end of its log."""
