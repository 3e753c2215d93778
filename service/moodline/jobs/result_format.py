"""The names of the forms of results, without what writes them."""

from __future__ import annotations

from enum import StrEnum


class ResultFormat(StrEnum):
    """In what form results are written: one file of JSON lines, else a folder of files."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    CSV = "csv"
    VCON = "vcon"
