"""The networks by name, imported at first use: importing Keras takes ten seconds."""

from typing import TYPE_CHECKING

from models.backend import bring_up

if TYPE_CHECKING:
    from models.clouds.removal.networks.learned import Learned


def network_of(name: str) -> "type[Learned]":
    """Return the class of a learned method."""
    bring_up()
    if name == "unet":
        from models.clouds.removal.networks.unet import UNet

        return UNet
    if name == "uncrtaints":
        from models.clouds.removal.networks.uncrtaints import UnCRtainTS

        return UnCRtainTS
    from models.clouds.removal.networks.diffusion import Diffusion

    return Diffusion
