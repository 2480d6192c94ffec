"""Make of this machine a hub's host, step by step, and take it back.

`plan` says what has to be there, `steps` make it so or find it so, `record` remembers what was
made, and `carry` does it all. Nothing that somebody changed since is overwritten or removed.
"""
