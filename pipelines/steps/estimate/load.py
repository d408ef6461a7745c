"""How much a run has to do: parcels, pixels, dates and features."""

from collections import Counter
from dataclasses import dataclass

import polars as pl

from features.schema import acquisition_rows, assets_by_band
from features.simulate.options import SimulationOptions
from pipelines.config import RunConfig

BLOCKS_PER_PARCEL_AREA = 1.6  # blocks are read whole, parcels fill about 60% of them
LISTED_SHARE = 0.1  # of the parcels that come on the follow-up list
FITS_PER_FOLD = 1.6  # with those that weigh models against each other


@dataclass(frozen=True)
class Load:
    """How much there is to do."""

    parcels: int
    hectares: float
    acquisitions: int
    frames: int  # optical acquisitions
    deepest: int  # those of the tile that has most
    simulated: int  # acquisitions that are still to be made
    bands: int  # over all acquisitions
    features: int  # over all acquisitions
    steps: int
    channels: int  # features of the series, orbits apart

    @property
    def megapixels(self) -> float:
        """Pixels of 10 m in the blocks that are read."""
        return self.hectares * 100 / 1e6 * BLOCKS_PER_PARCEL_AREA


NOTHING = Load(0, 0.0, 0, 0, 0, 0, 0, 0, 0, 0)


def load_of(config: RunConfig, acquisitions: pl.DataFrame, parcels: int, hectares: float) -> Load:
    """Return how much work a table of acquisitions means."""
    rows = acquisition_rows(acquisitions)
    days = (config.season.end - config.season.start).days
    return Load(
        parcels=parcels,
        hectares=hectares,
        acquisitions=len(rows),
        frames=sum(row["sensor"] == "s2" for row in rows),
        deepest=max(Counter(row["tile"] for row in rows if row["sensor"] == "s2").values(), default=0),
        simulated=0,
        bands=sum(len(assets_by_band(row)) for row in rows),
        features=sum(len(config.extract.features_of(row["sensor"])) for row in rows),
        steps=max(days // 10, 1),
        channels=_channels(config),
    )


def load_of_tables(config: RunConfig, parcels: int, dates: int, features: int) -> Load:
    """Return how much work series mean that others extracted: on so many dates, with so many features."""
    days = (config.season.end - config.season.start).days
    return Load(
        parcels=parcels,
        hectares=0.0,
        acquisitions=0,
        frames=0,
        deepest=0,
        simulated=0,
        bands=0,
        features=dates * features,
        steps=max(days // 10, 1),
        channels=features,
    )


def load_of_simulation(config: RunConfig, simulate: SimulationOptions) -> Load:
    """Return how much work a region means that is still to be made."""
    months = simulate.last_month - simulate.first_month + 1
    optical = months * 30.4 / simulate.optical_revisit_days
    radar = months * 30.4 / simulate.radar_revisit_days * len(simulate.radar_orbits)
    return Load(
        parcels=simulate.n_parcels,
        hectares=simulate.n_parcels * simulate.median_ha * 1.3,
        acquisitions=round(optical + radar),
        frames=round(optical),
        deepest=round(optical),
        simulated=round(optical + radar),
        bands=round(optical * 11 + radar * (4 if simulate.coherence else 2)),
        features=round(optical * len(config.extract.optical) + radar * len(config.extract.radar)),
        steps=round(months * 3),
        channels=_channels(config),
    )


def _channels(config: RunConfig) -> int:
    return len(config.extract.optical) + 2 * len(config.extract.radar)  # of two orbits


def learned_of(config: RunConfig, load: Load) -> dict[str, float]:
    """Return how many thousand parcels stages learn from."""
    most = {"train": config.train.sample.size, "forecast": config.forecast.most_parcels}
    return {name: min(load.parcels, size) / 1e3 for name, size in most.items()}


def inputs_of(config: RunConfig, load: Load) -> int:
    """Return how many inputs models have of a step."""
    return load.channels * len(config.series.statistics)


def pictured_sheets(config: RunConfig, load: Load) -> float:
    """Return about how many sheets show pictures; series of tables have none."""
    return min(config.publish.max_sheets, load.parcels * LISTED_SHARE) if load.frames else 0.0
