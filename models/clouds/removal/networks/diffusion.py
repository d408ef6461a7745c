"""Diffusion in the latent space of an autoencoder, sampled in a few steps.

An autoencoder of frames at a quarter of the resolution; a conditional denoiser of its latents, trained by
flow matching on straight paths (Lipman et al. 2023, ICLR; as AGFlow and others use it for this task) and
sampled with Euler steps, which for straight paths is what DDIM is for diffusion. Conditions: the layers of
other dates, radar and the frame's visible part. What is denoised is the latent's change from the
interpolated frame, and the decoder's change is added to that frame in pixels, so that detail lost by the
autoencoder is not lost in the filling. Value and sigma are the mean and spread of several samples; the
noise is drawn from the seed, so a frame is always filled alike.
"""

import keras
import numpy as np
from keras import ops

from models.clouds.removal.error_units import UNIT
from models.clouds.removal.inputs.channels import InputChannels
from models.clouds.removal.inputs.windows import FRAMES_PER_WINDOW, SAMPLES, Batch, Windows, make_batch
from models.clouds.removal.networks.layers import (
    BlockMeans,
    Loss,
    Tensor,
    first_guess,
    input_tensors,
    weigh_layers,
)
from models.clouds.removal.networks.learned import Learned
from models.clouds.removal.networks.training import compile_network

REDUCE = 4
LATENT_SMALL, LATENT_FULL = 16, 32
SMALL_WIDTH, FULL_WIDTH = 32, 128
CODE_EPOCHS = 12  # an autoencoder of smooth frames settles soon
TIME_FEATURES = 8
CHANGE_SCALE = np.float32(0.3)  # brings the latents' changes near unit variance


