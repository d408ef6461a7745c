import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import ModelError
from features.files import sha256
from models.events.in_season import JOURNAL, WITHDRAWN, add_to_journal, keep_reported
from models.events.labels import read_labels
from models.events.learning.boosting import MEMBERS
from models.events.learning.bundle import BUNDLE, read_detector, write_detector
from models.events.learning.detector import ALL, Detector, fit_detector
from models.events.options import EventOptions
from models.events.series import EventSeries
from models.events.table import SEEN, detect_events
from tests.models.events.made_series import START, meadows, mowing_labels
from tests.models.rehashed import HOSTILE, rehash

QUICK = EventOptions(rounds=10, rows_wanted=0, threads=1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[EventSeries, Detector, Path]:
    folder = tmp_path_factory.mktemp("events")
    cuts = [[80 + 2 * k] if k % 3 else [] for k in range(40)]
    series = meadows(cuts)
    mowing_labels(cuts).write_csv(folder / "labels.csv")
    labels, _ = read_labels(folder / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))
    detector, _ = fit_detector(series, labels, np.arange(40) % 3, QUICK)
    write_detector(folder / "event_models", detector)
    return series, detector, folder


def test_what_is_read_finds_what_was_written(fitted: tuple) -> None:
    series, detector, folder = fitted
    everyone = np.full(len(series), ALL)
    before = detect_events(detector, series, everyone).events
    after = detect_events(read_detector(folder, QUICK), series, everyone).events
    assert before.equals(after) and (before["reason"] == SEEN).any()


def test_all_boosters_of_few_labels_are_written_and_read(tmp_path: Path) -> None:
    cuts = [[80 + 2 * k] if k % 3 else [] for k in range(40)]
    series = meadows(cuts)
    mowing_labels(cuts).write_csv(tmp_path / "labels.csv")
    labels, _ = read_labels(tmp_path / "labels.csv", series.parcel_ids, START, date(2024, 10, 31))
    few = QUICK.model_copy(update={"rows_wanted": 4000, "rounds": 4})
    detector, own = fit_detector(series, labels, np.arange(40) % 2, few)
    write_detector(tmp_path / "event_models", detector)
    assert len(list((tmp_path / "event_models" / "mowing").glob("all*.txt"))) == MEMBERS
    again = read_detector(tmp_path, few)
    assert detect_events(again, series, own).chances.equals(detect_events(detector, series, own).chances)


def test_an_altered_booster_is_not_loaded(fitted: tuple, tmp_path: Path) -> None:
    _, detector, _ = fitted
    write_detector(tmp_path, detector)
    booster = tmp_path / "mowing" / "all.txt"
    booster.write_text(booster.read_text().replace("num_leaves", "num_leaveS", 1))
    with pytest.raises(ModelError, match="altered"):
        read_detector(tmp_path, QUICK)


def test_the_bundles_own_hash_is_checked_before_it_is_parsed(fitted: tuple, tmp_path: Path) -> None:
    _, detector, _ = fitted
    path = write_detector(tmp_path, detector)
    expected = sha256(path)
    assert read_detector(tmp_path, QUICK, expected)
    path.write_text("{")
    with pytest.raises(ModelError, match="SHA-256"):
        read_detector(tmp_path, QUICK, expected)
    with pytest.raises(ModelError, match="cannot be read"):
        read_detector(tmp_path, QUICK)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_booster_is_refused_though_its_hash_is_right(
    name: str, fitted: tuple, tmp_path: Path
) -> None:
    bundle = write_detector(tmp_path, fitted[1])
    rehash(bundle, tmp_path / "mowing" / "all.txt", HOSTILE[name])
    with pytest.raises(ModelError, match=r"all\.txt: The LightGBM model is not as LightGBM writes it"):
        read_detector(tmp_path, QUICK)


def test_models_are_held_against_the_manifest_of_their_run(fitted: tuple, tmp_path: Path) -> None:
    bundle = write_detector(tmp_path / "event_models", fitted[1])
    noted = {"outputs": {"event_models/events.json": sha256(bundle)}}
    (tmp_path / "manifest.json").write_text(json.dumps(noted))
    assert read_detector(tmp_path, QUICK).kinds["mowing"].learned
    rehash(bundle, tmp_path / "event_models" / "mowing" / "all.txt", lambda text: text + "\n")
    for folder in (tmp_path, tmp_path / "event_models"):
        with pytest.raises(ModelError, match=r"events\.json has SHA-256 .* was expected") as refused:
            read_detector(folder, QUICK)
        assert refused.value.reason == "altered"


def kind(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda stored: stored["kinds"]["mowing"].update(changes)


def chance(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda stored: stored["kinds"]["mowing"]["chances"].update(
        {"-1": {"weights": [], "intercept": 0.0, "reported_from": 0.5, "n": 9} | changes}
    )


@pytest.mark.parametrize(
    "change",
    [
        chance(weights=[float("nan")] * 5), chance(weights=[1.0]), chance(intercept=float("inf")),
        chance(reported_from="x"), chance(n=None), kind(date_share=7), kind(date_share=float("nan")),
        kind(boosters=[]), kind(boosters={"0": [{"file": "../../x", "sha256": "0"}]}),
        kind(chances={"0": {}}), kind(boosters={"0": 3}), kind(boosters={"-1": []}),
        lambda stored: stored.update(kinds=[]),
        lambda stored: stored["kinds"]["mowing"]["boosters"].pop("-1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence(
    change: Callable[[dict[str, Any]], object], fitted: tuple, tmp_path: Path
) -> None:
    bundle = write_detector(tmp_path, fitted[1])
    stored = json.loads(bundle.read_text())
    change(stored)
    bundle.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match=r"(?i)copy"):
        read_detector(tmp_path, QUICK)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '"a"', "\0"])
def test_documents_of_another_kind_are_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / BUNDLE).write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        read_detector(tmp_path, QUICK)


def test_a_folder_without_models_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=BUNDLE):
        read_detector(tmp_path, QUICK)


def event(day: date, reason: str = SEEN) -> dict:
    return {
        "parcel_id": "a", "event": "mowing", "earliest": day, "latest": day, "date": day, "probability": 0.9,
        "sensors": ["s2"], "gap_days": 5, "evidence": "", "reason": reason,
    }  # fmt: skip


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={name: kind for name, kind in JOURNAL.items() if name != "as_of"})


def test_a_reported_event_is_refined_or_withdrawn_and_never_gone() -> None:
    june, july = date(2024, 6, 30), date(2024, 7, 31)
    first = table(event(date(2024, 5, 10)), event(date(2024, 6, 10)))
    journal = add_to_journal(JOURNAL.to_frame(), first, june)
    now = table(event(date(2024, 6, 12)), event(date(2024, 5, 10), "weak_signal"))
    kept = keep_reported(now, journal, july)
    assert kept["date"].to_list() == [date(2024, 5, 10), date(2024, 6, 12)]
    assert kept["reason"].to_list() == [WITHDRAWN, SEEN]
    assert "reported on 2024-06-30 with a chance of 0.9" in kept["evidence"][0]


def test_the_same_day_again_comes_to_the_same() -> None:
    june = date(2024, 6, 30)
    first = table(event(date(2024, 5, 10)))
    journal = add_to_journal(JOURNAL.to_frame(), first, june)
    assert keep_reported(first, journal, june).equals(first)
    assert add_to_journal(journal, first, june).equals(journal)
