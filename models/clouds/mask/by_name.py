"""Every mask by its name."""

from features.errors import ModelError
from models.clouds.mask.frames import Mask
from models.clouds.mask.methods.scene_class import SceneClassMask
from models.clouds.mask.methods.temporal import TemporalMask
from models.clouds.mask.options import FITTED, CloudMaskOptions


def build(options: CloudMaskOptions, back: bool = False) -> Mask:
    """Return a mask that needs no fitting.

    Parameters
    ----------
    back
        Whether later dates are not to be looked at, where the options leave that open.

    Raises
    ------
    ModelError
        Where the method must be fitted first, or its package is not installed.
    """
    looks_back = back if options.look is None else options.look == "back"
    if options.method == "scl":
        return SceneClassMask()
    if options.method == "fmask":
        from models.clouds.mask.methods.fmask import FmaskMask

        return FmaskMask()
    if options.method == "temporal":
        return TemporalMask(looks_back)
    if options.method in FITTED:
        raise ModelError(f"{options.method} is fitted on the region first: run `cropcheck clear CONFIG`.")
    from models.clouds.mask.methods.peers import peer

    return peer(options.method)
