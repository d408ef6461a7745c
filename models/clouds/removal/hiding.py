"""Hiding parts of clear frames under the real masks of other dates: training and scoring without labels.

As U-TILISE does (Stucker et al. 2023, ISPRS Journal 203): at most half of the frames are touched at a time,
and a mask that covers nearly everything hides its frame wholly; so do masks that cover nothing of what was
seen.
"""

import logging

import numpy as np

from features.errors import ModelError

NOTHING_CLEAR = "nothing_clear"  # reason of errors: too little was seen to learn from
WHOLLY = 0.9  # share of cloud above which the whole frame goes
LEAST_CLOUD = 0.05  # a mask of less cloud hides nothing worth learning from

log = logging.getLogger(__name__)


def hide(
    clear: np.ndarray, rng: np.random.Generator, share: float = 0.5, frames: np.ndarray | None = None
) -> np.ndarray:
    """Choose frames and hide what the mask of another date covers.

    Parameters
    ----------
    clear
        `(time, y, x)` bool.
    share
        Of the frames with anything clear; at most half.
    frames
        Indices that may be hidden; all by default.

    Returns
    -------
    np.ndarray
        `(time, y, x)` bool: hidden, and clear in truth.

    Raises
    ------
    ModelError
        Where fewer than two frames have anything clear: nothing could be restored from the rest.
    """
    seen = np.flatnonzero(clear.any(axis=(1, 2)))
    if len(seen) < 2:
        raise ModelError(
            f"{len(seen)} of {len(clear)} frames have a clear pixel; "
            f"cloud removal needs two; widen the season.",
            reason=NOTHING_CLEAR,
        )
    allowed = seen if frames is None else np.intersect1d(seen, frames)
    count = min(len(allowed), max(1, int(share * len(seen))))
    masks = cloud_masks(clear)
    hidden = np.zeros_like(clear)
    chosen = rng.choice(allowed, size=count, replace=False)
    for frame in chosen:
        others = [k for k in masks if k != frame]
        cover = ~clear[rng.choice(others)] if others else np.ones(clear.shape[1:], bool)
        hidden[frame] = clear[frame] & (cover | (cover.mean() > WHOLLY))
    if not hidden.any():  # the masks that were drawn cover nothing that was seen
        hidden[chosen] = clear[chosen]
    return hidden


def cloud_masks(clear: np.ndarray) -> np.ndarray:
    """Return the indices of the frames of `clear (time, y, x)` whose mask covers something; empty where no
    frame has cloud, and frames are then hidden whole.
    """
    found = np.flatnonzero(1 - clear.mean(axis=(1, 2)) > LEAST_CLOUD)
    if not len(found):
        log.info("No frame has cloud, so whole frames are hidden instead of parts of them.")
    return found
