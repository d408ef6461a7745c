"""What is said of a run's crop models: kept or fitted, on which images, and which they do not know."""

from collections.abc import Mapping
from datetime import date
from typing import Any

SENSORS = {"s1": "radar", "s2": "optical"}


def fit_sentence(fit: Mapping[str, Any]) -> str:
    """Return one sentence of what a receipt of `train` says under `fit`; empty where it says nothing.

    Examples
    --------
    >>> fit = {"kept": True, "until": "2024-06-12", "parcels": 2600, "newer": {"s1": 4, "s2": 2}}
    >>> fit_sentence(fit)
    'the models of 12 June 2024 are kept: 4 radar and 2 optical images that came later were not fitted on'
    >>> fit_sentence({**fit, "kept": False, "newer": {}})
    'the models were fitted on images up to 12 June 2024, 2,600 parcels'
    """
    if not fit:
        return ""
    until = _day(fit["until"])
    if not fit["kept"]:
        why = f"; those before were not kept: {fit['why_fitted']}" if fit.get("why_fitted") else ""
        return f"the models were fitted on images up to {until}, {fit['parcels']:,} parcels{why}"
    newer = [f"{count} {SENSORS.get(sensor, sensor)}" for sensor, count in fit["newer"].items() if count]
    rest = (
        f"{' and '.join(newer)} images that came later were not fitted on" if newer else "no image is newer"
    )
    return f"the models of {until} are kept: {rest}"


def _day(text: str) -> str:
    if not text:
        return "no day"
    day = date.fromisoformat(text)
    return f"{day.day} {day:%B %Y}"
