"""When the satellites pass over the region."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from features.simulate.options import SimulationOptions
from features.simulate.randomness import generator
from features.simulate.region.stac import OPTICAL, RADAR

OPTICAL_ORBIT = 51
OPTICAL_HOUR = time(10, 50, 31)
DESCENDING_HOUR, ASCENDING_HOUR = time(5, 58, 12), time(17, 25, 46)


@dataclass(frozen=True)
class Scene:
    """One acquisition to be made; `orbit` counts the radar orbits, even ones descend."""

    collection: str
    item_id: str
    when: datetime
    platform: str
    relative_orbit: int
    orbit: int = 0

    @property
    def item_path(self) -> str:
        """Where its item lies below the catalog."""
        return f"{self.collection}/{self.item_id}/{self.item_id}.json"


def plan_scenes(options: SimulationOptions, season: int, seed: int, tile: str) -> tuple[list[Scene], int]:
    """Return the season's published scenes in order of time, and how many optical passes were never
    published.
    """
    first = date(season, options.first_month, 1)
    last = (date(season, options.last_month, 1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    lost = generator(seed, "lost scenes", season).random(len(days)) < options.optical_loss
    revisit = options.optical_revisit_days
    passes = range(int(generator(seed, "optical phase").integers(0, revisit)), len(days), revisit)
    scenes = [_optical(days[k], "AB"[k // revisit % 2], tile) for k in passes if not lost[k]]
    for orbit in range(len(options.radar_orbits)):
        scenes.extend(_radar_scenes(options, orbit, days, tile))
    return sorted(scenes, key=lambda scene: scene.when), int(sum(lost[k] for k in passes))


def _optical(day: date, satellite: str, tile: str) -> Scene:
    item_id = f"S2{satellite}_{tile}_{day:%Y%m%d}_0_L2A"
    when = datetime.combine(day, OPTICAL_HOUR)
    return Scene(OPTICAL, item_id, when, f"sentinel-2{satellite.lower()}", OPTICAL_ORBIT)


def _radar_scenes(options: SimulationOptions, orbit: int, days: list[date], tile: str) -> list[Scene]:
    """Return one orbit's passes; orbits pass on different days."""
    revisit, number = options.radar_revisit_days, options.radar_orbits[orbit]
    scenes = []
    for k in range((2 * orbit + 1) % revisit, len(days), revisit):
        when = datetime.combine(days[k], ASCENDING_HOUR if orbit % 2 else DESCENDING_HOUR)
        satellite = "AB"[k // revisit % 2]
        item_id = f"S1{satellite}_IW_{tile}_{when:%Y%m%dT%H%M%S}_{number:03d}"
        scenes.append(Scene(RADAR, item_id, when, f"sentinel-1{satellite.lower()}", number, orbit))
    return scenes
