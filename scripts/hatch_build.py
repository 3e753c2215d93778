"""Build hook: carries the model artifact inside the wheel, as moodline/artifacts/moodline-base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ARTIFACT_NAME = "moodline-base"


class ArtifactBuildHook(BuildHookInterface):
    """Adds the artifact to a wheel; an editable install reads it from the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to add.

        Args:
            version: `standard` or `editable`.
            build_data: What hatchling builds from; changed in place.

        Raises:
            FileNotFoundError: If the repository holds no artifact.
        """
        if version == "editable":
            return
        artifact = Path(self.root, "models", ARTIFACT_NAME)
        if not (artifact / "manifest.json").is_file():
            raise FileNotFoundError(f"{artifact} holds no manifest.json; run the recipe first.")
        build_data["force_include"][str(artifact)] = f"moodline/artifacts/{ARTIFACT_NAME}"
