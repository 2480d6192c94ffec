"""A Dask cluster that starts and ends *units*, each as a whole and with all of its workers."""

import asyncio
import math
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from distributed.core import Status
from distributed.deploy.spec import SpecCluster

from pangeo_hpc.dask import keeper


class UnitCluster(SpecCluster):
    """Units are batch jobs or programs; `retiring` are those whose workers leave by themselves.

    Dask's own SpecCluster starts and ends units in the background and loses what goes wrong
    there; here `_correct_state` raises why one was not started.
    """

    workers_per_unit: int = 1

    async def _start(self) -> None:
        await super()._start()
        # units whose workers leave before their job ends; their successors are counted instead
        self.retiring: set[str] = set()

    @property
    def observed(self) -> set[str]:
        """Return the names of the workers that are here."""
        return set(super().observed) - {keeper.NAME}

    def _respecify(self, n: int) -> None:
        wanted = math.ceil(n / self.workers_per_unit)
        surplus = len(self.worker_spec) - wanted
        if not wanted:
            self.retiring.clear()  # they end now: nobody follows them
        if surplus > 0:
            arrived = self.observed
            newest = list(reversed(self.worker_spec))
            # those that still wait in the queue go first
            newest.sort(key=lambda name: not arrived.isdisjoint(self._names(name)))
            for name in newest[:surplus]:
                del self.worker_spec[name]
        elif self.status not in (Status.closing, Status.closed):
            while len(self.worker_spec) < wanted:
                self.worker_spec.update(self.new_worker_spec())

    def _names(self, unit: str) -> set[str]:
        """Return the names of the workers of a unit."""
        if self.workers_per_unit == 1:
            return {unit}
        return {f"{unit}-{number}" for number in range(self.workers_per_unit)}

    def unit_of(self, worker: str) -> str:
        """Return the unit that a worker belongs to, by the worker's name."""
        return worker if self.workers_per_unit == 1 else worker.rpartition("-")[0]

    def _new_worker_name(self, worker_number: int) -> str:
        return f"{self._name}-{worker_number}"

    def new_worker_spec(self) -> dict[str, Any]:
        """Return the name and the recipe of a new unit; no name is used twice."""
        name = self._new_worker_name(self._i)
        self._i += 1
        return {name: self.new_spec}

    def _update_worker_status(self, op: str, msg: Any) -> None:
        """Follow what the scheduler says of workers, and start nothing again because of it.

        SpecCluster would forget the unit of a lost worker, and start it again by the same name.
        """
        super(SpecCluster, self)._update_worker_status(op, msg)

    def _correct_state(self) -> "asyncio.Future[None]":
        """Start and end units until it is as it should be; whoever waits for that may stop waiting.

        Ctrl-C cancels what waits. A submission that lost its answer would be made once more.
        """
        return asyncio.shield(super()._correct_state())

    async def _correct_state_internal(self) -> None:
        async with self._lock:
            self._correct_state_waiting = None
            surplus = set(self.workers) - set(self.worker_spec) - self.retiring
            if surplus:
                await self._end_units(surplus)
            missing = [name for name in self.worker_spec if name not in self.workers]
            if missing:
                await self._start_units(missing)

    async def _start_units(self, names: Iterable[str]) -> None:
        """Start units, and raise the first error once every start has had its answer."""
        units = {}
        for name in names:
            spec = self.worker_spec[name]
            unit = spec["cls"](self.scheduler_address, name=name, **spec["options"])
            self._created.add(unit)
            units[name] = unit
        answers = await asyncio.gather(*(_begin(u) for u in units.values()), return_exceptions=True)
        errors = []
        for (name, unit), answer in zip(units.items(), answers, strict=True):
            if isinstance(answer, BaseException):
                unit.status = Status.failed
                self.worker_spec.pop(name, None)
                errors.append(answer)
            else:
                self.workers[name] = unit
        if errors:
            raise errors[0]

    async def _end_units(self, names: Iterable[str]) -> None:
        """End units; while the cluster lives on, their workers first hand on what they hold."""
        units = {name: self.workers[name] for name in names}
        if self.status == Status.running and self.scheduler_comm is not None:
            workers = set[str]().union(*(self._names(name) for name in units)) & self.observed
            if workers:
                # not closed from here: a worker that closes and is ended too waits for ever
                await self.scheduler_comm.retire_workers(names=sorted(workers))
        await self._stop(list(units.values()))
        for name in units:
            self.workers.pop(name, None)

    async def _stop(self, units: Sequence[Any]) -> None:
        """End units at once."""
        await asyncio.gather(*(unit.close() for unit in units))


async def _begin(unit: Awaitable[Any]) -> Any:
    return await unit
