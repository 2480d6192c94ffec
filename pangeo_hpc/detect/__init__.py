"""Ask the machine what it is, and draft a site YAML from the answers."""

from pangeo_hpc.detect.draft import draft_site
from pangeo_hpc.detect.survey import Survey, survey_machine

__all__ = ["Survey", "draft_site", "survey_machine"]
