"""A U-Net on the target frame, its neighbours in time and radar.

Faithful to the idea, not to one paper: neighbours are the clear observations before and after each pixel's
gap, put together as layers, rather than whole frames with holes; each layer is scored by a shared 1x1
network and the scored mean is the first guess, which the U corrects from the concatenated layers. `small`
has one 3x3 convolution at each of two depths; `full` is a plain U-Net of 64 to 512 channels (Ronneberger et
al. 2015).
"""

import keras

from models.clouds.removal.inputs.channels import InputChannels
from models.clouds.removal.networks.layers import (
    Flatten,
    Joined,
    Tensor,
    correct,
    first_guess,
    input_tensors,
    weigh_layers,
)
from models.clouds.removal.networks.learned import Learned

SMALL_WIDTH, FULL_WIDTH = 24, 64
SCORE_WIDTH = 16
PIXEL_WIDTHS = 4  # times the width: a pixel's own layers need more channels than its surroundings


class UNet(Learned):
    """U-Net; see the module."""

    name = "unet"
    margin_px = 32

    def network(self, channels: InputChannels) -> keras.Model:
        """Return the Keras model for these channels."""
        full = self.options.size == "full"
        width = self.options.width or (FULL_WIDTH if full else SMALL_WIDTH)
        inputs = input_tensors(channels)
        layers, scene = inputs
        blend, pooled = weigh_layers(layers, min(width, SCORE_WIDTH), channels)
        seen = [pooled, Flatten()(layers), scene]
        features = _full(keras.layers.Concatenate()(seen), width) if full else _small(seen, width)
        guess = first_guess(scene, channels)[1] + blend
        return keras.Model(inputs, correct(guess, features, scene, channels), name=self.name)


def _small(seen: list[Tensor], width: int) -> Tensor:
    top = Joined(PIXEL_WIDTHS * width, name="top")(seen)
    half = _conv(keras.layers.AveragePooling2D(2)(top), width, "half")
    quarter = _conv(keras.layers.AveragePooling2D(2)(half), width, "quarter")
    half = Joined(width, name="half_up")([keras.layers.UpSampling2D(2)(quarter), half])
    return Joined(PIXEL_WIDTHS * width, name="merge")([keras.layers.UpSampling2D(2)(half), top])


def _full(inputs: Tensor, width: int) -> Tensor:
    skips, x = [], inputs
    for level in range(3):
        x = _conv(_conv(x, width * 2**level, f"down{level}a"), width * 2**level, f"down{level}b")
        skips.append(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = _conv(_conv(x, width * 8, "bottom_a"), width * 8, "bottom_b")
    for level in reversed(range(3)):
        x = keras.layers.Concatenate()([keras.layers.UpSampling2D(2)(x), skips[level]])
        x = _conv(_conv(x, width * 2**level, f"up{level}a"), width * 2**level, f"up{level}b")
    return x


def _conv(x: Tensor, width: int, name: str) -> Tensor:
    return keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=name)(x)
