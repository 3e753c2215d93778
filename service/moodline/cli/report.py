"""Writes the page of `moodline report`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from moodline.reports.errors import ReportError
from moodline.reports.report import ReportRequest, make_report

_ENDINGS: Final = (".html", ".htm")


def write_report(request: ReportRequest, out: Path) -> str:
    """Make a report and write it.

    Returns:
        What was done, for people.

    Raises:
        ReportError: If it cannot be made as it was asked for.
        OSError: If results cannot be read or the page not be written.
    """
    if out.suffix.lower() not in _ENDINGS:
        # A page is replaced if it is there: this spares results that were named by mistake.
        raise ReportError(f"{out}: the page is a file that ends in .html; name such a one.")
    if not out.parent.is_dir():
        raise ReportError(f"{out}: there is no such folder; make it first.")
    report = make_report(request)
    draft = out.with_name(out.name + ".draft")
    try:
        draft.write_text(report.html, encoding="utf-8")
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    found = report.findings
    return f"{out}: {found.total.conversation_count} conversations, {found.failed_count} failed"
