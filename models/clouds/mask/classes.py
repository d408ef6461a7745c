"""The four classes of a mask, what makes a pixel unknown, and Sen2Cor's numbers for both.

Classes as in the Cloud Mask Intercomparison Exercise (Skakun et al. 2022, CMIX): clear; shadow of a cloud;
semi-transparent cloud (the ground shows through); cloud.
"""

import numpy as np

from features.errors import ModelError

NAMES = ("clear", "shadow", "thin", "cloud")
CLEAR, SHADOW, THIN, CLOUD = range(4)
UNKNOWN = 255
# why a pixel is unknown
NODATA, SATURATED, SNOW = 1, 2, 3
UNKNOWN_NAMES = {NODATA: "nodata", SATURATED: "saturated", SNOW: "snow"}
# Sen2Cor's classes: 0 no data, 1 saturated, 2 dark, 3 shadow, 4 vegetation, 5 bare, 6 water, 7 unclassified,
# 8 and 9 cloud of medium and high chance, 10 thin cirrus, 11 snow
OF_SCENE_CLASS = np.array(
    [UNKNOWN, UNKNOWN, CLEAR, SHADOW, CLEAR, CLEAR, CLEAR, CLEAR, CLOUD, CLOUD, THIN, UNKNOWN], np.uint8
)
TO_SCENE_CLASS = {CLEAR: 7, SHADOW: 3, THIN: 10, CLOUD: 9}
UNKNOWN_TO_SCENE_CLASS = {NODATA: 0, SATURATED: 1, SNOW: 11}
GROUND = (2, 4, 5, 6, 7)  # scene classes that say what the ground is, kept where the mask calls it clear


def from_scene_class(scene_class: np.ndarray) -> np.ndarray:
    """Return our classes of Sen2Cor's, uint8 of any shape; numbers that are no scene class are unknown.

    Examples
    --------
    >>> from_scene_class(np.array([4, 3, 10, 9, 0, 1e20, np.nan])).tolist()
    [0, 1, 2, 3, 255, 255, 255]
    """
    with np.errstate(invalid="ignore"):
        known = (scene_class >= 0) & (scene_class <= 11)
        index = np.where(known, scene_class, 0).astype(np.uint8)
    return np.asarray(OF_SCENE_CLASS[index])


def recoded(labels: np.ndarray, table: dict[int, int], what: str) -> np.ndarray:
    """Return labels in our classes by a table of codes, uint8 of the shape of `labels`.

    Raises
    ------
    ModelError
        Where a label stands in no table: reading it as something else would teach errors.

    Examples
    --------
    >>> recoded(np.array([[0, 2]]), {0: CLEAR, 2: CLOUD}, "a.tif").tolist()
    [[0, 3]]
    """
    found = np.unique(labels)
    strange = [value for value in found.tolist() if value not in table]
    if strange:
        raise ModelError(
            f"{what} holds the label {strange[0]:g}, which the class table ({_said(table)}) does not know; "
            "give its meaning in the table, 255 for what is to be left out.",
            reason="unknown_label",
        )
    out = np.full(labels.shape, UNKNOWN, np.uint8)
    for code, value in table.items():
        out[labels == code] = value
    return out


def _said(table: dict[int, int]) -> str:
    return ", ".join(f"{code}: {NAMES[value] if value < 4 else 'unknown'}" for code, value in table.items())
