"""Answers that are kept for a while."""

import asyncio

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.hub.fresh import Kept


class Scheduler:
    """Answers with how often it was asked, when it is let."""

    def __init__(self) -> None:
        self.asked, self.now, self.fails = 0, 100.0, False
        self.free = asyncio.Event()
        self.free.set()

    async def ask(self) -> int:
        self.asked += 1
        number = self.asked
        await self.free.wait()
        if self.fails:
            raise SchedulerUnreachable("no answer")
        return number

    def clock(self) -> float:
        return self.now

    def kept(self, patience: float = 5.0) -> Kept[int]:
        return Kept(self.ask, seconds=60, patience=patience, clock=self.clock)


def test_many_views_are_one_question():
    """While an answer is good, and at the same moment, the scheduler is asked once."""

    async def look() -> None:
        scheduler = Scheduler()
        kept = scheduler.kept()
        found = await asyncio.gather(*(kept.get() for _ in range(50)))
        scheduler.now += 59
        found.append(await kept.get())
        assert scheduler.asked == 1
        assert {each.value for each in found} == {1}
        assert found[-1].age == 59
        scheduler.now += 1
        assert (await kept.get()).value == 2

    asyncio.run(look())


def test_a_failure_keeps_the_last_answer_and_says_its_age():
    """A scheduler that does not answer is not asked more often, and nothing is forgotten."""

    async def look() -> None:
        scheduler = Scheduler()
        kept = scheduler.kept()
        await kept.get()
        scheduler.now, scheduler.fails = 200.0, True
        known = await kept.get()
        assert (known.value, known.age, known.failure) == (1, 100.0, "no answer")
        await kept.get()
        assert scheduler.asked == 2
        scheduler.now, scheduler.fails = 260.0, False
        known = await kept.get()
        assert (known.value, known.age, known.failure) == (3, 0.0, "")

    asyncio.run(look())


def test_a_slow_scheduler_holds_no_page():
    """A page waits a moment and then shows what is known, which is nothing at first."""

    async def look() -> None:
        scheduler = Scheduler()
        scheduler.free.clear()
        kept = scheduler.kept(patience=0.01)
        assert (await kept.get()).age is None
        assert (await kept.get()).value is None
        assert scheduler.asked == 1
        scheduler.free.set()
        await asyncio.sleep(0)
        assert (await kept.get()).value == 1

    asyncio.run(look())
