"""Answers that are kept for a while, so that no page view asks the scheduler.

A question is asked again only when somebody wants the answer and it has grown old, by one task at a
time; whoever wants it waits a moment for it and else gets the last good one, with its age.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pangeo_hpc.errors import PangeoHpcError

T = TypeVar("T")


@dataclass(frozen=True)
class Known(Generic[T]):
    """The last good answer; `age` is in seconds, None as long as there was none.

    `failure` is why the last question had no answer, empty if it had one.
    """

    value: T | None = None
    age: float | None = None
    failure: str = ""


class Kept(Generic[T]):
    """One question and its last good answer.

    It is asked at most once in `seconds`, failures included; a page waits `patience` seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        seconds: float = 60.0,
        patience: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._seconds, self._patience, self._clock = ask, seconds, patience, clock
        self._value: T | None = None
        self._heard: float | None = None
        self._asked: float | None = None
        self._failure = ""
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> Known[T]:
        """Return what is known; an old answer is asked for anew."""
        if self._task is None and self._is_old():
            self._asked = self._clock()
            self._task = asyncio.get_running_loop().create_task(self._look())
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=self._patience)
        age = None if self._heard is None else max(0.0, self._clock() - self._heard)
        return Known(self._value, age, self._failure)

    def _is_old(self) -> bool:
        return self._asked is None or self._clock() - self._asked >= self._seconds

    async def _look(self) -> None:
        try:
            self._value = await self._ask()
        except PangeoHpcError as error:
            self._failure = error.text
        else:
            self._heard, self._failure = self._clock(), ""
        finally:
            self._task = None
