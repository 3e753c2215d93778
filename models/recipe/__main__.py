"""`python -m models.recipe STEP`: one command per step of the recipe."""

from __future__ import annotations

from models.recipe.cli import app

app()
