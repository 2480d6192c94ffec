"""JupyterHub on this site: notebook servers as jobs, held to the site's limits.

The hub runs as its own account and asks one small program to act as a user; nothing here runs as
root.
"""
