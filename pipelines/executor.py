"""Where work units run: in this process, in local processes, or on a Dask cluster; the results are the same.

A unit is small and independent, and writes its result atomically under a name made from its inputs. It can
therefore be run twice without harm: when a worker dies, its unit is run again.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for_process
from typing import Any

from features.errors import ConfigError, StageError
from features.workers import Executor, Item, Result, one_by_one

log = logging.getLogger(__name__)

AHEAD = 4  # units handed out per worker: enough to keep it busy, few enough for any scheduler's memory
NO_WORKER_SECONDS = 300.0  # that a run waits for a Dask worker
SAY_SECONDS = 30.0  # between two lines that there is none
POLL_SECONDS = 1.0  # between two looks at the workers
RESULT_SECONDS = 30.0  # for a result that is there to arrive
CLOSING_SECONDS = 5
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
                        f"Workers died {losses} times in a row; memory may be short: use fewer --workers, or "
                        "give a smaller --memory."
                    ) from error
                log.warning("A worker died; its units are run again.")
                again.extend(running.values())
                running.clear()
                self.close()

    def _hand_out(
        self, function: Callable[..., Any], source: Iterator[Any], again: list[Any], running: dict[Any, Any]
    ) -> None:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=end_with_parent
            )
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


def end_with_parent() -> None:
    """Let this worker process end as soon as the process that started it has ended, however it did."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait_for_process([sentinel])
    os._exit(1)


class OnDask:
    """Run units on a Dask cluster; the scheduler sees units and outcomes, never a pixel.

    Workers may join and leave at any time: each that joins gets units at once, and where there is none the
    run waits for NO_WORKER_SECONDS, saying so.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results as they come; a unit whose worker died is run again elsewhere.

        Raises
        ------
        ConfigError
            Where Dask is not installed or the scheduler does not answer.
        StageError
            Where there is no worker for too long, the scheduler is lost, or a unit kills every worker it is
            given to. What was finished until then is kept.
        """
        client = self._connect()
        try:
            yield from self._run(client, function, iter(items))
        finally:
            client.close(timeout=CLOSING_SECONDS)

    def _connect(self) -> Any:
        try:
            import distributed
        except ImportError as error:
            raise ConfigError("--dask needs the cluster extra: uv sync --extra cluster.") from error
        if not log.isEnabledFor(logging.DEBUG):
            logging.getLogger("distributed").setLevel(
                logging.CRITICAL
            )  # its tracebacks, which are ours to say
        client: Any = distributed.Client
        try:
            return client(self.address, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"No Dask scheduler answers at {self.address}; start one or correct --dask."
            ) from error

    def _run(self, client: Any, function: Callable[..., Any], source: Iterator[Any]) -> Iterator[Any]:
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        running: dict[Any, Any] = {}  # futures and their units
        again: list[Any] = []  # units whose result went down with the worker that held it
        patience = _Patience(self.address)
        looked = -POLL_SECONDS
        try:
            while True:
                if time.monotonic() - looked >= POLL_SECONDS:
                    threads, looked = self._threads(client), time.monotonic()
                room = max(AHEAD * max(threads, 1) - len(running), 0)
                repeated, again = again, []
                for item in chain(repeated, islice(source, room)):
                    future = client.submit(function, item, pure=False, retries=LOSSES)
                    running[future] = item
                    future.add_done_callback(done.put)
                if not running:
                    return
                for future in _taken(done):
                    item = running.pop(future)
                    try:
                        yield self._result(future)
                    except _ResultGoneError:  # units may be run twice: what they write is the same
                        self._threads(client)  # the scheduler answers, so a worker took the result with it
                        again.append(item)
                    future.release()
                    patience.renew()
                patience.check(threads)
        finally:
            for future in running:
                future.release()

    def _threads(self, client: Any) -> int:
        """Threads of the workers that the scheduler has now."""
        try:
            if client.status != "running":
                raise OSError(f"the connection is {client.status}")
            return int(sum(client.nthreads().values()))
        except (OSError, TimeoutError, AttributeError) as error:
            raise self._lost(error) from error

    def _result(self, future: Any) -> Any:
        from distributed.scheduler import KilledWorker

        try:
            return future.result(timeout=RESULT_SECONDS)
        except KilledWorker as error:
            raise StageError(
                f"A unit ended {LOSSES + 1} workers of {self.address}; memory may be short: use fewer "
                "threads a worker. What is finished is kept; run the stage again."
            ) from error
        except CancelledError as error:
            raise self._lost(error) from error
        except TimeoutError as error:
            if future.status == "error":  # the unit's own
                raise
            raise _ResultGoneError from error

    def _lost(self, error: BaseException) -> StageError:
        log.debug("lost the scheduler", exc_info=error)
        return StageError(
            f"The Dask scheduler at {self.address} no longer answers; start it anew and run the stage again. "
            "What is finished is kept."
        )


class _ResultGoneError(Exception):
    """A unit ended, and its result does not arrive: the worker that held it is gone."""


class _Patience:
    """How long a run waits for workers: from the last result, or the last time that there was one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.since = self.said = time.monotonic()

    def renew(self) -> None:
        self.since = self.said = time.monotonic()

    def check(self, threads: int) -> None:
        """Raise a StageError where there was no worker for too long; say every while that there is none."""
        now = time.monotonic()
        if threads:
            self.renew()
        elif now - self.since > NO_WORKER_SECONDS:
            raise StageError(
                f"{self.address} has had no worker for {_duration(now - self.since)}; start workers "
                f"(dask worker {self.address}) and run the stage again. What is finished is kept."
            )
        elif now - self.said > SAY_SECONDS:
            self.said = now
            log.warning(
                "%s has had no worker for %s; waiting up to %s for one.",
                self.address, _duration(now - self.since), _duration(NO_WORKER_SECONDS),
            )  # fmt: skip


def _taken(done: "queue.SimpleQueue[Any]") -> Iterator[Any]:
    """Yield what has ended by now; wait a little where nothing has."""
    try:
        yield done.get(timeout=POLL_SECONDS)
        while True:
            yield done.get_nowait()
    except queue.Empty:
        return


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


_NOTHING: Any = object()
