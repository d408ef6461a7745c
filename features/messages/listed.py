"""Names as a sentence lists them."""

from collections.abc import Iterable

MOST = 40


def listed(names: Iterable[object], most: int = MOST) -> str:
    """Return names with commas between them; in quotes where they could be misread.

    Empty names, and those with a comma, outer spaces or control characters, are quoted.

    Parameters
    ----------
    most
        Of more names, the first are listed, and how many follow.

    Examples
    --------
    >>> listed(["B02", "B03"]), listed([]), listed(["", "a, b"])
    ('B02, B03', 'none', "'', 'a, b'")
    >>> listed(range(30), most=3)
    '0, 1, 2 and 27 more'
    """
    texts = [str(name) for name in names]
    shown = ", ".join(text if _is_plain(text) else repr(text) for text in texts[:most])
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{shown}{more}" or "none"


def _is_plain(text: str) -> bool:
    return bool(text) and "," not in text and text == text.strip() and text.isprintable()
