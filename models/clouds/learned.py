"""What the learned methods share: windows, training, calibration of sigma, filling, storing."""

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import keras
import numpy as np
import xarray as xr

from features.errors import ModelError
from features.files import fingerprint
from models.clouds.bundle import read_bundle, write_bundle
from models.clouds.coarse import Detail, coarsen, whole_blocks
from models.clouds.cube import Cube, trusted
from models.clouds.haze import usable
from models.clouds.hiding import hide
from models.clouds.inputs import Frames, Recipe
from models.clouds.intervals import GAP_EDGES, GapSigma, conformal_factor, gap_bin, widening
from models.clouds.layers import UNIT, make_loss
from models.clouds.neighbours import gap_to_clear
from models.clouds.options import ClearOptions
from models.clouds.recipes import check_context, make_recipe
from models.clouds.remover import Progress, Remover, check_same_bands, describe
from models.clouds.sampling import FRAMES_A_WINDOW, SAMPLES, Batch, Windows, draw_windows, make_batch
from models.clouds.training import OnEpoch, Plan, State, compile_network, train

MULTIPLE = 16  # sides are padded to it in the network's pixels, so that few shapes are compiled
FRAMES_A_CALL = 4  # the network's inputs are held for that many frames at a time
CALIBRATION_DRAWS = 3
LEAST_IN_BIN = 500  # residuals a gap length needs for a factor of its own
log = logging.getLogger(__name__)


