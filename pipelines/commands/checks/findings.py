"""What a check found, and what stands in the way of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pipelines.faults import sentence_of

T = TypeVar("T")


@dataclass
class Findings:
    """What was found, and what stands in the way of a run."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def of(self, step: Callable[[], T]) -> T | None:
        """Return what a step returns; where it fails, note the problem and return None."""
        try:
            return step()
        except Exception as error:
            self.problems += [line for line in [sentence_of(error)[0]] if line not in self.problems]
            return None

    def __str__(self) -> str:
        problems = [f"problem: {problem}" for problem in self.problems]
        many = len(self.problems)
        last = [f"{many} problem{'s' if many > 1 else ''} to mend before a run."] if many else []
        return "\n".join([*self.lines, *problems, *last])
