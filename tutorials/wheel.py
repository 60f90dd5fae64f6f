"""Adds the notebooks to a wheel, next to their helpers; editable installs read them in place."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Notebooks(BuildHookInterface):
    """The build hook that pyproject.toml names."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Include the notebooks in a standard wheel."""
        if version == "standard":
            for file in (Path(self.root) / "tutorials").glob("*.ipynb"):
                build_data["force_include"][str(file)] = f"kerasae_lessons/notebooks/{file.name}"
