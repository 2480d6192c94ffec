"""The page of all settings is the one that the models write.

PANGEO_HPC_GOLDEN=write python -m pytest tests/house/test_settings_page.py
"""

import os
from pathlib import Path

from pangeo_hpc.site.sample import reference

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date():
    """A new field, description or default is on it."""
    if os.environ.get("PANGEO_HPC_GOLDEN") == "write":
        PAGE.write_text(reference())
    assert PAGE.read_text() == reference()