class Learned(Remover):
    """A network that corrects what simple rules would fill in.

    Attributes
    ----------
    history
        After `fit`: one row an epoch, `epoch, loss, validation_mae, linear_mae, validation_loss, seconds`.
    """

    name: ClassVar[str]

    def __init__(self, options: ClearOptions) -> None:
        self.options = options
        self.recipe: Recipe | None = None
        self.factor: np.ndarray = np.empty(0)  # (gap bin, band), on sigma
        self.model: Any = None
        self.history: list[dict[str, float]] = []

    @abstractmethod
    def network(self, recipe: Recipe) -> Any:
        """Return the Keras model for these channels."""

    def fit(
        self,
        stacks: Iterable[xr.Dataset],
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Learn to restore what is hidden in windows of the stacks.

        Parameters
        ----------
        checkpoint
            A folder; training killed at any moment goes on from its last whole epoch there.
        on_epoch
            Called with the epoch and its figures, for a tracker's curves.
        """
        rng = np.random.default_rng(self.options.seed)
        windows = draw_windows(stacks, self.options, rng)
        self.recipe = make_recipe(windows.train, self.options, self.name, windows.sources)
        keras.utils.set_random_seed(self.options.seed)
        self.model = self.network(self.recipe)
        state = self._train(windows, checkpoint, progress, on_epoch)
        self.history = state.history
        self.factor = self._calibrate(windows)
        return self

    def check_bands(self, bands: tuple[str, ...]) -> None:
        """Raise where the method is not fitted, or learnt other bands."""
        if self.recipe is None:
            raise ModelError(f"{self.name} is not fitted; call fit first, or load a fitted model.")
        check_same_bands(bands, self.recipe.bands, self.name)

    def frames(self, cube: Cube) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield each frame with anything missing, filled; memory is that of a few frames' channels."""
        wanted = np.flatnonzero(~cube.clear.all(axis=(1, 2)))
        assert self.recipe is not None
        yield from self._corrected(cube if self.recipe.trust_all else trusted(cube), wanted, self.factor)

    def _corrected(
        self, cube: Cube, wanted: np.ndarray, factor: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Correct block means by the network and lay them over the detail of interpolation in time."""
        recipe, size = self.recipe, self.options.reduction
        assert recipe is not None
        check_context(cube, recipe)
        if not cube.clear.any():
            return
        _, _, height, width = cube.shape
        cube = cube.padded(-height % (MULTIPLE * size), -width % (MULTIPLE * size))
        frames = Frames(coarsen(cube, size), recipe, whole_blocks(cube.clear, size))
        constant = None if recipe.optical else np.array(recipe.constant)
        detail = Detail.of(cube, size, recipe.recent, constant, usable(cube, frames.haze[1], size))
        for start in range(0, len(wanted), FRAMES_A_CALL):
            some = wanted[start : start + FRAMES_A_CALL].tolist()
            inputs = frames.blank(len(some))
            pairs = zip(*inputs, strict=True)
            for frame, into in zip(some, pairs, strict=True):
                frames.sample(frame, into)
            for frame, answer, spread in zip(some, *self.predict(list(inputs)), strict=True):
                value, sigma = detail.refine(frame, answer, spread, factor)
                yield frame, value[:, :height, :width], sigma[:, :height, :width]

    def predict(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return reflectance and uncalibrated sigma, `(n, y, x, band)` each, at the network's resolution."""
        bands = len(self.recipe.bands)  # type: ignore[union-attr]
        out = np.asarray(self.model.predict_on_batch(inputs))
        return out[..., :bands], np.exp(out[..., bands:]) * UNIT

    def save(self, folder: Path) -> Path:
        """Write weights and what rebuilds the network; how long an epoch took is left out."""
        if self.recipe is None:
            raise ModelError(f"{self.name} is not fitted; there is nothing to save.")
        meta = {
            "name": self.name,
            "options": self.options.model_dump(mode="json"),
            "recipe": describe(vars(self.recipe)),
            "history": [{name: row[name] for name in row if name != "seconds"} for row in self.history],
        }
        arrays = {f"weight{k}": weight for k, weight in enumerate(self.weights())}
        return write_bundle(folder, meta, {**arrays, "factor": self.factor})

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Rebuild the network from its options and put the stored weights in."""
        meta, arrays = read_bundle(folder, sha256)
        model = cls(ClearOptions(**meta["options"]))
        stored = meta["recipe"]
        listed = {name: tuple(stored[name]) for name in ("bands", "context", "constant")}
        moments = tuple((float(mean), float(spread)) for mean, spread in stored["moments"])
        model.recipe = Recipe(**{**stored, **listed, "moments": moments})
        model.factor, model.history = arrays["factor"], meta["history"]
        model.model = model.network(model.recipe)
        model.restore([arrays[f"weight{k}"] for k in range(sum(n.startswith("weight") for n in arrays))])
        return model

    def weights(self) -> list[np.ndarray]:
        """Return what is stored of the network."""
        return list(self.model.get_weights())

    def restore(self, weights: list[np.ndarray]) -> None:
        """Put stored weights into the network.

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
        options, recipe = self.options, self.recipe
        assert recipe is not None
        held = make_batch(windows, True, recipe, options, np.random.default_rng([options.seed, 1]))
        steps = -(-max(SAMPLES, FRAMES_A_WINDOW * len(windows.train)) // options.batch_size)
        self.prepare(windows)
        compile_network(self.model, self.loss(), options.learning_rate, options.epochs * steps)

        def epoch_of(number: int) -> float:
            rng = np.random.default_rng([options.seed, 2, number])
            batch = make_batch(windows, False, recipe, options, rng)
            return self.epoch(batch, rng)

        plan = Plan(options.epochs, options.patience, options.seconds, folder, self._mark(windows))
        return train(self.model, epoch_of, lambda: self._figures(held), plan, progress, on_epoch)

    def prepare(self, windows: Windows) -> None:
        """Learn what must stand before the epochs; nothing by default."""

    def loss(self) -> Any:
        """Return the training loss."""
        assert self.recipe is not None
        return make_loss(self.recipe.bands, self.options.loss, self.options.ndvi_weight)

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

    def _calibrate(self, windows: Windows) -> np.ndarray:
        """Return the conformal factor per gap length and band, from what was not learnt from, hidden anew, by
        the whole way to the imagery's own pixels.

        A date's errors are common, so it is dates that are counted: the fewer, the wider, by Student's t.
        """
        found, dates = [], set()
        for draw in range(CALIBRATION_DRAWS):
            rng = np.random.default_rng([self.options.seed, 3, draw])
            for cube, frames in windows.calibration():
                hidden = hide(cube.clear, rng, self.options.hidden_share, frames)
                dates.update(cube.days[hidden.any(axis=(1, 2))].tolist())
                found += list(self._residuals(cube, hidden))
        if not found:
            raise ModelError(
                "Nothing could be hidden to calibrate sigma on; widen the season or add imagery."
            )
        pooled = factors(*(np.concatenate([part[k] for part in found]) for k in range(3)))
        return np.asarray(pooled * widening(len(dates)))

    def _residuals(
        self, cube: Cube, hidden: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield residuals and uncalibrated sigma `(n, band)`, and gaps `(n,)`, of each frame's hidden
        pixels."""
        kept = cube.without(hidden)
        ones = np.ones((len(GAP_EDGES) + 1, len(cube.bands)))
        gaps = gap_to_clear(kept.clear, kept.days)
        for frame, value, sigma in self._corrected(kept, np.flatnonzero(hidden.any(axis=(1, 2))), ones):
            known = hidden[frame] & np.isfinite(value).all(axis=0)
            residual = value - cube.reflectance[frame]
            yield residual[:, known].T, sigma[:, known].T, gaps[frame][known]

    def _mark(self, windows: Windows) -> str:
        data = [
            [float(np.nansum(c.reflectance)), int(c.clear.sum())] for c in windows.train + windows.validate
        ]
        return fingerprint({"options": self.options.model_dump(mode="json"), "data": data})


def factors(residual: np.ndarray, sigma: np.ndarray, gap_days: np.ndarray) -> np.ndarray:
    """Return conformal factors `(gap bin, band)`; a bin with few residuals takes the factor over all."""
    bins = gap_bin(gap_days)
    overall = conformal_factor(residual, sigma)
    count = gap_bin(np.array([1e9]))[0] + 1
    rows = [
        conformal_factor(residual[bins == k], sigma[bins == k])
        if (bins == k).sum() >= LEAST_IN_BIN
        else overall
        for k in range(count)
    ]
    return GapSigma(np.stack(rows)).table
