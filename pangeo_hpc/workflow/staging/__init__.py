"""Finished outputs are copied to permanent storage: what is behind `Run.stage_out`."""
