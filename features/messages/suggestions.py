"""The nearest valid name, for messages that offer a cure."""

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that `name` was probably meant to be, or None where nothing is near.

    Examples
    --------
    >>> nearest("crop_cod", ["crop_code", "holding"])
    'crop_code'
    >>> nearest("GEWASCODE", ["gewascode", "gewas"])
    'gewascode'
    >>> nearest("zzz", ["gewascode"]) is None
    True
    """
    by_lower = {candidate.lower(): candidate for candidate in valid}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.55)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return " Did you mean 'x'?", or an empty string where nothing is near.

    Examples
    --------
    >>> did_you_mean("holdng", ["holding"])
    " Did you mean 'holding'?"
    """
    near = nearest(name, valid)
    return f" Did you mean {near!r}?" if near is not None else ""
