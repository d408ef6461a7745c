"""Peak memory of every stage on two sizes of one region, each stage in a process of its own.

`python -m tests.memory_by_stage FOLDER [FEW MANY]` makes a generated country of both sizes in FOLDER, runs
all stages with far less memory allowed than any machine has, so that chunks are as small as they get, and
ends with 1 where a parcel more adds more than BYTES_A_PARCEL to the peak of a stage. `test_bounded_memory`
does so with the first stages of two small regions.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.country import STAGES, measured, write_country

# more at the peak for each parcel more: its series alone are 30 kB as numbers, its observations 80 kB
BYTES_A_PARCEL = 24e3
MEMORY = "64MiB"
LIGHT = [
    "train.models={lightgbm: {rounds: 5}}", "train.sample.size=400", "train.sample.rare=10",
    "train.chunk=500",
    "train.explanation.permutation=false", "train.explanation.parcels=50", "train.explanation.forest_trees=0",
    "events.chunk=100", "forecast.chunk=500", "forecast.most_parcels=400", "forecast.rounds=5",
    "forecast.most_samples=4000", "publish.max_sheets=20", "series.chunk_parcels=500",
    "judge.season_parcels=400", "publish.pictures=false",
]  # fmt: skip
FEW, MANY = 5_000, 20_000  # of tables, 4,000 parcels are read at a time


def grown(folder: Path, few: int, many: int, stages: Sequence[str] = STAGES) -> dict[str, float]:
    """Return the bytes that a parcel more adds to the peak of each stage."""
    peaks: dict[tuple[str, int], float] = {}
    for parcels in (few, many):
        config = write_country(folder / str(parcels), parcels)
        for stage in stages:
            rows = measured(stage, config, folder / str(parcels) / "run", LIGHT, parcels, MEMORY)
            found = {row["metric"]: row["value"] for row in rows}
            peaks[stage, parcels] = found[f"peak_gib_{stage}"] * 2**30
    return {stage: (peaks[stage, many] - peaks[stage, few]) / (many - few) for stage in stages}


def main() -> int:
    """Run all stages, print, and return 1 where one holds what grows with the region."""
    sizes = [int(word) for word in sys.argv[2:]] or [FEW, MANY]
    each = grown(Path(sys.argv[1]).absolute(), *sizes)
    for stage, more in each.items():
        print(f"{stage:<12}{more / 1e3:8.1f} kB a parcel")
    return int(max(each.values()) > BYTES_A_PARCEL)


if __name__ == "__main__":
    sys.exit(main())
