"""Long work is cut into passes of the event loop; who has little to do does not wait."""

from __future__ import annotations

import asyncio

import pytest

from moodline.pacing import TURNS_PER_PASS, Pacer


@pytest.mark.parametrize("count", [0, 1, TURNS_PER_PASS, TURNS_PER_PASS + 1, 50])
async def test_results_come_in_order(count: int) -> None:
    assert await Pacer().map(str, range(count)) == [str(index) for index in range(count)]


async def test_one_chunk_runs_in_a_pass_however_many_wait() -> None:
    pacer = Pacer()
    done: list[int] = []
    jobs = [
        asyncio.create_task(pacer.map(done.append, range(4 * TURNS_PER_PASS))) for _ in range(5)
    ]
    most = 0
    while not all(job.done() for job in jobs):
        before = len(done)
        await asyncio.sleep(0)
        most = max(most, len(done) - before)
    assert most == TURNS_PER_PASS
    assert len(done) == 20 * TURNS_PER_PASS


async def test_little_work_does_not_wait_for_much() -> None:
    pacer = Pacer()
    much = asyncio.create_task(pacer.map(str, range(100 * TURNS_PER_PASS)))
    await asyncio.sleep(0)
    assert await pacer.map(str, [1]) == ["1"]
    assert not much.done()
    await much


async def test_who_leaves_lets_the_others_go_on() -> None:
    pacer = Pacer()
    leaver = asyncio.create_task(pacer.map(str, range(100 * TURNS_PER_PASS)))
    other = asyncio.create_task(pacer.map(str, range(2 * TURNS_PER_PASS)))
    await asyncio.sleep(0)
    leaver.cancel()
    assert len(await other) == 2 * TURNS_PER_PASS
    with pytest.raises(asyncio.CancelledError):
        await leaver
