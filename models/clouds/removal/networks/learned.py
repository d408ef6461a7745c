"""What the networks share: training, errors where nothing was learnt, storing."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from features.errors import ModelError
from features.files import fingerprint
from features.workers import Progress, next_ahead
from models.backend import lent
from models.clouds.removal.cube import Cube
from models.clouds.removal.error_units import UNIT
from models.clouds.removal.hiding import NOTHING_CLEAR, hide
from models.clouds.removal.inputs.channels import InputChannels
from models.clouds.removal.inputs.windows import FRAMES_PER_WINDOW, SAMPLES, Batch, Windows, make_batch
from models.clouds.removal.intervals import GAP_EDGES, Residuals
from models.clouds.removal.neighbours import gap_to_clear
from models.clouds.removal.networks.frames import correct_frames
from models.clouds.removal.networks.layers import Loss, make_loss
from models.clouds.removal.networks.training import OnEpoch, Plan, State, compile_network, train
from models.clouds.removal.options import CloudRemovalOptions
from models.clouds.removal.remover import describe

CALIBRATION_WINDOWS = 80  # at least so many are hidden anew, some more than once where they are few


class Learned(ABC):
    """A network that corrects the interpolation in time.

    Attributes
    ----------
    history
        After `learn`: one row an epoch, `epoch, loss, validation_mae, linear_mae, seconds, judged_mae`.
    """

    name: str
    margin_px: int = 0

    def __init__(self, options: CloudRemovalOptions) -> None:
        self.options = options
        self.channels: InputChannels | None = None
        self.model: keras.Model = None
        self.history: list[dict[str, float]] = []

    @abstractmethod
    def network(self, channels: InputChannels) -> keras.Model:
        """Return the Keras model for these channels."""

    def begin(self, channels: InputChannels) -> None:
        """Make the network, its weights drawn with the seed."""
        self.channels = channels
        keras.utils.set_random_seed(self.options.seed)
        self.model = self.network(channels)

    def learn(
        self,
        windows: Windows,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        """Train the network."""
        self.history = self._train(windows, checkpoint, progress, on_epoch).history

    def predict(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return reflectance and uncalibrated sigma, `(n, y, x, band)` each, at the network's resolution."""
        bands = len(self.channels.bands)  # type: ignore[union-attr]
        out = np.asarray(self.model.predict_on_batch([lent(part) for part in inputs]))
        return out[..., :bands], np.exp(out[..., bands:]) * UNIT

    def meta(self) -> dict[str, Any]:
        """Return what rebuilds the network, JSON-ready.

        Raises
        ------
        ModelError
            Where the method is not fitted.
        """
        if self.channels is None:
            raise ModelError(f"{self.name} is not fitted; there is nothing to save.")
        return {
            "name": self.name,
            "options": self.options.model_dump(mode="json"),
            "channels": describe(vars(self.channels)),
            "history": [{name: row[name] for name in row if name != "seconds"} for row in self.history],
        }

    @classmethod
    def rebuilt(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Return the network described by `meta` and the arrays `weight0, weight1, …`, in the shapes that
        `weights` returned.
        """
        model = cls(CloudRemovalOptions(**meta["options"]))
        stored = meta["channels"]
        listed = {name: tuple(stored[name]) for name in ("bands", "context", "constant")}
        moments = tuple((float(mean), float(spread)) for mean, spread in stored["moments"])
        model.channels = InputChannels(**{**stored, **listed, "moments": moments})
        model.history = meta["history"]
        model.model = model.network(model.channels)
        model.restore([arrays[f"weight{k}"] for k in range(sum(n.startswith("weight") for n in arrays))])
        return model

    def weights(self) -> list[np.ndarray]:
        """Return the weight arrays to store, each of its own shape."""
        return list(self.model.get_weights())

    def restore(self, weights: list[np.ndarray]) -> None:
        """Set stored weight arrays, of the shapes that `weights` returned.

        Raises
        ------
        ModelError
            Where they do not fit it.
        """
        try:
            self.model.set_weights(weights)
        except ValueError as error:
            raise ModelError(f"The stored weights do not fit {self.name} as configured: {error}") from error
        compile_network(self.model, None, 1e-3, 1)

    def _train(
        self, windows: Windows, folder: Path | None, progress: Progress | None, on_epoch: OnEpoch | None
    ) -> State:
        options, channels = self.options, self.channels
        assert channels is not None
        held = make_batch(windows, True, channels, options, np.random.default_rng([options.seed, 1]))
        steps = -(-max(SAMPLES, FRAMES_PER_WINDOW * len(windows.train)) // options.batch_size)
        self.prepare(windows)
        compile_network(self.model, self.loss(), options.learning_rate, options.epochs * steps)

        def draw(number: int) -> tuple[Batch, np.random.Generator]:
            rng = np.random.default_rng([options.seed, 2, number])
            return make_batch(windows, False, channels, options, rng), rng

        plan = Plan(options.epochs, options.patience, options.seconds, folder, self._mark(windows))
        with next_ahead(draw, options.epochs) as drawn:
            epoch_of, validate = lambda k: self.epoch(*drawn(k)), lambda: self._figures(held)
            return train(self.model, epoch_of, validate, plan, progress, on_epoch)

    def prepare(self, windows: Windows) -> None:  # noqa: B027 - most have nothing to do
        """Train what must be ready before the epochs; nothing by default."""

    def loss(self) -> Loss:
        """Return the training loss."""
        assert self.channels is not None
        return make_loss(self.channels.bands, self.options.loss, self.options.ndvi_weight)

    def epoch(self, batch: Batch, rng: np.random.Generator) -> float:
        """Train on each sample once; returns the mean loss."""
        size = self.options.batch_size
        losses = []
        for start in range(0, len(batch), size):
            index = np.arange(start, start + size) % len(batch)  # one shape of batch: the last wraps round
            part = batch.part(index).turned(int(rng.integers(4)), bool(rng.integers(2)))
            losses.append(float(self.step(part, rng)))
        if not np.isfinite(losses).all():
            raise ModelError("Training diverged: the loss is not finite; lower clear.learning_rate.")
        return float(np.mean(losses))

    def step(self, part: Batch, rng: np.random.Generator) -> float:
        """Train on one batch."""
        return float(self.model.train_on_batch(part.inputs, part.truth))

    def _figures(self, held: Batch) -> dict[str, float]:
        value, _ = self._predict_all(held)
        weight = held.truth[..., -2] > 0
        truth = held.truth[..., : value.shape[-1]]
        error, linear = np.abs(value - truth)[weight], np.abs(held.base - truth)[weight]
        return {"validation_mae": float(error.mean()), "linear_mae": float(linear.mean())}

    def _predict_all(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        size = max(1, self.options.batch_size)
        parts = []
        for start in range(0, len(batch), size):
            index = np.arange(start, start + size) % len(batch)
            parts.append(
                [array[: min(size, len(batch) - start)] for array in self.predict(batch.part(index).inputs)]
            )
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def residuals(self, windows: Windows) -> Residuals:
        """Return how far off the network is where it did not learn, hidden anew, by the whole way to the
        imagery's own pixels."""
        found, dates = [], set()
        places = windows.calibration()
        for draw in range(-(-CALIBRATION_WINDOWS // len(places))):
            rng = np.random.default_rng([self.options.seed, 3, draw])
            for cube, frames in places:
                hidden = hide(cube.clear, rng, self.options.hidden_share, frames)
                dates.update(cube.days[hidden.any(axis=(1, 2))].tolist())
                found += list(self._residuals(cube, hidden))
        if not found:
            raise ModelError(
                "Nothing could be hidden to calibrate sigma on; widen the season or add imagery.",
                reason=NOTHING_CLEAR,
            )
        error, sigma, gaps = (np.concatenate([part[k] for part in found]) for k in range(3))
        return Residuals(error, sigma, gaps, frozenset(dates))

    def _residuals(
        self, cube: Cube, hidden: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield residuals and uncalibrated sigma `(n, band)`, and gaps `(n,)`, of each frame's hidden
        pixels."""
        kept = cube.without(hidden)
        ones = np.ones((len(GAP_EDGES) + 1, len(cube.bands)))
        gaps = gap_to_clear(kept.clear, kept.days)
        wanted = np.flatnonzero(hidden.any(axis=(1, 2)))
        assert self.channels is not None
        reduction = self.options.reduction
        for frame, value, sigma in correct_frames(kept, wanted, self.channels, reduction, self.predict, ones):
            known = hidden[frame] & np.isfinite(value).all(axis=0)
            residual = value - cube.reflectance[frame]
            yield residual[:, known].T, sigma[:, known].T, gaps[frame][known]

    def _mark(self, windows: Windows) -> str:
        data = [
            [float(np.nansum(c.reflectance)), int(c.clear.sum()), *_beside(c)]
            for c in windows.train + windows.validate
        ]
        return fingerprint({"options": self.options.model_dump(mode="json"), "data": data})


def _beside(cube: Cube) -> list[float]:
    """Sums of what a cube holds beside imagery."""
    parcels = [] if cube.parcels is None else [float(cube.parcels.sum())]
    return [float(np.nansum(cube.context[name])) for name in sorted(cube.context)] + parcels
