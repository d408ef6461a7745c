"""Every cloud-removal method by its name."""

from pathlib import Path

from features.errors import ModelError
from models.clouds.removal.baselines import Baseline, Closest, Last, Linear, Mosaic, Whittaker
from models.clouds.removal.bundle import read_bundle
from models.clouds.removal.networks.ensemble import NetworkEnsemble
from models.clouds.removal.options import BASELINES, METHODS, CloudRemovalOptions
from models.clouds.removal.remover import Remover

SIMPLE: dict[str, type[Baseline]] = {"last": Last, "mosaic": Mosaic, "closest": Closest, "linear": Linear}


def build(name: str, **options: object) -> Remover | None:
    """Return an unfitted method; None for `none`.

    Parameters
    ----------
    name
        One of `METHODS`, or `none`.
    **options
        Fields of `CloudRemovalOptions`; those a method does not use change nothing in it.

    Raises
    ------
    ModelError
        Where the name is not known.

    Examples
    --------
    >>> build("linear").name
    'linear'
    """
    if name == "none":
        return None
    if name not in METHODS:
        raise ModelError(f"No cloud-removal method is called {name!r}; choose one of {['none', *METHODS]}.")
    settings = CloudRemovalOptions(**{**options, "method": name})
    if name in SIMPLE:
        return SIMPLE[name](seed=settings.seed, trust_all=settings.trusts_all)
    if name == "whittaker":
        return Whittaker(settings.smoothness_days, settings.seed, settings.trusts_all)
    return NetworkEnsemble(settings)


def load(folder: Path, sha256: str | None = None) -> Remover:
    """Read a fitted method of any kind; `sha256` is that of its `model.json`.

    Raises
    ------
    ModelError
        Where a file is absent or altered, or does not describe a method that could be rebuilt.
    """
    try:
        name = str(read_bundle(folder, sha256)[0]["name"])
        if name in BASELINES:
            return (SIMPLE | {"whittaker": Whittaker})[name].load(folder, sha256)
        return NetworkEnsemble.load(folder, sha256)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ModelError(
            f"{folder} cannot be read as a method of cloud removal ({error!r:.300}); run `cropcheck clear` "
            "to fit one again."
        ) from error
