"""Gradient-boosted trees on single pixels: the quick method, and what the network has to beat."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from features.errors import ModelError
from features.files import write_json
from features.workers import Progress
from models.arrays_file import read_recipe_json
from models.booster_file import read_booster, write_booster
from models.booster_text import BoosterShape
from models.noted_hash import refuse_other_hash
from models.patches.inputs.composites import Composites
from models.patches.inputs.labels import UNKNOWN
from models.patches.inputs.samples import LabelledBlock, class_counts, class_weights
from models.patches.options import PatchOptions

if TYPE_CHECKING:
    from lightgbm import Booster

RECIPE = "model.json"


class PixelBoosting:
    """LightGBM on the composites of a pixel."""

    name = "boosting"
    margin_px = 0  # a pixel is seen by itself

    def __init__(self, options: PatchOptions, classes: tuple[str, ...]) -> None:
        self.options, self.classes = options, classes
        self.booster: Booster | None = None

    def fit(
        self,
        blocks: Sequence[LabelledBlock],
        fold: int | None,
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Learn; see `PixelModel`."""
        import lightgbm

        settings = self.options.boosting
        weights = class_weights(class_counts(blocks, fold, len(self.classes)))
        values, truth = pixel_table(blocks, fold, settings.pixels_per_parcel, seed)
        self.booster = lightgbm.train(
            {
                "objective": "multiclass",
                "num_class": len(self.classes),
                "learning_rate": settings.learning_rate,
                "num_leaves": settings.leaves,
                "feature_fraction": 0.3,
                "max_bin": 63,
                "bagging_fraction": 0.7,
                "bagging_freq": 1,
                "num_threads": self.options.threads,
                "deterministic": True,
                "force_row_wise": True,
                "seed": seed,
                "verbosity": -1,
            },
            lightgbm.Dataset(values, truth, weight=weights[truth]),
            settings.rounds,
        )
        if progress:
            progress(1, 1)
        return self

    def chances(self, composites: Composites, wanted: np.ndarray | None = None) -> np.ndarray:
        """Return chances `(class, y, x)`; see `PixelModel`."""
        if self.booster is None:
            raise ModelError("The trees are not fitted; call fit first, or load a fitted model.")
        known = composites.known if wanted is None else composites.known & wanted
        out = np.full((len(self.classes), *composites.shape), np.nan, np.float32)
        if known.any():
            found = self.booster.predict(rows_of(composites, known), num_threads=self.options.threads)
            out[:, known] = np.asarray(found, np.float32).T
        return out

    def _shape(self, columns: int) -> BoosterShape:
        settings, count = self.options.boosting, len(self.classes)
        return BoosterShape(
            f"multiclass num_class:{count}",
            columns,
            classes=count,
            most_leaves=settings.leaves,
            most_trees=count * settings.rounds,
        )

    def save(self, folder: Path) -> Path:
        """Write LightGBM's text and its hash; see `PixelModel`."""
        if self.booster is None:
            raise ModelError("The trees are not fitted; there is nothing to save.")
        noted = write_booster(folder, "pixels.txt", self.booster)
        said = self.options.model_dump(mode="json")
        return write_json(
            folder / RECIPE,
            {
                "name": self.name,
                "options": said,
                "classes": list(self.classes),
                "columns": self.booster.num_feature(),
                "booster": noted,
            },
        )

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote; see `PixelModel`."""
        path = folder / RECIPE
        if not path.is_file():
            raise ModelError(f"{path} is not there; run `cropcheck compose` to fit the model again.")
        refuse_other_hash(path, sha256)
        recipe = read_recipe_json(path)
        model = cls(PatchOptions(**recipe["options"]), tuple(recipe["classes"]))
        model.booster = read_booster(folder, recipe["booster"], model._shape(int(recipe["columns"])))
        return model


def rows_of(composites: Composites, which: np.ndarray) -> np.ndarray:
    """Return `(pixel, step * band)` of the pixels `which (y, x)`."""
    steps, bands = composites.values.shape[:2]
    return np.ascontiguousarray(composites.values[:, :, which].reshape(steps * bands, -1).T)


def pixel_table(
    blocks: Sequence[LabelledBlock], fold: int | None, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return values `(pixel, step * band)` and classes `(pixel,)`: at most `most` pixels of each parcel and
    block, by chance."""
    rng = np.random.default_rng([seed, 11])
    values, truth = [], []
    for block in blocks:
        label = np.where(block.composites.known, block.labels.without(fold), UNKNOWN)
        chosen = drawn_pixels(label, block.labels.parcel, most, rng)
        values.append(rows_of(block.composites, chosen))
        truth.append(label[chosen])
    return np.concatenate(values), np.concatenate(truth).astype(np.int64)


def drawn_pixels(label: np.ndarray, parcel: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return which pixels `(y, x)` bool of those with a label are drawn: at most `most` of each parcel."""
    at = np.flatnonzero(label.ravel() != UNKNOWN)
    at = at[rng.permutation(len(at))]
    owner = parcel.ravel()[at]
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], owner[order], side="left")
    chosen = np.zeros(label.size, bool)
    chosen[at[order[np.arange(len(order)) - first < most]]] = True
    return chosen.reshape(label.shape)
