"""A user's server on a node: its address, its port, and how it proves to be theirs.

Hub and lab use the same. Nobody sends a secret to a port before whoever listens there has proven
to know it: a neighbour on the node may have taken the port first.
"""
