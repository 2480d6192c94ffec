"""JupyterLab as a batch job, for a user without any hub."""
