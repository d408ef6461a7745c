"""The U-Net of the mask (Ronneberger et al. 2015), of four levels; `keras.ops` and layers only."""

import keras

LEVELS = 4


def build_network(width: int, channels: int) -> keras.Model:
    """Return the network: channels `(n, y, x, channel)` to logits `(n, y, x, class)`.

    Widths are `width` times 1, 2, 4 and 8; sides must be multiples of 8.
    """
    inputs = keras.Input((None, None, channels))
    return keras.Model(inputs, keras.layers.Conv2D(4, 1)(u_levels(inputs, width, LEVELS)))


def u_levels(x: keras.KerasTensor, width: int, levels: int) -> keras.KerasTensor:
    """Return `(n, y, x, width)`: a U of `levels`, each with twice the channels of the one above.

    Sides must be multiples of `2 ** (levels - 1)`.
    """
    skips = []
    for level in range(levels):
        if level:
            x = keras.layers.MaxPooling2D(2)(x)
        x = _block(_block(x, width << level), width << level)
        skips.append(x)
    for level in reversed(range(levels - 1)):
        x = keras.layers.UpSampling2D(2)(x)
        x = keras.layers.Concatenate()([skips[level], keras.layers.Conv2D(width << level, 1)(x)])
        x = _block(x, width << level)
    return x


def _block(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    return keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
