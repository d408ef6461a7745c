"""Chances of a pixel's class given its delivered scene class, learned from how both occur together."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from models.clouds.mask.classes import from_scene_class

TRUST = 0.5  # exponent of their likelihood: they err where the other masks do, too
LEAST = 0.01  # share below which none is told from another


@dataclass(frozen=True)
class SceneCodes:
    """How often each delivered class goes with each class of a mask, `(class, delivered)`; rows sum to 1.

    No label is needed: the mask's chances stand for the truth (Dawid and Skene 1979, one step).
    """

    shares: np.ndarray

    @classmethod
    def fit(cls, delivered: np.ndarray, chances: np.ndarray) -> Self | None:
        """Count delivered classes `(pixel,)` with chances `(class, pixel)`; None without any."""
        found = from_scene_class(delivered)
        known = (found < 4) & np.isfinite(chances[0])
        if not known.any():
            return None
        counts = np.stack([chances[:, known & (found == code)].sum(axis=1) for code in range(4)], axis=1)
        return cls(((counts + 1) / (counts + 1).sum(axis=1, keepdims=True)).astype(np.float32))

    def joined(self, chances: np.ndarray, delivered: np.ndarray) -> np.ndarray:
        """Return chances `(class, y, x)` in the light of the delivered classes `(y, x)`; as they were where
        nothing was delivered.

        Examples
        --------
        >>> codes = SceneCodes(np.array([[0.9, 0, 0, 0.1], [1, 0, 0, 0], [1, 0, 0, 0], [0.1, 0, 0, 0.9]]))
        >>> chances = np.array([0.5, 0, 0, 0.5]).reshape(4, 1, 1)
        >>> codes.joined(chances, np.array([[9]])).ravel().round(2).tolist()
        [0.25, 0.0, 0.0, 0.75]
        """
        found = from_scene_class(delivered)
        known = found < 4
        likelihood = np.maximum(self.shares, LEAST)[:, np.where(known, found, 0)] ** TRUST
        out = np.where(known, chances * likelihood, chances)
        return np.asarray(out / out.sum(axis=0), np.float32)
