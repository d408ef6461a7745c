"""Where work units run, as seen from the units: any function that maps another over them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # told how many units are done, and how many there are


class Executor(Protocol):
    """Runs a function over work units and yields the results as they come, in any order."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield one result per item."""
        ...


def one_by_one(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Run units one after another in this process."""
    return map(function, items)
