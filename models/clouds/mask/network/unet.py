"""The fitted network as a mask: one date at a time, and stored without pickle."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from features.errors import ModelError
from features.workers import Progress, pool_of
from models.backend import bring_up
from models.clouds.mask.frames import FOR_SNOW, NEAR_INFRARED, Frames
from models.clouds.mask.network.inputs import CHANNELS, bands_of, channels
from models.clouds.mask.network.samples import Sample
from models.clouds.mask.options import MaskNetworkOptions
from models.clouds.removal.bundle import read_bundle, write_bundle

MULTIPLE = 8
THREADS = 2
BATCH_PX = 150_000  # pixels that are predicted at a time


class UNetMask:
    """U-Net on one date.

    Attributes
    ----------
    options
        Of the network; `width` decides its size.
    history
        Mean loss of every epoch.
    """

    name = "unet"
    margin_px = 32
    needs = (("B02",), ("B03",), ("B04",), NEAR_INFRARED)
    uses = (*FOR_SNOW, "B12")

    def __init__(self, options: MaskNetworkOptions) -> None:
        self.options = options
        self.history: list[float] = []
        self.model: Any = None
        self._compiled: Any = None  # for the fast runtime, of the weights as they are

    def fit(self, samples: Sequence[Sample], seed: int, progress: Progress | None = None) -> Self:
        """Learn from windows of one size; from where it stands, more slowly, if it has learned before."""
        self._ready()
        self._compiled = None
        from models.clouds.mask.network.training import train_network

        rate = self.options.learning_rate * (self.options.further_rate if self.history else 1)
        options = self.options.model_copy(update={"learning_rate": rate})
        self.history += train_network(self.model, samples, options, seed, progress)
        return self

    def _ready(self) -> None:
        if self.model is None:
            bring_up()
            import keras

            from models.clouds.mask.network.architecture import build_network

            keras.utils.set_random_seed(0)
            self.model = build_network(self.options.width, CHANNELS)

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`, NaN where blue, red or near infrared are unknown."""
        for group in self.needs:
            frames.band(*group)
        self._ready()
        values = bands_of(frames)
        predict = self._fast() if self.options.fast else self._plain()
        top, (height, width) = frames.level == "L1C", frames.shape
        batch = max(1, BATCH_PX // (height * width))

        def some(dates: np.ndarray) -> np.ndarray:
            found = predict(_padded(np.stack([channels(date, top) for date in dates])))[:, :height, :width]
            grown = np.exp(found - found.max(axis=-1, keepdims=True))
            out = np.moveaxis(grown / grown.sum(axis=-1, keepdims=True), -1, 1)
            out = np.where(np.isnan(dates[:, :4]).any(axis=1)[:, None], np.nan, out)
            return np.asarray(out, np.float32)

        parts = [values[start : start + batch] for start in range(0, len(values), batch)]
        for found in self._beside(some, parts):
            yield from found

    def _beside(self, some: Any, parts: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Predict parts at a time; JAX gives a network's weights to one prediction at a time."""
        import keras

        if self.options.fast or keras.backend.backend() == "tensorflow":
            return pool_of(THREADS).map(some, parts)
        return map(some, parts)

    def _plain(self) -> Any:
        self.model.make_predict_function()  # once, before threads ask for it
        return self.model.predict_on_batch

    def _fast(self) -> Any:
        if self._compiled is None:
            from models.clouds.mask.network.fast import compiled

            self._compiled = compiled(self.model)
        return self._compiled

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights by name, each of its layer's shape."""
        return {f"weight{k}": array for k, array in enumerate(self.model.get_weights())}

    def save(self, folder: Path) -> Path:
        """Write JSON and arrays; return the path of the JSON."""
        if self.model is None:
            raise ModelError("The mask's network is not fitted; there is nothing to save.")
        said = self.options.model_dump(mode="json", exclude={"pretrained", "tiles"})
        return write_bundle(
            folder, {"name": self.name, "options": said, "history": self.history}, self.weights()
        )

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Read what `save` wrote; hashes are checked before anything is parsed.

        Raises
        ------
        ModelError
            Where a file is absent or altered, or is no network of a mask.
        """
        meta, arrays = read_bundle(folder, sha256)
        return cls.of(meta, arrays, str(folder))

    @classmethod
    def of(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray], where: str) -> Self:
        """Return the network that a bundle describes; arrays of the shapes of `weights`."""
        if meta.get("name") not in ("unet", "combined"):
            raise ModelError(f"{where} holds {meta.get('name')!r}, which is no network of a cloud mask.")
        try:
            mask = cls(MaskNetworkOptions(**meta["options"]))
            mask.history = [float(loss) for loss in meta["history"]]
            mask._ready()
            count = sum(name.startswith("weight") for name in arrays)
            mask.model.set_weights([arrays[f"weight{k}"] for k in range(count)])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{where} does not describe a network that could be rebuilt ({error!r:.300}); train it again."
            ) from error
        return mask


def _padded(inputs: np.ndarray) -> np.ndarray:
    pad = [(0, -size % MULTIPLE) for size in inputs.shape[1:3]]
    return np.pad(inputs, [(0, 0), *pad, (0, 0)], mode="edge") if pad != [(0, 0), (0, 0)] else inputs
