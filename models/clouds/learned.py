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
from models.clouds.cube import Cube
from models.clouds.inputs import Frames, Recipe
from models.clouds.intervals import GapSigma, conformal_factor, gap_bin
from models.clouds.layers import UNIT, make_loss
from models.clouds.options import ClearOptions
from models.clouds.remover import Progress, Remover, check_same_bands, describe
from models.clouds.sampling import Batch, Windows, draw_windows, make_batch, pad_cube
from models.clouds.training import OnEpoch, Plan, State, compile_network, train

MULTIPLE = 32  # sides are padded to it, so that few shapes are compiled
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
        self.constant = np.empty(0)
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
        self.recipe, self.constant = self._recipe(windows.train)
        keras.utils.set_random_seed(self.options.seed)
        self.model = self.network(self.recipe)
        state = self._train(windows, checkpoint, progress, on_epoch)
        self.history = state.history
        self.factor = self._calibrate(windows.validate)
        return self

    def check_bands(self, bands: tuple[str, ...]) -> None:
        """Raise where the method is not fitted, or learnt other bands."""
        if self.recipe is None:
            raise ModelError(f"{self.name} is not fitted; call fit first, or load a fitted model.")
        check_same_bands(bands, self.recipe.bands, self.name)

    def frames(self, cube: Cube) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield each frame with anything missing, filled; memory is that of one frame's channels."""
        assert self.recipe is not None
        _check_context(cube, self.recipe)
        _, _, height, width = cube.shape
        padded = (
            pad_cube(cube, -height % MULTIPLE, -width % MULTIPLE)
            if height % MULTIPLE or width % MULTIPLE
            else cube
        )
        if not padded.clear.any():
            return
        frames = Frames(padded, self.recipe, self.constant)
        for frame in np.flatnonzero(~cube.clear.all(axis=(1, 2))).tolist():
            value, sigma = self._one(frames, frame)
            yield frame, value[:, :height, :width], sigma[:, :height, :width]

    def _one(self, frames: Frames, frame: int) -> tuple[np.ndarray, np.ndarray]:
        sample = frames.sample(frame)
        value, sigma = self.predict([sample.layers[None], sample.values[None], sample.scene[None]])
        factor = self.factor[gap_bin(frames.gap_days(frame))]
        known = np.isfinite(sample.base).all(axis=0)
        out = np.where(known, np.moveaxis(value[0], -1, 0), np.nan)
        return out, np.where(known, np.moveaxis(sigma[0] * factor, -1, 0), np.nan).astype(np.float32)

    def predict(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return reflectance and uncalibrated sigma, `(n, y, x, band)` each."""
        bands = self.recipe.bands  # type: ignore[union-attr]
        out = np.asarray(self.model.predict_on_batch(inputs))
        return out[..., : len(bands)], np.exp(out[..., len(bands) :]) * UNIT

    def save(self, folder: Path) -> Path:
        """Write weights and what rebuilds the network."""
        if self.recipe is None:
            raise ModelError(f"{self.name} is not fitted; there is nothing to save.")
        meta = {
            "name": self.name,
            "options": self.options.model_dump(mode="json"),
            "recipe": describe(vars(self.recipe)),
            "history": self.history,
        }
        arrays = {f"weight{k}": weight for k, weight in enumerate(self.weights())}
        return write_bundle(folder, meta, {**arrays, "factor": self.factor, "constant": self.constant})

    @classmethod
    def load(cls, folder: Path, sha256: str | None = None) -> Self:
        """Rebuild the network from its options and put the stored weights in."""
        meta, arrays = read_bundle(folder, sha256)
        model = cls(ClearOptions(**meta["options"]))
        stored = meta["recipe"]
        listed = {name: tuple(stored[name]) for name in ("bands", "context")}
        moments = tuple((float(mean), float(spread)) for mean, spread in stored["moments"])
        model.recipe = Recipe(**{**stored, **listed, "moments": moments})
        model.constant, model.factor, model.history = arrays["constant"], arrays["factor"], meta["history"]
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

    def _recipe(self, cubes: list[Cube]) -> tuple[Recipe, np.ndarray]:
        options, first = self.options, cubes[0]
        for cube in cubes:
            check_same_bands(cube.bands, first.bands, self.name)
        with_radar = options.inputs != "s2" and first.backscatter is not None
        if options.inputs == "s1" and not with_radar:
            raise ModelError("clear.inputs is s1 but the imagery holds no radar; choose s2 or both.")
        absent = sorted(set(options.context) - set(first.context))
        if absent:
            raise ModelError(
                f"The stack lacks the context channels {absent}; it has {sorted(first.context)}."
            )
        moments = tuple(
            _moments(np.concatenate([c.context[name].ravel() for c in cubes])) for name in options.context
        )
        recipe = Recipe(
            bands=first.bands,
            radar=first.backscatter.shape[1] if with_radar and first.backscatter is not None else 0,
            neighbours=options.neighbours,
            recent=options.which == "recent",
            optical=options.inputs != "s1",
            context=options.context,
            moments=moments,
        )
        return recipe, _medians(cubes)

    def _train(
        self, windows: Windows, folder: Path | None, progress: Progress | None, on_epoch: OnEpoch | None
    ) -> State:
        options, recipe = self.options, self.recipe
        assert recipe is not None
        held = make_batch(
            windows.validate, recipe, self.constant, options, np.random.default_rng([options.seed, 1])
        )
        steps = -(-6 * len(windows.train) // options.batch_size)
        self.prepare(windows)
        compile_network(self.model, self.loss(), options.learning_rate, options.epochs * steps)

        def epoch_of(number: int) -> float:
            rng = np.random.default_rng([options.seed, 2, number])
            batch = make_batch(windows.train, recipe, self.constant, options, rng)
            return self.epoch(batch, rng)

        plan = Plan(options.epochs, options.patience, options.seconds, folder, self._mark(windows))
        return train(self.model, epoch_of, lambda: self._figures(held), plan, progress, on_epoch)

    def prepare(self, windows: Windows) -> None:
        """Learn what must stand before the epochs; nothing by default."""

    def loss(self) -> Any:
        """Return the training loss."""
        return make_loss(self.recipe.bands, self.options.loss, self.options.ndvi_weight)  # type: ignore[union-attr]

    def epoch(self, batch: Batch, rng: np.random.Generator) -> float:
        """Train on each sample once; returns the mean loss."""
        size = self.options.batch_size
        losses = []
        for start in range(0, len(batch), size):
            index = np.arange(start, start + size) % len(batch)  # one shape of batch: the last wraps round
            part = batch.part(index)
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

    def _calibrate(self, cubes: list[Cube]) -> np.ndarray:
        """Return the conformal factor per gap length and band, from the validation blocks hidden anew."""
        recipe = self.recipe
        assert recipe is not None
        residuals, sigmas, gaps = [], [], []
        for draw in range(CALIBRATION_DRAWS):
            rng = np.random.default_rng([self.options.seed, 3, draw])
            batch = make_batch(cubes, recipe, self.constant, self.options, rng)
            value, sigma = self._predict_all(batch)
            known = batch.truth[..., -2] > 0
            residuals.append((value - batch.truth[..., : value.shape[-1]])[known])
            sigmas.append(sigma[known])
            gaps.append(batch.gap_days[known])
        return factors(np.concatenate(residuals), np.concatenate(sigmas), np.concatenate(gaps))

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


def _medians(cubes: list[Cube]) -> np.ndarray:
    """Return each band's median over the clear pixels of some windows: the base where no optics are seen."""
    clear = [np.moveaxis(c.reflectance, 1, -1)[c.clear][:20_000] for c in cubes]
    return np.asarray(np.median(np.concatenate(clear), axis=0), np.float64)


def _moments(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.mean()), max(float(known.std()), 1e-6)) if len(known) else (0.0, 1.0)


def _check_context(cube: Cube, recipe: Recipe) -> None:
    absent = sorted(set(recipe.context) - set(cube.context))
    if absent:
        raise ModelError(
            f"The stack lacks the context channels {absent} the model learnt; it has {sorted(cube.context)}."
        )
