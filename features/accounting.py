"""In = out + set aside, by reason: the sum every stage must balance."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from features.errors import StageError


@dataclass(frozen=True)
class Tally:
    """What a stage took in, gave out and set aside.

    Examples
    --------
    >>> print(Tally("extract", "acquisitions", came_in=3, went_out=2, set_aside={"unreadable": 1}))
    extract: 3 acquisitions in, 2 out, 1 set aside (unreadable 1)
    """

    stage: str
    unit: str
    came_in: int
    went_out: int
    set_aside: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.came_in != self.went_out + self.lost:
            raise StageError(
                f"{self.stage} took in {self.came_in} {self.unit} but accounts for {self.went_out} out "
                f"and {self.lost} set aside; this is a fault of cropcheck, please report it."
            )

    @property
    def lost(self) -> int:
        """How many were set aside, whatever the reason."""
        return sum(self.set_aside.values())

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.set_aside.items()))
        tail = f" ({reasons})" if reasons else ""
        counts = f"{self.came_in} {self.unit} in, {self.went_out} out, {self.lost} set aside"
        return f"{self.stage}: {counts}{tail}"


def tally(stage: str, unit: str, reasons: Iterable[str | None]) -> Tally:
    """Count one entry per thing that came in: None went out, a string was set aside for that reason.

    Examples
    --------
    >>> tally("read", "parcels", [None, None, "empty_geometry"]).set_aside
    {'empty_geometry': 1}
    """
    counts = Counter(reasons)
    went_out = counts.pop(None, 0)
    set_aside = {str(reason): count for reason, count in sorted(counts.items(), key=str)}
    return Tally(stage, unit, went_out + sum(set_aside.values()), went_out, set_aside)
