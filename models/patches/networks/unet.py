"""The fitted U-Net as a model of pixels, stored without pickle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from features.errors import ModelError
from features.imagery.blocks import Block, cut
from features.workers import Progress
from models.backend import bring_up
from models.clouds.removal.bundle import read_bundle, write_bundle
from models.patches.inputs.composites import Composites, channels
from models.patches.inputs.samples import LabelledBlock
from models.patches.options import PatchOptions

BETWEEN_SEEDS = 1_000_003  # of the members of a network
WINDOW = 256  # pixels of a side, predicted at a time
GRID = 16  # windows begin at its multiples, where the levels of every U meet
SIZES = 64  # sides are padded to multiples: the network is compiled anew for every size it meets


class PatchUNet:
    """U-Net on patches of composites; several of them where `members` says so.

    Attributes
    ----------
    history
        Mean loss of every epoch, of one member after the other.
    weights
        Of each member.
    """

    name = "unet"

    def __init__(
        self, options: PatchOptions, classes: tuple[str, ...], start: Sequence[np.ndarray] | None = None
    ) -> None:
        self.options, self.classes = options, classes
        self.start = start  # weights of the trunk to begin from, learned without labels
        self.history: list[float] = []
        self.weights: list[list[np.ndarray]] = []
        self.shape: tuple[int, int] | None = None  # steps and features, known once it learns
        self.model: Any = None

    @property
    def margin_px(self) -> int:
        """Pixels around a block that it looks at."""
        return self.options.network.reach_px

    def fit(
        self,
        blocks: Sequence[LabelledBlock],
        fold: int | None,
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Learn; see `PixelModel`."""
        steps, bands = blocks[0].composites.values.shape[:2]
        count = self.options.network.members
        self.weights, self.history = [], []
        for member in range(count):
            of_all = progress and _within(progress, member, count)
            self._fit_member(blocks, fold, seed + member * BETWEEN_SEEDS, (steps, bands + 1), of_all)
        return self

    def _fit_member(
        self,
        blocks: Sequence[LabelledBlock],
        fold: int | None,
        seed: int,
        shape: tuple[int, int],
        progress: Progress | None,
    ) -> None:
        self._build(shape, seed)
        if self.start is not None:  # all weights but those of the last layer
            self.model.set_weights([*self.start, *self.model.get_weights()[len(self.start) :]])
        from models.patches.networks.training import train_network

        self.history += train_network(
            self.model,
            blocks,
            fold,
            len(self.classes),
            self.options.network,
            seed,
            multi=self.options.labels == "multi",
            progress=progress,
        )
        self.weights.append(self.model.get_weights())

    def _build(self, shape: tuple[int, int], seed: int = 0) -> None:
        bring_up()
        import keras

        from models.patches.networks.architecture import build_network

        self.shape = shape
        keras.utils.set_random_seed(seed)
        temporal = self.options.input == "temporal"
        self.model = build_network(self.options.network, *shape, len(self.classes), temporal)

    def chances(self, composites: Composites, wanted: np.ndarray | None = None) -> np.ndarray:
        """Return chances `(class, y, x)`; see `PixelModel`."""
        if not self.weights:
            raise ModelError("The network is not fitted; call fit first, or load a fitted model.")
        height, width = composites.shape
        known = composites.known if wanted is None else composites.known & wanted
        if not known.any():
            return np.full((len(self.classes), height, width), np.nan, np.float32)
        inputs = channels(composites)
        if inputs.shape[2:] != self.shape:
            raise ModelError(
                f"The network takes {self.shape} steps and features, the imagery gives {inputs.shape[2:]}; "
                "use the config that it was trained with."
            )
        found = np.full((len(self.classes), height, width), np.nan, np.float32)
        for place in cut((height, width), self._side):
            if known[place.rows, place.columns].any():
                found[:, place.rows, place.columns] = self._of_window(inputs, place)
        return np.where(known, found, np.nan)

    @property
    def _margin(self) -> int:
        """Pixels around a window that is predicted: the reach at least, and a multiple of GRID."""
        return -(-self.margin_px // GRID) * GRID

    @property
    def _side(self) -> int:
        """Pixels of a window that is predicted at a time, so that memory does not grow with a block."""
        return max(WINDOW - 2 * self._margin, 4 * GRID)

    def _of_window(self, inputs: np.ndarray, place: Block) -> np.ndarray:
        """Return chances `(class, y, x)` of a part of channels `(y, x, step, feature)`."""
        around = place.widened(self._margin, inputs.shape[:2])
        part = inputs[around.rows, around.columns]
        pad = [(0, -size % SIZES) for size in part.shape[:2]]
        padded = np.pad(part, [*pad, (0, 0), (0, 0)], mode="edge")
        own = place.within(around)
        total = np.zeros((len(self.classes), *place.shape), np.float32)
        for weights in self.weights:
            if len(self.weights) > 1:
                self.model.set_weights(weights)
            logits = np.asarray(self.model.predict_on_batch(padded[None]))[0, own.rows, own.columns]
            total += self._of_logits(logits) / np.float32(len(self.weights))
        return total

    def _of_logits(self, logits: np.ndarray) -> np.ndarray:
        """Return chances `(class, y, x)` of logits `(y, x, class)`."""
        if self.options.labels == "multi":
            grown = 1 / (1 + np.exp(-logits))
        else:
            grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.moveaxis(grown / grown.sum(axis=-1, keepdims=True), -1, 0)

    def save(self, folder: Path) -> Path:
        """Write JSON and arrays; see `PixelModel`."""
        if not self.weights:
            raise ModelError("The network is not fitted; there is nothing to save.")
        meta = {
            "name": self.name,
            "options": self.options.model_dump(mode="json"),
            "classes": list(self.classes),
            "shape": list(self.shape or ()),
            "history": self.history,
        }
        arrays = [array for weights in self.weights for array in weights]
        weights = {f"weight{k}": array for k, array in enumerate(arrays)}
        return write_bundle(folder, meta, weights)

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote; see `PixelModel`."""
        meta, arrays = read_bundle(folder, sha256, "compose")
        if meta.get("name") != cls.name:
            raise ModelError(f"{folder} holds {meta.get('name')!r}, which is no network on patches.")
        model = cls(PatchOptions(**meta["options"]), tuple(meta["classes"]))
        steps, features = meta["shape"]
        model._build((steps, features))
        model.history = list(meta["history"])
        try:
            stored = [arrays[f"weight{k}"] for k in range(len(arrays))]
            each = len(model.model.get_weights())
            model.weights = [stored[k : k + each] for k in range(0, len(stored), each)]
            for weights in model.weights:
                model.model.set_weights(weights)
        except (ValueError, KeyError) as error:
            raise ModelError(f"The weights in {folder} do not fit the network they name: {error}") from error
        return model


def _within(progress: Progress, member: int, count: int) -> Progress:
    return lambda part, parts: progress(member * parts + part, count * parts)
