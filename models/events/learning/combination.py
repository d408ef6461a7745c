"""What boosting over intervals and the network over steps say, joined to one score."""

import numpy as np

from models.events.peaks import log_odds

SHARES = np.linspace(0, 1, 11)


def joined(boosted: np.ndarray, by_network: np.ndarray, share: float) -> np.ndarray:
    """Return `(interval,)` the mean of the two in log-odds, the network's with weight `share`.

    Examples
    --------
    >>> joined(np.array([0.9]), np.array([0.5]), 0.5).round(2)
    array([0.75])
    """
    return np.asarray(1 / (1 + np.exp(-((1 - share) * log_odds(boosted) + share * log_odds(by_network)))))


def mean_of(chances: list[np.ndarray]) -> np.ndarray:
    """Return `(interval,)` the mean of several in log-odds; one alone as it is.

    Examples
    --------
    >>> mean_of([np.array([0.9]), np.array([0.5])]).round(2), mean_of([np.array([0.9999])])
    (array([0.75]), array([0.9999]))
    """
    if len(chances) == 1:
        return np.asarray(chances[0])
    return np.asarray(1 / (1 + np.exp(-np.mean([log_odds(chance) for chance in chances], axis=0))))


def best_share(boosted: np.ndarray, by_network: np.ndarray, happened: np.ndarray) -> float:
    """Return the network's share with the lowest log-loss over `(interval)`, in tenths; 0 where nothing
    happened.

    Examples
    --------
    >>> happened = np.array([True, False])
    >>> best_share(np.array([0.5, 0.5]), np.array([0.9, 0.1]), happened)
    1.0
    """
    if not happened.any():
        return 0.0
    losses = [-np.log(np.where(happened, p, 1 - p)).mean() for p in _chances(boosted, by_network)]
    return float(SHARES[int(np.argmin(losses))])


def _chances(boosted: np.ndarray, by_network: np.ndarray) -> list[np.ndarray]:
    return [joined(boosted, by_network, share) for share in SHARES]
