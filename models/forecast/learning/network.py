"""An encoder and a decoder of long short-term memory that predict the change since the last clear value.

The encoder reads the looks before the day of the forecast on steps of a few days, empty steps marked; the
decoder steps through the days ahead, reading climatology, season and, where that is given, the weather ahead.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from features.code.jit import njit
from features.context.daily import Daily
from features.errors import ModelError
from models.backend import bring_up
from models.forecast.history import History
from models.forecast.learning.basis import Basis
from models.forecast.learning.inputs import _mean_of, _running
from models.forecast.learning.samples import AHEAD, STEP, Samples
from models.forecast.options import ForecastOptions

if TYPE_CHECKING:
    import keras

LOOKED_BACK = {"lstm": (10, 24), "lstm_monthly": (30, 12)}  # days of a step, and steps
DECODED = AHEAD // STEP
BATCH = 256
PEAK_RATE = 4e-3
PREDICTED_AT_ONCE = 2048


@dataclass(frozen=True)
class Sequences:
    """What the network reads: `past (case, step, channel)`, `ahead (case, DECODED, channel)`, `fixed (case,
    channel)`, and which case and which place between decoded steps belongs to each sample.
    """

    past: np.ndarray
    ahead: np.ndarray
    fixed: np.ndarray
    case: np.ndarray
    place: np.ndarray


def sequences_of(
    history: History, samples: Samples, basis: Basis, name: str, inputs: tuple[str, ...], ahead: Daily | None
) -> Sequences:
    """Return the inputs of samples; those of one parcel and day are one case."""
    days, steps = LOOKED_BACK[name]
    key = np.column_stack([samples.parcel, samples.origin, samples.looked])
    _, at, case = np.unique(key, axis=0, return_index=True, return_inverse=True)
    parcel, origin, looked = samples.parcel[at].astype(np.int64), samples.origin[at], samples.looked[at]
    last, last_day = basis.last[at], basis.last_day[at]
    usual = basis.climate.mean[basis.pair[at]]
    past = np.zeros((len(at), steps, 4 + 4 * ("radar" in inputs)), np.float32)
    looks, radar = history.ndvi, history.radar
    _fill_past(
        looks.first, looks.day, looks.value, history.day_of_year(looks.day).astype(np.int64), radar.first,
        radar.day, radar.value, parcel, origin, looked, last, usual, days, past,
    )  # fmt: skip
    targets = origin[:, None] + STEP * np.arange(1, DECODED + 1)
    doy = history.day_of_year(targets.ravel()).reshape(targets.shape)
    node = (doy / 365.25 * usual.shape[1]).astype(int) % usual.shape[1]
    mean = np.take_along_axis(usual, node, 1)
    angle = doy * (2 * np.pi / 365.25)
    channels = [
        np.nan_to_num(mean - last[:, None]), np.isfinite(mean), np.sin(angle), np.cos(angle),
        (targets - np.where(last_day >= 0, last_day, origin)[:, None]) / 100.0,
    ]  # fmt: skip
    if ahead is not None:
        channels += _weather_ahead(ahead, parcel, origin, targets)
    klass = history.crop_on(parcel, origin)
    one_hot = np.zeros((len(at), len(history.classes)), np.float32)
    known = np.flatnonzero(klass >= 0) if "crop" in inputs else np.zeros(0, int)
    one_hot[known, klass[known]] = 1
    fixed = np.column_stack(
        [np.nan_to_num(last), (origin - np.maximum(last_day, 0)).clip(0, 200) / 50, one_hot]
    )
    return Sequences(
        past, np.stack(channels, axis=2).astype(np.float32), fixed.astype(np.float32), case,
        ((samples.target - samples.origin) / STEP - 1).clip(0, DECODED - 1),
    )  # fmt: skip


def _weather_ahead(
    ahead: Daily, parcel: np.ndarray, origin: np.ndarray, targets: np.ndarray
) -> list[np.ndarray]:
    place = np.repeat(ahead.place[parcel], DECODED)
    end = targets.ravel() - ahead.start + 1
    out = []
    for name, usual, by in (("t_mean_c", 10.0, 10.0), ("precipitation_mm", 2.0, 5.0)):
        if name in ahead.names:
            sums = _running(ahead.value[:, :, ahead.names.index(name)])
            mean = _mean_of(sums, place, end - STEP, end).reshape(targets.shape)
            out += [np.nan_to_num((mean - usual) / by), np.isfinite(mean)]
    return out


@njit(cache=True, nogil=True)
def _fill_past(  # noqa: PLR0912
    first: np.ndarray,
    day: np.ndarray,
    value: np.ndarray,
    doy: np.ndarray,
    radar_first: np.ndarray,
    radar_day: np.ndarray,
    radar: np.ndarray,
    parcel: np.ndarray,
    origin: np.ndarray,
    looked: np.ndarray,
    last: np.ndarray,
    usual: np.ndarray,
    days: int,
    out: np.ndarray,
) -> None:
    steps, nodes = out.shape[1], usual.shape[1]
    for i in range(len(parcel)):
        count = np.zeros(steps)
        for k in range(first[parcel[i]], first[parcel[i] + 1]):
            age = origin[i] - day[k]
            if day[k] > looked[i] or age >= steps * days:
                continue
            s = steps - 1 - age // days
            u = usual[i, int(doy[k] / 365.25 * nodes) % nodes]
            out[i, s, 0] += value[k] - last[i]
            if np.isfinite(u):
                out[i, s, 1] += value[k] - u
            count[s] += 1
        for s in range(steps):
            if count[s] > 0:
                out[i, s, 0] /= count[s]
                out[i, s, 1] /= count[s]
                out[i, s, 2] = 1
        if out.shape[2] > 4 and len(radar_day) > 0:
            count[:] = 0
            for k in range(radar_first[parcel[i]], radar_first[parcel[i] + 1]):
                age = origin[i] - radar_day[k]
                if age < 0 or age >= steps * days:
                    continue
                s = steps - 1 - age // days
                vv, vh, coh = radar[k, 0], radar[k, 1], radar[k, 2]
                if np.isfinite(vv) and np.isfinite(vh):
                    out[i, s, 4] += (vh - vv + 7) / 3
                    out[i, s, 5] += (vh + 18) / 3
                    if np.isfinite(coh):
                        out[i, s, 6] += coh
                    count[s] += 1
            for s in range(steps):
                if count[s] > 0:
                    for c in range(4, 7):
                        out[i, s, c] /= count[s]
                    out[i, s, 7] = 1
        for s in range(steps):
            out[i, s, 3] = s / steps


def build(past: tuple[int, int], ahead: int, fixed: int, units: int) -> "keras.Model":
    """Return the Keras network: three inputs, `(case, DECODED)` changes out."""
    bring_up()
    import keras
    from keras import layers

    looked = keras.Input(past, name="past")
    coming = keras.Input((DECODED, ahead), name="ahead")
    known = keras.Input((fixed,), name="fixed")
    _, state, cell = layers.LSTM(units, return_state=True)(looked)
    told = layers.Dense(units, activation="relu")(layers.Concatenate()([state, known]))
    steps = layers.Concatenate()([coming, layers.RepeatVector(DECODED)(told)])
    decoded = layers.LSTM(units, return_sequences=True)(steps, initial_state=[state, cell])
    both = layers.Dense(2)(layers.Dense(units // 2, activation="relu")(decoded))
    # a share of the way from the last value to climatology, and what goes beyond it
    change = keras.ops.sigmoid(both[..., 0]) * coming[..., 0] + both[..., 1]
    return keras.Model([looked, coming, known], change)


def fit_network(
    sequences: Sequences, change: np.ndarray, options: ForecastOptions, start: list[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Train on changes `(sample,)`; return the weights.

    A look between two decoded steps teaches both, by its nearness. `start` are weights to train further.
    """
    bring_up()
    import keras

    target = np.zeros((len(sequences.past), DECODED, 2), np.float32)
    low = np.floor(sequences.place).astype(int)
    share = sequences.place - low
    for at, part in ((low, 1 - share), (np.minimum(low + 1, DECODED - 1), share)):
        np.add.at(target[..., 0], (sequences.case, at), part * change)
        np.add.at(target[..., 1], (sequences.case, at), part)
    target[..., 0] = np.divide(
        target[..., 0], target[..., 1], out=np.zeros_like(target[..., 0]), where=target[..., 1] > 0
    )
    keras.utils.set_random_seed(options.seed)
    model = build(*_shape(sequences), options.units)
    if start is not None:
        _set_weights(model, start)
    rng = np.random.default_rng(options.seed)
    size = min(BATCH, len(target))
    per_epoch = len(target) // size
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE if start is None else PEAK_RATE / 4, options.epochs * per_epoch, alpha=0.02
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0), _masked_square)
    inputs = (sequences.past, sequences.ahead, sequences.fixed)
    for _ in range(options.epochs):
        # batches of one shape, so that one graph serves
        for rows in rng.permutation(len(target))[: per_epoch * size].reshape(per_epoch, size):
            model.train_on_batch([part[rows] for part in inputs], target[rows])
    weights = [np.asarray(value) for value in model.get_weights()]
    if not all(np.isfinite(value).all() for value in weights):
        raise ModelError("The forecasting network did not converge; lower forecast.units or give more data.")
    return weights


