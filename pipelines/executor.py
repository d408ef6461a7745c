"""Where work units run: in this process, in local processes, or on a Dask cluster; the results are the same.

A unit is small and independent, and writes its result atomically under a name made from its inputs. It can
therefore be run twice without harm: when a worker dies, its unit is run again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any

from features.errors import ConfigError, StageError
from features.workers import Executor, Item, Result, one_by_one

log = logging.getLogger(__name__)

AHEAD = 4  # units handed out per worker: enough to keep it busy, few enough for any scheduler's memory
LOSSES = 3  # times that workers may die in a row without any unit ending in between


def executor_for(workers: int = 1, dask: str | None = None) -> Executor:
    """Choose where units run.

    Parameters
    ----------
    workers
        Local processes; 1 runs units one after another in this process.
    dask
        Address of a Dask scheduler (`tcp://host:8786`); `workers` is then not used.

    Returns
    -------
    Executor
        `executor(function, items)` yields one result per item, in any order.

    Raises
    ------
    ConfigError
        Where the number of workers is below one, or the cluster cannot be reached.
    """
    if dask is not None:
        return OnDask(dask)
    if workers < 1:
        raise ConfigError(f"--workers {workers} cannot run anything; give 1 or more.")
    return one_by_one if workers == 1 else InProcesses(workers)


class InProcesses:
    """Run units in local processes, started when first needed and again where one dies."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results as they come.

        Raises
        ------
        StageError
            Where workers keep dying without finishing anything, as when memory is short.
        """
        source = iter(items)
        again: list[Item] = []
        running: dict[Future[Result], Item] = {}
        losses = 0
        while True:
            try:
                self._hand_out(function, source, again, running)
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    del running[future]
                    losses = 0
                    yield result
            except BrokenProcessPool as error:
                losses += 1
                if losses > LOSSES:
                    raise StageError(
                        f"Workers died {losses} times in a row; memory may be short: use fewer workers."
                    ) from error
                log.warning("A worker died; its units are run again.")
                again.extend(running.values())
                running.clear()
                self.close()

    def _hand_out(
        self, function: Callable[..., Any], source: Iterator[Any], again: list[Any], running: dict[Any, Any]
    ) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))
        while len(running) < AHEAD * self.workers:
            item = again.pop() if again else next(source, _NOTHING)
            if item is _NOTHING:
                return
            try:
                running[self._pool.submit(function, item)] = item
            except BrokenProcessPool:
                again.append(item)
                raise

    def close(self) -> None:
        """Stop the processes; the next call starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class OnDask:
    """Run units on a Dask cluster; the scheduler sees units and outcomes, never a pixel."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results as they come; a unit whose worker died is run again elsewhere.

        Raises
        ------
        ConfigError
            Where Dask is not installed or the scheduler does not answer.
        """
        client = self._connect()
        try:
            yield from self._run(client, function, iter(items))
        finally:
            client.close()

    def _connect(self) -> Any:
        try:
            import distributed
        except ImportError as error:
            raise ConfigError("--dask needs the cluster extra: uv sync --extra cluster.") from error
        client: Any = distributed.Client
        try:
            return client(self.address, timeout=20, set_as_default=False)
        except OSError as error:
            raise ConfigError(
                f"No Dask scheduler answers at {self.address}; start one or correct --dask."
            ) from error

    def _run(self, client: Any, function: Callable[..., Any], source: Iterator[Any]) -> Iterator[Any]:
        import distributed

        as_completed: Any = distributed.as_completed
        room = max(AHEAD * sum(client.nthreads().values()), AHEAD)
        first: Any = [self._submit(client, function, item) for item in islice(source, room)]
        pending = as_completed(first, loop=client.loop)
        for future in pending:
            yield future.result()
            future.release()
            for item in islice(source, 1):
                pending.add(self._submit(client, function, item))

    def _submit(self, client: Any, function: Callable[..., Any], item: Any) -> Any:
        return client.submit(function, item, pure=False, retries=LOSSES)


_NOTHING: Any = object()
