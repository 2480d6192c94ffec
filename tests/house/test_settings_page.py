"""The page of all settings, and the schema, are those that the models write.

PANGEO_HPC_GOLDEN=write python -m pytest tests/house/test_settings_page.py
"""

import json
import os
from pathlib import Path

from pangeo_hpc.site.sample import reference
from pangeo_hpc.site.schema import json_schema

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
SCHEMA = PAGE.with_name("site.schema.json")


def test_the_page_is_up_to_date():
    """A new field, description or default is on it."""
    if os.environ.get("PANGEO_HPC_GOLDEN") == "write":
        PAGE.write_text(reference())
    assert PAGE.read_text() == reference()


def test_the_schema_is_up_to_date():
    """Editors find it where the shipped sites say it is."""
    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("PANGEO_HPC_GOLDEN") == "write":
        SCHEMA.write_text(text)
    assert SCHEMA.read_text() == text
