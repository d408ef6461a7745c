"""Which channels a network takes, from the options and from what the training windows hold."""

import numpy as np

from features.errors import ModelError
from features.messages.listed import listed
from models.clouds.removal.cube import Cube
from models.clouds.removal.inputs.channels import InputChannels
from models.clouds.removal.inputs.radar import VIEWS
from models.clouds.removal.inputs.sources import Sources
from models.clouds.removal.options import CloudRemovalOptions
from models.clouds.removal.remover import check_same_bands


def choose_channels(
    cubes: list[Cube], options: CloudRemovalOptions, name: str, sources: Sources
) -> InputChannels:
    """Return the channels that the options ask for and the cubes have.

    Raises
    ------
    ModelError
        Where the cubes' bands differ, or a configured radar or context channel is absent.
    """
    first = cubes[0]
    for cube in cubes:
        check_same_bands(cube.bands, first.bands, name)
    with_radar = options.inputs != "s2" and first.backscatter is not None
    if options.inputs == "s1" and not with_radar:
        raise ModelError("clear.inputs is s1 but the imagery holds no radar; choose s2 or both.")
    context = _channels(options.context, list(first.context))
    moments = tuple(
        _moments(np.concatenate([c.context[channel].ravel() for c in cubes])) for channel in context
    )
    return InputChannels(
        bands=first.bands,
        radar=VIEWS * first.backscatter.shape[1] if with_radar and first.backscatter is not None else 0,
        neighbours=options.neighbours,
        recent=options.which == "recent",
        optical=options.inputs != "s1",
        context=context,
        moments=moments,
        constant=tuple(_medians(cubes).tolist()),
        trust_all=sources.trust_all,
        haze=sources.haze,
    )


def _channels(wanted: tuple[str, ...], held: list[str]) -> tuple[str, ...]:
    """Return the channels of the wanted names; `weather` selects all its variables."""
    found = {name: [h for h in held if h == name or h.startswith(f"{name}:")] for name in wanted}
    absent = sorted(name for name, channels in found.items() if not channels)
    if absent:
        raise ModelError(
            f"The stack lacks the context channels {listed(absent)}; it has {listed(sorted(held))}."
        )
    return tuple(channel for channels in found.values() for channel in channels)


def _medians(cubes: list[Cube]) -> np.ndarray:
    """Return each band's median over the clear pixels of some windows: the base where no optics are seen."""
    clear = [np.moveaxis(c.reflectance, 1, -1)[c.clear][:20_000] for c in cubes]
    return np.asarray(np.median(np.concatenate(clear), axis=0), np.float64)


def _moments(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.mean()), max(float(known.std()), 1e-6)) if len(known) else (0.0, 1.0)


def check_context(cube: Cube, channels: InputChannels) -> None:
    """Raise a ModelError where a context channel that the model was trained on is absent."""
    absent = sorted(set(channels.context) - set(cube.context))
    if absent:
        raise ModelError(
            f"The stack lacks the context channels {listed(absent)} that the model was trained on; "
            f"it has {listed(sorted(cube.context))}."
        )
