"""Checks a model artifact as serving would, and tells what it is."""

from __future__ import annotations

import yaml

from moodline.app import find_artifact
from moodline.artifact import Artifact
from moodline.jobs.analyzing import open_local
from moodline.settings import Settings


async def check(settings: Settings) -> Artifact:
    """Check the artifact's files and its golden conversations.

    Raises:
        ArtifactError: If something disagrees with the manifest.
    """
    artifact = find_artifact(settings)
    async with open_local(settings):
        return artifact


def describe_yaml(artifact: Artifact) -> str:
    """Return what a checked artifact is, as YAML."""
    manifest = artifact.manifest
    facts = {
        "model": artifact.model_version,
        "directory": str(artifact.directory),
        "configuration_digest": artifact.digest,
        "licence": manifest.licence,
        "files_bytes": {name: record.byte_count for name, record in manifest.files.items()},
        "labels": manifest.labels.model_dump(mode="json"),
        "languages": manifest.languages.model_dump(mode="json"),
        "metrics": dict(manifest.metrics),
        "checked": f"{len(manifest.files)} checksums, {len(manifest.golden)} golden conversations",
    }
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=100)
