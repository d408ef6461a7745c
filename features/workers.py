"""Types of the executors and of progress reports, and helpers for threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # called with the number of units done and the number of all units


class Executor(Protocol):
    """Runs a function over work units and yields the results as they come, in any order."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield one result per item."""
        ...


@contextmanager
def lent(executor: Executor | None) -> Iterator[Executor]:
    """Yield an executor, the plain loop where there is none, and close it: its processes hold memory that
    what comes next needs.
    """
    try:
        yield executor or one_by_one
    finally:
        close = getattr(executor, "close", None)
        if close is not None:
            close()


def one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Run units one after another in this process."""
    return map(function, items)


def in_threads(threads: int) -> Executor:
    """Return an executor that runs so many units side by side in this process."""

    def run(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    return run


def one_ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Run units in the pool and yield the results in order; the next unit runs while a result is used, and
    while the one after it is made."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > 1:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def next_ahead(function: Callable[[int], Result], count: int) -> Iterator[Callable[[int], Result]]:
    """Give what a function makes of a number below `count`; that of the next is made meanwhile."""
    made: dict[int, Future[Result]] = {}
    with ThreadPoolExecutor(1) as pool:

        def of(number: int) -> Result:
            for coming in range(number, min(number + 2, count)):
                if coming not in made:
                    made[coming] = pool.submit(function, coming)
            return made.pop(number).result()

        yield of


@lru_cache(maxsize=4)
def pool_of(threads: int) -> ThreadPoolExecutor:
    """This process's pool of so many threads, kept from unit to unit.

    A pool a unit would bring new threads, each of them a heap of its own in the C library: memory that is
    free but not given back would grow from date to date.
    """
    return ThreadPoolExecutor(threads)
