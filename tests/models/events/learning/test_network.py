from datetime import date
from pathlib import Path

import numpy as np
import pytest

from features.errors import ModelError
from models.events.labels import Labels, read_labels
from models.events.learning.bundle import read_detector, write_detector
from models.events.learning.detector import ALL, fit_detector
from models.events.learning.network import StepNetwork, build, hide_looks, weight_shapes
from models.events.learning.steps import SCALED, layout
from models.events.options import EventOptions
from models.events.series import CHANNELS, EventSeries
from models.events.table import detect_events
from tests.models.events.made_series import START, meadows, mowing_labels

QUICK = EventOptions(method="combined", epochs=2, filters=4, rounds=10, rows_wanted=0, threads=1)
CUTS = [[80 + 2 * k] if k % 3 else [] for k in range(40)]
FOLD = np.arange(40) % 2


def labelled(folder: Path, cuts: list[list[int]]) -> tuple[EventSeries, Labels]:
    series = meadows(CUTS)
    mowing_labels(cuts).write_csv(folder / "labels.csv")
    return series, read_labels(folder / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))[0]


def test_a_network_alone_learns_cuts(tmp_path: Path) -> None:
    series, labels = labelled(tmp_path, CUTS)
    options = QUICK.model_copy(update={"method": "network", "epochs": 40, "filters": 8})
    detector, own = fit_detector(series, labels, FOLD, options)
    assert not detector.kinds["mowing"].boosters and set(detector.networks) == {0, 1, ALL}
    intervals = detector.intervals(series, own)
    score = detector.scores(intervals, "mowing", own)
    spans = zip(intervals.row, intervals.start, intervals.end, strict=True)
    holds = np.array([any(start < cut <= end for cut in CUTS[row]) for row, start, end in spans])
    assert score[holds].mean() > 3 * score[~holds].mean()


def test_a_label_says_nothing_of_its_own_parcel(tmp_path: Path) -> None:
    """Swap the labels of one parcel: what its own fold's network says of it stays, to the bit."""
    found = []
    for swapped in (CUTS, [[150], *CUTS[1:]]):
        series, labels = labelled(tmp_path, swapped)
        detector, own = fit_detector(series, labels, FOLD, QUICK)
        found.append(detector.intervals(series.take(np.array([0])), own[:1]).by_network)
    assert found[0] is not None and found[1] is not None and np.array_equal(found[0], found[1])


def test_what_is_read_finds_what_was_written_and_altered_weights_are_refused(tmp_path: Path) -> None:
    series, labels = labelled(tmp_path, CUTS)
    detector, _ = fit_detector(series, labels, FOLD, QUICK)
    write_detector(tmp_path, detector)
    everyone = np.full(len(series), ALL)
    again = detect_events(read_detector(tmp_path, QUICK), series, everyone)
    assert detect_events(detector, series, everyone).events.equals(again.events)
    (tmp_path / "network" / "all.npz").write_bytes(b"PK")
    with pytest.raises(ModelError, match="altered"):
        read_detector(tmp_path, QUICK)


def test_shapes_of_weights_are_known_without_the_network() -> None:
    assert [tuple(value.shape) for value in build(4).weights] == weight_shapes(4)


def test_hidden_looks_are_gone_from_values_and_from_the_days_since_a_look() -> None:
    x = np.nan_to_num(layout(meadows([[], []])))
    hidden = hide_looks(x, np.random.default_rng(1))
    gone = (x[..., SCALED] > 0) & (hidden[..., SCALED] == 0)
    assert gone.any() and not hidden[gone][:, : len(CHANNELS)].any()
    assert (hidden[gone][:, -4] > 0).all()
    assert np.array_equal(hidden[~gone][:, : len(CHANNELS)], x[~gone][:, : len(CHANNELS)])


def test_scaled_inputs_have_zero_where_nothing_was_measured() -> None:
    network = StepNetwork([], np.full(SCALED, 0.5, np.float32), np.full(SCALED, 0.25, np.float32), 4)
    inputs = layout(meadows([[]]))
    inputs[0, 0, 0], inputs[0, 1, 0] = np.nan, 1.0
    scaled = network.scaled(inputs)
    assert scaled[0, 0, 0] == 0 and scaled[0, 1, 0] == 2 and np.isfinite(scaled).all()
