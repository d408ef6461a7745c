"""The joint answer of several masks, calibrated on skies of known truth painted over the region."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from features.errors import ModelError
from models.clouds.mask.classes import UNKNOWN
from models.clouds.mask.frames import FOR_SNOW, NEAR_INFRARED, Frames
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.network.painting import draw_sky, paint
from models.clouds.mask.network.unet import UNetMask
from models.clouds.removal.bundle import read_bundle, write_bundle

FLOOR = 1e-3  # chance below which none is told from another
SCALE = 3.0  # of the logarithms, so that the fit converges
PIXELS = 60_000  # that the weights are fitted on
LEAST_CLEAR = 0.6


class CombinedMask:
    """Multinomial logistic regression on the logarithms of the chances of the comparison in time and of the
    network.

    Attributes
    ----------
    weights
        `(class, feature)`, and the constant of each class in the last column.
    """

    name = "combined"
    needs = (("B02",), ("B03",), ("B04",), NEAR_INFRARED)
    uses = (*FOR_SNOW, "B12")

    def __init__(self, network: UNetMask, temporal: TemporalMask, weights: np.ndarray | None = None) -> None:
        self.network, self.temporal, self.weights = network, temporal, weights
        self.margin_px = max(network.margin_px, temporal.margin_px)

    def fit(self, stacks: Sequence[Frames], seed: int) -> Self:
        """Choose the weights on painted dates: of each stack every second clear one.

        Raises
        ------
        ModelError
            Where no date is clear enough to paint over.
        """
        from sklearn.linear_model import LogisticRegression

        rng = np.random.default_rng([seed, 7])
        parts = [self._painted(frames, rng) for frames in stacks]
        features = np.concatenate([found for found, _ in parts])
        truth = np.concatenate([labels for _, labels in parts])
        if len(np.unique(truth)) < 4:
            raise ModelError(
                "No date of the imagery is clear enough to calibrate the combined mask on; choose "
                "clear.mask.method: temporal.",
                reason="nothing_to_learn",
            )
        chosen = rng.permutation(len(truth))[:PIXELS]
        model = LogisticRegression(C=1.0, max_iter=1000)
        model.fit(features[chosen], truth[chosen], _weights(truth[chosen]))
        self.weights = np.concatenate([model.coef_, model.intercept_[:, None]], axis=1).astype(np.float32)
        return self

    def _painted(self, frames: Frames, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features and true classes of the pixels of painted dates."""
        own = np.stack(list(self.temporal.chances(frames)))
        clear = np.nan_to_num(own[:, 0]) > 0.8
        dates = np.flatnonzero(clear.mean(axis=(1, 2)) > LEAST_CLEAR)[::2]
        values = frames.reflectance.copy()
        truth = np.full((len(frames), *frames.shape), UNKNOWN, np.uint8)
        for date in dates:
            sky = draw_sky(frames.shape, frames.pixel_m, frames.sun[date], rng)
            values[date], classes = paint(values[date], frames.bands, sky)
            truth[date] = np.where(clear[date], classes, UNKNOWN)
        painted = Frames(frames.bands, values, frames.times, frames.sun, frames.pixel_m, None, frames.level)
        rows, labels = [np.empty((0, 9), np.float32)], [np.empty(0, np.uint8)]
        for date, features in enumerate(self._features(painted)):
            known = (truth[date] < 4) & np.isfinite(features).all(axis=0)
            rows.append(features[:, known].T)
            labels.append(truth[date][known])
        return np.concatenate(rows), np.concatenate(labels)

    def _features(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield `(feature, y, x)` of every date: logarithms of both masks' chances, and whether a pixel had a
        date to be compared with."""
        for compared, learned in zip(
            self.temporal.chances(frames), self.network.chances(frames), strict=True
        ):
            alone = np.isnan(compared[0])
            parts = np.where(alone, 0.25, compared), learned, (~alone).astype(np.float32)[None]
            logs = [np.log(np.maximum(part, FLOOR)) / SCALE for part in parts[:2]]
            yield np.concatenate([*logs, parts[2]]).astype(np.float32)

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)`; where no date could be compared, the network's."""
        if self.weights is None:
            raise ModelError("The combined mask is not fitted; run `cropcheck clear CONFIG` first.")
        for features in self._features(frames):
            scores = np.tensordot(self.weights[:, :-1], features, 1) + self.weights[:, -1, None, None]
            grown = np.exp(scores - scores.max(axis=0))
            out = grown / grown.sum(axis=0)
            alone = features[8] == 0
            out[:, alone] = np.exp(SCALE * features[4:8])[:, alone]
            yield np.asarray(out / out.sum(axis=0), np.float32)

    def save(self, folder: Path) -> Path:
        """Write JSON and arrays; return the path of the JSON."""
        if self.weights is None:
            raise ModelError("The combined mask is not fitted; there is nothing to save.")
        said = self.network.options.model_dump(mode="json", exclude={"pretrained", "tiles"})
        meta: dict[str, Any] = {"name": self.name, "options": said, "history": self.network.history}
        return write_bundle(folder, meta, {**self.network.weights(), "joint": self.weights})

    @classmethod
    def load(cls, folder: Path, back: bool, sha256: str | None = None) -> Self:
        """Read what `save` wrote; hashes are checked before anything is parsed.

        Raises
        ------
        ModelError
            Where a file is absent or altered, or is no combined mask.
        """
        meta, arrays = read_bundle(folder, sha256)
        if meta.get("name") != cls.name or "joint" not in arrays or arrays["joint"].shape != (4, 10):
            raise ModelError(f"{folder} holds no combined mask; run `cropcheck clear CONFIG` again.")
        return cls(UNetMask.of(meta, arrays, str(folder)), TemporalMask(back), arrays["joint"])


def _weights(truth: np.ndarray) -> np.ndarray:
    """Weight of every pixel: the inverse root of how often its class is drawn, as in training the network."""
    shares = np.bincount(truth, minlength=4) / len(truth)
    return np.asarray((0.25 / np.maximum(shares[truth], 1e-6)) ** 0.5)
