"""How large the quality sample is."""

import math

from pydantic import Field

from features.options import Options

PER_HOLDING = 3


class SampleOptions(Options):
    """How many parcels of each intervention are visited."""

    share: float = Field(0.05, gt=0, le=1, description="Share of the parcels of a small intervention.")
    small_below: int = Field(6_000, ge=1, description="Interventions with fewer parcels are small.")
    large_size: int = Field(300, ge=1, description="Parcels drawn from a large intervention.")
    per_holding: int = Field(
        PER_HOLDING,
        ge=1,
        description="Parcels that a holding brings into an intervention's sample when it is met.",
    )
    holdings_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Visit at most this share of all holdings; the sample may then fall short.",
    )

    def size(self, parcels: int) -> int:
        """Return how many of a stratum's parcels are drawn, rounded up.

        Examples
        --------
        >>> [SampleOptions().size(n) for n in (1, 100, 5_999, 6_000, 90_000)]
        [1, 5, 300, 300, 300]
        """
        return math.ceil(round(self.share * parcels, 9)) if parcels < self.small_below else self.large_size
