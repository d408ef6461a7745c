"""Public sets brought onto one calendar and one list of features and classes: what a model is trained on."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from features.accounting import Tally
from features.errors import ConfigError
from features.indices.formulas import compute, find_index
from features.limits import DEFAULT_LIMITS, MILLION, LimitOptions
from features.schema import make_series
from features.series.calendar import Calendar
from models.crops.sets.by_name import reader_of
from models.crops.sets.options import SetOptions
from models.crops.sets.sample import NO_EQUAL, UNKNOWN_CLASS, Looks, Lost, Sample, SetReader, Unit

HCAT_CODE = re.compile(r"\d{10}")
BEYOND = "beyond_per_class"
NOTHING = "nothing_in_season"
RADAR = {"vv": "s0vv_db", "vh": "s0vh_db"}


@dataclass(frozen=True)
class Gathered:
    """Labelled series of public sets.

    Attributes
    ----------
    series
        ParcelSeries with the one statistic `mean`; what a set lacks (a sensor, a band, a cloudy date) is NaN
        and not observed.
    classes, groups
        `(parcel,)` modelling classes, and places that folds keep together.
    about
        One entry a set: title, version, licence, citation, and how many samples were used or set aside.
    tallies
        Samples in, used, and set aside by reason; one a set.
    """

    series: xr.Dataset
    classes: list[str]
    groups: list[str]
    about: list[dict[str, object]]
    tallies: list[Tally]


def gather(
    sets: Sequence[SetOptions],
    class_of: Callable[[str], str | None],
    calendar: Calendar,
    features: Sequence[str],
    year: int,
    seed: int,
    limits: LimitOptions = DEFAULT_LIMITS,
) -> Gathered:
    """Read sets; their seasons are moved to `year`, by day and month.

    Parameters
    ----------
    class_of
        Modelling class of a ten-digit HCAT code, if any.
    features
        Bands, backscatter and indices that are wanted; those that no set can give are left out.

    Raises
    ------
    ConfigError
        Where a folder is not the set it is said to be, or nothing in it can be used.
    """
    steps: list[np.ndarray] = []
    names, classes, groups, about, tallies = [], [], [], [], []
    for number, options in enumerate(sets):
        reader, lost, used = reader_of(options.name), Counter[str](), 0
        units = reader.units(options.path, int(limits.set_megavalues * MILLION))
        rng = np.random.default_rng([seed, number])
        for sample, crop in _chosen(reader, units, options.per_class, class_of, rng, lost):
            values = _on_calendar(sample, calendar, features, year)
            if not np.isfinite(values).any():
                lost[NOTHING] += 1
                continue
            used += 1
            steps.append(values)
            names.append(f"{options.name}/{number}/{sample.sample_id}")
            classes.append(crop)
            groups.append(f"{options.name}/{sample.group}")
        account = Tally("pretrain", f"samples of {reader.ABOUT.title}", used + lost.total(), used, dict(lost))
        tallies.append(account)
        about.append({**asdict(reader.ABOUT), "used": used, "set_aside": dict(sorted(lost.items()))})
    if not steps:
        said = "; ".join(map(str, tallies))
        raise ConfigError(f"train.transfer.sets: no sample can be used ({said}).")
    value = np.stack(steps)
    known = np.isfinite(value).any((0, 1))
    kept = [name for name, some in zip(features, known, strict=True) if some]
    value = value[:, :, known]
    series = make_series(names, calendar.starts, kept, ("mean",), value[..., None], np.isfinite(value))
    return Gathered(series, classes, groups, about, tallies)


def _chosen(
    reader: SetReader,
    units: Sequence[Unit],
    per_class: int | None,
    class_of: Callable[[str], str | None],
    rng: np.random.Generator,
    lost: Counter[str],
) -> Iterator[tuple[Sample, str]]:
    """Yield samples with their class, in random order, until every class has enough; count the others."""
    count = Counter[str]()

    def refused(label: str) -> str | None:
        crop, reason = _class(reader, label, class_of)
        full = per_class is not None and count[crop or ""] >= per_class
        return reason or (BEYOND if full else None)

    for index in rng.permutation(len(units)):
        unit: Unit = units[index]
        if unit.label is not None and (reason := refused(unit.label)):
            lost[reason] += 1
            continue
        for sample in unit.read():
            reason = sample.reason if isinstance(sample, Lost) else refused(sample.label)
            if reason or isinstance(sample, Lost):
                lost[reason or ""] += 1
                continue
            crop, _ = _class(reader, sample.label, class_of)
            assert crop is not None
            count[crop] += 1
            yield sample, crop


def _class(
    reader: SetReader, label: str, class_of: Callable[[str], str | None]
) -> tuple[str | None, str | None]:
    """Modelling class of a set's label, or why there is none."""
    if HCAT_CODE.fullmatch(label) and label not in reader.HCAT:
        code: str | None = label
    elif label not in reader.HCAT:
        return None, UNKNOWN_CLASS
    else:
        code = reader.HCAT[label]
    crop = class_of(code) if code is not None else None
    return crop, None if crop else NO_EQUAL


def _on_calendar(sample: Sample, calendar: Calendar, features: Sequence[str], year: int) -> np.ndarray:
    """Return `(step, feature)` float32: the mean of each step's looks, NaN where there is none."""
    total = np.zeros((len(calendar), len(features)))
    count = np.zeros_like(total)
    for looks in sample.looks:
        step = calendar.step_of(_moved(looks.dates, sample.year, year))
        for place, name in enumerate(features):
            values = _feature(looks, name)
            if values is None:
                continue
            used = (step >= 0) & np.isfinite(values)
            np.add.at(total[:, place], step[used], values[used])
            np.add.at(count[:, place], step[used], 1)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return mean.astype(np.float32)


def _moved(dates: np.ndarray, year: int, to: int) -> np.ndarray:
    """Return the same days of the month in the season of `to`; 29 February may become 1 March."""
    days = dates.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    moved: np.ndarray = (months + 12 * (to - year)).astype("datetime64[D]") + (days - months)
    return moved


def _feature(looks: Looks, name: str) -> np.ndarray | None:
    """Return `(time,)` values of a feature, an index computed from the bands; None where they lack."""
    if name in looks.features:
        return looks.values[:, looks.features.index(name)]
    try:
        bands = find_index(name).bands
    except ConfigError:
        return None
    held = {band: RADAR.get(band, band) for band in bands}
    if not set(held.values()) <= set(looks.features):
        return None
    arrays = {band: looks.values[:, looks.features.index(column)] for band, column in held.items()}
    return np.asarray(compute(name, arrays))