def run_network(weights: list[np.ndarray], sequences: Sequences, units: int) -> np.ndarray:
    """Return the change `(sample,)`, between decoded steps where the target lies between them."""
    model = _lent(*_shape(sequences), units)
    _set_weights(model, weights)
    inputs, parts, n = (sequences.past, sequences.ahead, sequences.fixed), [], len(sequences.past)
    for begin in range(0, n, PREDICTED_AT_ONCE):
        rows = np.arange(begin, begin + PREDICTED_AT_ONCE) % n  # topped up: batches of one shape
        parts.append(np.asarray(model.predict_on_batch([part[rows] for part in inputs])))
    found = np.concatenate(parts)[:n]
    low = np.floor(sequences.place).astype(int)
    share = sequences.place - low
    high = np.minimum(low + 1, DECODED - 1)
    return np.asarray((1 - share) * found[sequences.case, low] + share * found[sequences.case, high])


def _set_weights(model: "keras.Model", weights: list[np.ndarray]) -> None:
    wanted = [tuple(value.shape) for value in model.weights]
    if [value.shape for value in weights] != wanted:
        raise ModelError(
            "The forecasting network's weights are of other inputs than the run has; forecast with the "
            "inputs it was trained on, or train again."
        )
    model.set_weights(weights)


def _shape(sequences: Sequences) -> tuple[tuple[int, int], int, int]:
    past = (sequences.past.shape[1], sequences.past.shape[2])
    return past, sequences.ahead.shape[2], sequences.fixed.shape[1]


@lru_cache(maxsize=4)
def _lent(past: tuple[int, int], ahead: int, fixed: int, units: int) -> "keras.Model":
    """Return a network that only predicts, traced once."""
    return build(past, ahead, fixed, units)


def _masked_square(truth: "keras.KerasTensor", change: "keras.KerasTensor") -> "keras.KerasTensor":
    from keras import ops

    weight = truth[..., 1]
    return ops.sum(weight * ops.square(truth[..., 0] - change)) / ops.maximum(ops.sum(weight), 1.0)
