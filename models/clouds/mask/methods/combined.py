"""The joint chances of all masks of a region, calibrated on painted skies whose truth is known."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import numpy as np

from features.errors import ModelError
from models.clouds.mask.classes import CLEAR, UNKNOWN
from models.clouds.mask.frames import FOR_SNOW, NEAR_INFRARED, UNDELIVERED, Frames
from models.clouds.mask.methods.fmask import FmaskMask
from models.clouds.mask.methods.scene_codes import SceneCodes
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.network.painting import draw_sky, paint
from models.clouds.mask.network.unet import UNetMask
from models.clouds.removal.bundle import read_bundle, write_bundle

FLOOR = 1e-3  # chance below which none is told from another, for the classes
LOWEST = 1e-6  # for the order of pixels that are not believed clear
SCALE = 3.0  # of the logarithms, so that the fit converges
PIXELS = 60_000  # that the weights are fitted on
LEAST_CLEAR = 0.6
LEARNED = "unet"
OTHERS = ("temporal", "fmask")  # may be unknown where the network is not
Members = tuple[str, ...]
SETS: tuple[Members, ...] = tuple(
    (*some, LEARNED) for count in range(len(OTHERS), -1, -1) for some in combinations(OTHERS, count)
)


class CombinedMask:
    """Multinomial logistic regression on the logarithms of the chances of the comparison in time, of Fmask's
    rules and of the network, with weights of their own for each set of masks that a pixel may have; then the
    delivered scene classes, by how often each of them goes with each class of that answer.

    Attributes
    ----------
    weights
        Of every set of masks, `(class, feature)`; the constant of each class in the last column.
    codes
        What the delivered scene classes say, where there were any.
    """

    name = "combined"
    needs = (("B02",), ("B03",), ("B04",), NEAR_INFRARED)
    uses = (*FOR_SNOW, "B12")

    def __init__(
        self,
        network: UNetMask,
        temporal: TemporalMask,
        weights: dict[Members, np.ndarray] | None = None,
        codes: SceneCodes | None = None,
    ) -> None:
        self.network, self.temporal = network, temporal
        self.weights, self.codes = weights or {}, codes
        self.fmask = FmaskMask()
        self.margin_px = max(network.margin_px, temporal.margin_px, self.fmask.margin_px)

    def fit(self, stacks: Sequence[Frames], seed: int) -> Self:
        """Choose the weights on painted dates, of each stack every second clear one; then learn what the
        scene classes of the real ones say.

        Raises
        ------
        ModelError
            Where no date is clear enough to paint over.
        """
        rng = np.random.default_rng([seed, 7])
        parts = [self._painted(frames, rng) for frames in stacks]
        answers = {name: np.concatenate([found[name] for found, _ in parts]) for name in (*OTHERS, LEARNED)}
        truth = np.concatenate([labels for _, labels in parts])
        self.weights, self.codes = {}, None
        for members in SETS:
            known = np.all([np.isfinite(answers[name][:, 0]) for name in members], axis=0)
            chosen = rng.permutation(np.flatnonzero(known))[:PIXELS]
            if len(np.unique(truth[chosen])) == 4:
                features = _logs([answers[name][chosen].T for name in members])
                self.weights[members] = _regression(features.T, truth[chosen])
        if (LEARNED,) not in self.weights:
            raise ModelError(
                "No date of the imagery is clear enough to calibrate the combined mask on; choose "
                "clear.mask.method: temporal.",
                reason="nothing_to_learn",
            )
        self._fit_codes(stacks, rng)
        return self

    def _fit_codes(self, stacks: Sequence[Frames], rng: np.random.Generator) -> None:
        """Learn what the delivered scene classes say on the region's real dates."""
        rows: dict[str, list[np.ndarray]] = {name: [] for name in (*OTHERS, LEARNED)}
        delivered = []
        each = -(-PIXELS // max(sum(len(frames) for frames in stacks), 1))
        for frames in stacks:
            for number, answers in enumerate(self._answers(frames, np.arange(len(frames)))):
                known = rng.permutation(np.flatnonzero(np.isfinite(answers[LEARNED][0])))[:each]
                for name, found in answers.items():
                    rows[name].append(found.reshape(4, -1)[:, known])
                delivered.append(_codes(frames, number).flat[known])
        seen = {name: np.concatenate(found, axis=1) for name, found in rows.items()}
        self.codes = SceneCodes.fit(np.concatenate(delivered), self._joint(seen))

    def _painted(self, frames: Frames, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Each mask's chances `(pixel, class)` and the true classes of the pixels of painted dates."""
        own = np.stack(list(self.temporal.chances(frames)))
        clear = np.nan_to_num(own[:, 0]) > 0.8
        dates = np.flatnonzero(clear.mean(axis=(1, 2)) > LEAST_CLEAR)[::2]
        values = frames.reflectance.copy()
        truth = np.full((len(dates), *frames.shape), UNKNOWN, np.uint8)
        for k, date in enumerate(dates):
            sky = draw_sky(frames.shape, frames.pixel_m, frames.sun[date], rng)
            values[date], classes = paint(values[date], frames.bands, sky)
            truth[k] = np.where(clear[date], classes, UNKNOWN)
        painted = Frames(frames.bands, values, frames.times, frames.sun, frames.pixel_m, None, frames.level)
        rows: dict[str, list[np.ndarray]] = {
            name: [np.empty((0, 4), np.float32)] for name in (*OTHERS, LEARNED)
        }
        labels = [np.empty(0, np.uint8)]
        for number, answers in enumerate(self._answers(painted, dates)):
            known = (truth[number] < 4) & np.isfinite(answers[LEARNED][0])
            labels.append(truth[number][known])
            for name, found in answers.items():
                rows[name].append(found[:, known].T)
        return {name: np.concatenate(found) for name, found in rows.items()}, np.concatenate(labels)

    def _answers(self, frames: Frames, dates: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Yield each mask's chances `(class, y, x)` of some dates; all dates are compared with."""
        wanted, some = frames.only(dates), set(dates.tolist())
        plain = replace(frames, scene_class=None)  # which would stand in for a comparison that there is not
        compared = (found for k, found in enumerate(self.temporal.chances(plain)) if k in some)
        ruled: Iterator[np.ndarray] = iter(())
        if all(any(map(frames.has, group)) for group in self.fmask.needs):
            ruled = self.fmask.chances(wanted)
        for learned in self.network.chances(wanted):
            absent = np.full_like(learned, np.nan)
            yield {"temporal": next(compared), "fmask": next(ruled, absent), LEARNED: learned}

    def chances(self, frames: Frames) -> Iterator[np.ndarray]:
        """Yield each date's chances `(class, y, x)` from the masks that know a pixel; NaN where the network
        does not."""
        if not self.weights:
            raise ModelError("The combined mask is not fitted; run `cropcheck clear CONFIG` first.")
        for number, answers in enumerate(self._answers(frames, np.arange(len(frames)))):
            joint = self._joint(answers)
            yield joint if self.codes is None else self.codes.joined(joint, _codes(frames, number))

    def _joint(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        out = np.full_like(answers[LEARNED], np.nan)
        left = np.isfinite(answers[LEARNED][0])
        for members, weights in self.weights.items():
            here = left & np.all([np.isfinite(answers[name][0]) for name in members], axis=0)
            if not here.any():
                continue
            chosen = [answers[name][:, here] for name in members]
            out[:, here] = _ordered(_softmax(weights, _logs(chosen)), chosen)
            left &= ~here
        return out

    def save(self, folder: Path) -> Path:
        """Write JSON and arrays; return the path of the JSON."""
        if not self.weights:
            raise ModelError("The combined mask is not fitted; there is nothing to save.")
        said = self.network.options.model_dump(mode="json", exclude={"pretrained", "tiles"})
        meta: dict[str, Any] = {"name": self.name, "options": said, "history": self.network.history}
        joint = {_array_name(members): weights for members, weights in self.weights.items()}
        if self.codes is not None:
            joint["scene_codes"] = self.codes.shares
        return write_bundle(folder, meta, {**self.network.weights(), **joint})

    @classmethod
    def load(cls, folder: Path, back: bool, sha256: str | None = None) -> Self:
        """Read what `save` wrote; hashes are checked before anything is parsed.

        Raises
        ------
        ModelError
            Where a file is absent or altered, or is no combined mask.
        """
        meta, arrays = read_bundle(folder, sha256)
        weights = {
            members: arrays[_array_name(members)] for members in SETS if _array_name(members) in arrays
        }
        fit = all(array.shape == (4, 4 * len(members) + 1) for members, array in weights.items())
        if meta.get("name") != cls.name or (LEARNED,) not in weights or not fit:
            raise ModelError(f"{folder} holds no combined mask; run `cropcheck clear CONFIG` again.")
        codes = SceneCodes(arrays["scene_codes"]) if "scene_codes" in arrays else None
        return cls(UNetMask.of(meta, arrays, str(folder)), TemporalMask(back), weights, codes)


def _array_name(members: Members) -> str:
    return "joint_" + "_".join(members)


def _codes(frames: Frames, number: int) -> np.ndarray:
    if frames.scene_class is None:
        return np.full(frames.shape, UNDELIVERED, np.uint8)
    return np.asarray(frames.scene_class[number])


def _logs(chances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the features `(feature, pixel)`."""
    return np.concatenate([np.log(np.maximum(part, FLOOR)) / SCALE for part in chances]).astype(np.float32)


def _ordered(joint: np.ndarray, chances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the joint chances `(class, pixel)`, with an order among pixels that are not believed clear.

    Where the joint chance of clear is below `FLOOR`, the features tell no pixel from another: there it is
    `FLOOR` times the geometric mean of the masks' own chances of clear.

    Examples
    --------
    >>> joint = np.array([[0.9, 5e-4, 5e-4], [0.1, 0.9995, 0.9995]])
    >>> _ordered(joint, [np.array([[0.8, 1e-5, 1e-4]]), np.array([[0.9, 1e-5, 1e-2]])])[0].round(8).tolist()
    [0.9, 1e-08, 1e-06]
    """
    logs = [np.log(np.maximum(part[CLEAR], LOWEST)) for part in chances]
    out = joint.copy()
    out[CLEAR] = np.where(joint[CLEAR] < FLOOR, FLOOR * np.exp(np.mean(logs, axis=0)), joint[CLEAR])
    return np.asarray(out / out.sum(axis=0))


def _softmax(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    scores = weights[:, :-1] @ features + weights[:, -1:]
    grown = np.exp(scores - scores.max(axis=0))
    return np.asarray(grown / grown.sum(axis=0))


def _regression(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return weights `(class, feature + 1)`, fitted on features `(pixel, feature)`."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000)
    model.fit(features, truth, _weights(truth))
    return np.concatenate([model.coef_, model.intercept_[:, None]], axis=1).astype(np.float32)


def _weights(truth: np.ndarray) -> np.ndarray:
    """Weight of every pixel: the inverse root of how often its class is drawn, as in training the network."""
    shares = np.bincount(truth, minlength=4) / len(truth)
    return np.asarray((0.25 / np.maximum(shares[truth], 1e-6)) ** 0.5)
