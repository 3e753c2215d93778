"""What docs/formats.md shows runs, and it names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moodline.transcripts import SkipReason, role_doctor, rows
from moodline.transcripts.registry import OWN_FORMATS
from moodline.transcripts.role_doctor import RoleVerdict
from moodline.transcripts.transcript import TranscriptWarningCode

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_the_code_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    code = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    exec(compile(code, "docs/formats.md", "exec"), {"__name__": "formats"})
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "11f0c0de-0000-4000-8000-000000000002 8 turns, 1 skipped"
    assert out[-2].startswith("guessed")


def test_every_format_reason_verdict_and_warning_is_named() -> None:
    named = set(re.findall(r"`([\w\-]+)`", TEXT))
    assert {one.name for one in OWN_FORMATS} <= named
    assert set(SkipReason) | set(RoleVerdict) <= named
    assert {code for code in TranscriptWarningCode if not code.startswith("ROLES_")} <= named
    assert set(rows.COLUMNS) <= named


def test_the_constants_of_the_role_doctor_are_published() -> None:
    for value in (
        f"±{role_doctor.MAX_TURN_SCORE:.0f}",
        f"≤ −{role_doctor.MIN_EVIDENCE}",
        f"evidence below {role_doctor.MAX_MIXED_EVIDENCE:.0f}",
        f"±{role_doctor.CLEAR_SCORE:.0f} at least {role_doctor.MIN_CONTRARY_TURNS}",
        f"{role_doctor.MIN_CONTRARY_SHARE:.0%}".replace("%", " %"),
        f"{role_doctor.MIN_AGREEING_TURNS} like their own",
        f"{rows.MAX_REMEMBERED_IDS:,} conversations",
    ):
        assert value in TEXT
    assert role_doctor.SWITCH_PROBABILITY == 4 / 5
