"""What is foretold of a run, as lines for people."""

from collections.abc import Callable, Mapping


def each(parts: Mapping[str, float], words: Callable[[float], str], least: float) -> str:
    """Return stages with what each takes, in words, where that is at least `least`."""
    return ", ".join(f"{name} {words(value)}" for name, value in parts.items() if value >= least)


def size_words(size: float) -> str:
    """Return bytes as people say them.

    Examples
    --------
    >>> size_words(748e6), size_words(3.2e9), size_words(2e5)
    ('748 MB', '3.2 GB', '0.2 MB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    Examples
    --------
    >>> duration(42.0), duration(600.0), duration(9000.0)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