class Diffusion(Learned):
    """Latent diffusion; see the module."""

    name = "diffusion"
    margin_px = 32

    def network(self, channels: InputChannels) -> keras.Model:
        """Return one Keras model that holds all parts, so that its weights are stored together."""
        full = self.options.size == "full"
        width = self.options.width or (FULL_WIDTH if full else SMALL_WIDTH)
        self.latent = LATENT_FULL if full else LATENT_SMALL
        bands = len(channels.bands)
        self.encoder, self.decoder = _encoder(bands, self.latent, width), _decoder(bands, self.latent, width)
        self.codec = keras.Model(self.encoder.inputs, self.decoder(self.encoder.outputs[0]), name="codec")
        return _denoiser(channels, self.latent, width, blocks=6 if full else 2)

    def weights(self) -> list[np.ndarray]:
        """Return the weight arrays, each of its own shape, of denoiser and autoencoder."""
        return [*self.model.get_weights(), *self.codec.get_weights()]

    def restore(self, weights: list[np.ndarray]) -> None:
        """Set the weight arrays, of the shapes that `weights` returns, of denoiser and autoencoder."""
        count = len(self.model.weights)
        super().restore(weights[:count])
        self.codec.set_weights(weights[count:])

    def prepare(self, windows: Windows) -> None:
        """Train the autoencoder on frames with their gaps interpolated, then keep it."""
        assert self.channels is not None
        loss = keras.losses.MeanAbsoluteError()
        steps = -(-max(SAMPLES, FRAMES_PER_WINDOW * len(windows.train)) // self.options.batch_size)
        compile_network(self.codec, loss, self.options.learning_rate, CODE_EPOCHS * steps)
        for number in range(min(CODE_EPOCHS, self.options.epochs)):
            rng = np.random.default_rng([self.options.seed, 4, number])
            batch = make_batch(windows, False, self.channels, self.options, rng)
            frames = _completed(batch)
            for start in range(0, len(frames), self.options.batch_size):
                part = frames[np.arange(start, start + self.options.batch_size) % len(frames)]
                self.codec.train_on_batch(part, part)

    def loss(self) -> Loss:
        """Return the squared error of the velocity, where the truth is known."""

        def velocity_error(truth: Tensor, found: Tensor) -> Tensor:
            weight = truth[..., -1:]
            return ops.sum(ops.square(found - truth[..., :-1]) * weight) / (
                ops.sum(weight) * self.latent + 1e-6
            )

        return velocity_error

    def step(self, part: Batch, rng: np.random.Generator) -> float:
        """Draw a moment and noise for each sample; train the velocity from noise to the latent's change."""
        change = (self._encode(_completed(part)) - self._encode(part.base)) / CHANGE_SCALE
        noise = rng.normal(size=change.shape).astype(np.float32)
        moment = rng.random((len(change), 1, 1, 1)).astype(np.float32)
        known = part.truth[..., -2]
        share = known.reshape(len(known), known.shape[1] // REDUCE, REDUCE, -1, REDUCE).mean(axis=(2, 4))
        mixed = (1 - moment) * noise + moment * change
        target = np.concatenate([change - noise, share[..., None]], axis=-1)
        return float(self.model.train_on_batch([*part.inputs, mixed, _moments(moment, mixed)], target))

    def predict(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and spread `(n, y, x, band)` of several samples from the decoder."""
        base = self._base(inputs[1])
        rng = np.random.default_rng(self.options.seed)
        start = self._encode(base)
        plain = np.asarray(self.decoder.predict_on_batch(start))
        drawn = [self._sample(inputs, start, rng) for _ in range(self.options.samples)]
        values = np.stack([base + np.asarray(self.decoder.predict_on_batch(z)) - plain for z in drawn])
        return values.mean(axis=0), np.maximum(values.std(axis=0, ddof=1), 0.25 * UNIT)

    def _sample(self, inputs: list[np.ndarray], start: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        z = np.broadcast_to(rng.normal(size=start.shape[1:]).astype(np.float32), start.shape).copy()
        for k in range(self.options.steps):
            moment = np.full((len(z), 1, 1, 1), k / self.options.steps, np.float32)
            z += (
                np.asarray(self.model.predict_on_batch([*inputs, z, _moments(moment, z)]))
                / self.options.steps
            )
        return np.asarray(start + CHANGE_SCALE * z)

    def _base(self, scene: np.ndarray) -> np.ndarray:
        assert self.channels is not None
        return np.asarray(first_guess(scene, self.channels)[0])

    def _encode(self, frames: np.ndarray) -> np.ndarray:
        return np.asarray(self.encoder.predict_on_batch(np.ascontiguousarray(frames)))

    def _figures(self, held: Batch) -> dict[str, float]:
        return super()._figures(held.part(slice(0, 4 * self.options.batch_size)))


def _completed(batch: Batch) -> np.ndarray:
    """Return the true frame where it is known, the interpolated one elsewhere."""
    known = batch.truth[..., -2:-1] > 0
    return np.where(known, batch.truth[..., :-2], batch.base)


def _moments(moment: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return sines and cosines of the moment as channels, `(n, y, x, 2 * TIME_FEATURES)`."""
    angle = moment * np.pi * 2.0 ** np.arange(TIME_FEATURES)
    features = np.concatenate([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32)
    return np.broadcast_to(features, (*like.shape[:3], features.shape[-1])).copy()


def _encoder(bands: int, latent: int, width: int) -> keras.Model:
    frame = keras.Input((None, None, bands))
    x = keras.layers.Conv2D(width, 4, strides=2, padding="same", activation="gelu")(frame)
    x = keras.layers.Conv2D(width, 4, strides=2, padding="same", activation="gelu")(x)
    return keras.Model(frame, keras.layers.Conv2D(latent, 1)(x), name="encoder")


def _decoder(bands: int, latent: int, width: int) -> keras.Model:
    code = keras.Input((None, None, latent))
    x = keras.layers.Conv2D(width, 3, padding="same", activation="gelu")(code)
    x = keras.layers.Dense(width, activation="gelu")(keras.layers.UpSampling2D(REDUCE)(x))
    return keras.Model(code, keras.layers.Dense(bands)(x), name="decoder")


def _denoiser(channels: InputChannels, latent: int, width: int, blocks: int) -> keras.Model:
    inputs = input_tensors(channels)
    layers, scene = inputs
    noisy = keras.Input((None, None, latent), name="noisy")
    moment = keras.Input((None, None, 2 * TIME_FEATURES), name="moment")
    wide = keras.layers.AveragePooling2D(REDUCE)(scene)
    blend, pooled = weigh_layers(BlockMeans(REDUCE)(layers), max(8, min(width, 32)), channels)
    base, centre = first_guess(wide, channels)
    x = keras.layers.Concatenate()([noisy, moment, 10 * (centre + blend - base), pooled, wide])
    x = keras.layers.Dense(width, activation="gelu")(x)
    for _ in range(blocks):
        step = keras.layers.Conv2D(width, 3, padding="same", activation="gelu")(x)
        x = x + keras.layers.Dense(width)(
            keras.layers.Concatenate()([step, keras.layers.Dense(width)(moment)])
        )
    velocity = keras.layers.Dense(latent)(keras.activations.gelu(x))
    return keras.Model([*inputs, noisy, moment], velocity, name="denoiser")
