"""The daily state of every field: what a satellite could see of it."""

from dataclasses import dataclass, fields

import numpy as np

DRY = 0.35  # wetness above which ripe fields are not cut


@dataclass(frozen=True)
class States:
    """Float32 arrays (field, day); day 0 is 1 January of the season.

    `disturbance` is the share of scatterers that an operation (sowing, cut, tillage) moved that day;
    `roughness_db` the extra backscatter of freshly worked soil. `gap` is the share of ground seen between
    plants,
    `standing_dead` the share of the canopy that is straw-coloured.
    """

    leaf_area: np.ndarray
    chlorophyll: np.ndarray
    senescence: np.ndarray
    leaf_angle: np.ndarray
    petals: np.ndarray
    straw: np.ndarray
    gap: np.ndarray
    standing_dead: np.ndarray
    plant_water: np.ndarray
    disturbance: np.ndarray
    roughness_db: np.ndarray

    @classmethod
    def empty(cls, n_fields: int, n_days: int) -> "States":
        """Return bare ground everywhere."""
        return cls(**{field.name: np.zeros((n_fields, n_days), np.float32) for field in fields(cls)})

    def with_others(self, other: "States") -> "States":
        """Return the states of these fields, then of others."""
        names = [field.name for field in fields(self)]
        return States(**{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names})

    def put(self, rows: np.ndarray, part: "States") -> None:
        """Copy the states of some fields into their rows `(field)`."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(part, field.name)


@dataclass(frozen=True)
class Fields:
    """What is fixed about every field for a season, arrays (field,).

    `effect` draws are standard normal, shared in part within a holding: the manager's habits.
    """

    crop: np.ndarray  # class names
    code: np.ndarray  # national codes of what truly grows
    warming_c: np.ndarray  # warmer or colder than the weather station
    capacity_mm: np.ndarray  # water the soil holds
    brightness: np.ndarray  # of the soil, a factor
    timing: np.ndarray
    vigour: np.ndarray
    nitrogen: np.ndarray
    earliness: np.ndarray  # variety
    diligence: np.ndarray  # weeds, gaps, lodging
    roughness: np.ndarray
    scatter: np.ndarray  # rows, stems and slope as the radar sees them
    care: np.ndarray  # the intervention whose promise is kept; "" for none
    ploughed_up: np.ndarray  # permanent grass that is ploughed and sown anew

    def __len__(self) -> int:
        return len(self.crop)

    def with_others(self, other: "Fields") -> "Fields":
        """Return these fields, then others."""
        names = [field.name for field in fields(self)]
        return Fields(**{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names})

    def take(self, rows: np.ndarray) -> "Fields":
        """Return the fields of these rows, `(n)`."""
        return Fields(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the logistic function, of the shape of `x`, without overflow."""
    return (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)
