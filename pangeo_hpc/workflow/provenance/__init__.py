"""Where a run comes from: its script, environment, repository, inputs and jobs."""
