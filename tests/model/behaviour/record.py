"""Records the pass rates of the bundled model: python -m tests.model.behaviour.record."""

from __future__ import annotations

import asyncio
import sys

from tests.model.behaviour import rates
from tests.model.behaviour.cases import load_abilities, load_cases
from tests.model.behaviour.judge import judge


def main() -> None:
    """Judge all cases, write the rates and their page; `+` fails newly, `-` no longer."""
    judgement = asyncio.run(judge(load_cases()))
    counted = rates.count(judgement)
    known = set()
    if rates.RATES.exists():
        cells = [c for langs in rates.recorded().abilities.values() for c in langs.values()]
        known = {case_id for cell in cells for case_id in cell.failed}
    for verdict in judgement.verdicts:
        if not verdict.is_passed:
            news = " " if verdict.case.case_id in known else "+"
            text = verdict.case.variants[0].turns[-1].text
            sys.stdout.write(f"{news} {verdict.case.case_id}: {verdict.objection}: {text}\n")
        elif verdict.case.case_id in known:
            sys.stdout.write(f"- {verdict.case.case_id}: holds now\n")
    rates.RATES.write_text(counted.model_dump_json(indent=1) + "\n", encoding="utf-8")
    rates.DOC.write_text(rates.render(counted, load_abilities()), encoding="utf-8")


if __name__ == "__main__":
    main()
