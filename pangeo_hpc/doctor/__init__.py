"""Checks for real whether a site works, and what to do where it does not.

Facts are gathered first, with a small job through each node type; each check then judges them. To
add one: a file in `checks/` with NAME, TITLE and `judge`, and its line in `checks/__init__.py`.
"""
