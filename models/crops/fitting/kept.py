"""Models that are kept while images come in: what they were fitted on, and whether they are still valid."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import polars as pl
import xarray as xr

from features.files import fingerprint, is_vouched, read_parquet, sha256, vouched_path, write_json
from models.crops.estimators.by_name import estimator_type
from models.crops.fitting.options import ExplanationOptions, TrainOptions

FOLDER = "fitted"  # below the folder of the models
FIT, PARCELS, SUSPECTED = "fit.json", "parcels.parquet", "suspects.parquet"
IMPORTANCE = "importance"  # what the models go by, measured when they were fitted: a file an explanation
NOTES = ("job.json", "held_out.parquet")  # beside a model: when it was fitted, and what it last predicted
AXES = ("time", "feature", "statistic")
NAMED = 3
Images = Mapping[str, Sequence[str]]  # times of acquisitions by sensor, in order


@dataclass(frozen=True)
class Fit:
    """What a run's models were fitted on.

    Attributes
    ----------
    stands_on
        Options, code and libraries that the series and the models were made with, by name.
    axes
        Times, features and statistics of the series, as text.
    seen
        Steps of the calendar on which any parcel was observed, by position.
    images
        Times of the acquisitions that were used, by sensor.
    classes, folds
        Names of the classes that the models know, and numbers of the folds that they were fitted without.
    parcels
        Parcels that were trained on.
    agreement
        Share of those that the models, each without its fold, saw as declared.
    files
        SHA-256 of every file of the models, by `<model>/<folds left out>/<file>`.
    """

    stands_on: dict[str, object]
    axes: dict[str, list[str]]
    seen: list[int]
    images: dict[str, list[str]]
    classes: list[str]
    folds: list[int]
    parcels: int
    agreement: float
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Hash of all this: equal for equal fits."""
        return fingerprint(asdict(self))

    @property
    def until(self) -> str:
        """Day of the last image that was used; empty where none was."""
        return last_day(self.images)

    def newer(self, images: Images) -> dict[str, int]:
        """Count the acquisitions that the fit did not use, by sensor."""
        return {
            sensor: len(set(times) - set(self.images.get(sensor, ())))
            for sensor, times in sorted(images.items())
        }


def last_day(images: Images) -> str:
    """Return the day of the last image; empty where there is none.

    Examples
    --------
    >>> last_day({"s1": ["2024-06-03T17:32:10"], "s2": []}), last_day({})
    ('2024-06-03', '')
    """
    return max((times[-1][:10] for times in images.values() if times), default="")


def write_fit(
    folder: Path, fit: Fit, declarations: gpd.GeoDataFrame, fold: np.ndarray, suspects: pl.DataFrame
) -> None:
    """Write beside the models in `folder` what they were fitted on, the description last; what was measured
    of models that lay there before is deleted.

    Parameters
    ----------
    declarations
        `holding_id` and geometry of the parcels; a point inside each is kept.
    fold
        `(parcel,)`; parcels of fold -1, which no model was trained on, are left out.
    suspects
        What label cleaning saw (`CrossFit.suspects`).
    """
    there = folder / FOLDER
    there.mkdir(parents=True, exist_ok=True)
    for path in there.glob(f"{IMPORTANCE}-*.parquet"):
        path.unlink()  # it tells of the models before
    used = (fold >= 0) & ~declarations.geometry.is_empty.to_numpy()
    of = declarations[used]
    points = gpd.GeoDataFrame(
        {"holding_id": of["holding_id"].to_numpy(), "fold": fold[used].astype(np.int32)},
        geometry=of.geometry.representative_point().to_numpy(),
        crs=declarations.crs,
    )
    with vouched_path(there / PARCELS) as partial:
        points.to_parquet(partial)
    with vouched_path(there / SUSPECTED) as partial:
        suspects.write_parquet(partial)
    with vouched_path(there / FIT) as partial:
        write_json(partial, asdict(fit))


def read_fit(folder: Path) -> Fit | None:
    """Return what the models in `folder` were fitted on; None where that is not there, or not as written."""
    there = folder / FOLDER
    if not all(is_vouched(there / name) for name in (FIT, PARCELS, SUSPECTED)):
        return None
    try:
        return Fit(**json.loads((there / FIT).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, TypeError):
        return None


def forget_fit(folder: Path) -> None:
    """Let the next run fit anew."""
    (folder / FOLDER / FIT).unlink(missing_ok=True)


def suspects_of(folder: Path) -> pl.DataFrame:
    """Return what label cleaning saw when the models were fitted."""
    return read_parquet(folder / FOLDER / SUSPECTED)


def importance_file(folder: Path, options: ExplanationOptions) -> Path:
    """Return where the importance of the models in `folder` lies, as these options measured it."""
    return folder / FOLDER / f"{IMPORTANCE}-{fingerprint(options.model_dump(mode='json'))[:12]}.parquet"


def files_of(folder: Path, options: TrainOptions) -> dict[str, str]:
    """Return the SHA-256 of every file of the models that were fitted into `folder`."""
    found = (path for name in options.models for path in sorted((folder / name).glob("fold_*/*")))
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in found
        if path.name not in NOTES and not path.name.startswith(".")
    }


def axes_of(series: xr.Dataset) -> dict[str, list[str]]:
    """Return times, features and statistics of a ParcelSeries, as text."""
    return {axis: [str(value) for value in series[axis].to_numpy()] for axis in AXES}


def why_not(
    fit: Fit,
    folder: Path,
    options: TrainOptions,
    stands_on: Mapping[str, object],
    axes: Mapping[str, list[str]],
    seen: Sequence[int],
    images: Images,
    trainable: Sequence[str],
    folds: Sequence[int],
) -> str:
    """Say why models are fitted anew; empty where they may be kept.

    Parameters
    ----------
    stands_on, axes, seen, images
        As `Fit` has them, of the run as it is now.
    trainable
        Classes that could be trained on now.
    folds
        Numbers of the folds of the parcels now.
    """
    now = _Now(folder, options, stands_on, axes, seen, images, trainable, folds)
    return next(now.against(fit), "")


@dataclass(frozen=True)
class _Now:
    """A run as it is now, as `why_not` takes it."""

    folder: Path
    options: TrainOptions
    stands_on: Mapping[str, object]
    axes: Mapping[str, list[str]]
    seen: Sequence[int]
    images: Images
    trainable: Sequence[str]
    folds: Sequence[int]

    def against(self, fit: Fit) -> Iterator[str]:
        """Yield the reasons to fit anew, those that are quickly found first."""
        keep = self.options.keep
        if not keep.models:
            yield "train.keep.models is false"
        for name in self.options.models:
            if not estimator_type(self.options.kind(name)).storable:
                yield f"{name} cannot be stored"
        names = sorted({*fit.stands_on, *self.stands_on})
        if changed := [name for name in names if fit.stands_on.get(name) != self.stands_on.get(name)]:
            yield f"{_some(changed)} changed"
        for axis in AXES:
            if fit.axes[axis] != self.axes[axis]:
                yield _other_axis(axis, len(fit.axes[axis]), len(self.axes[axis]))
        if fit.until > (last := last_day(self.images)):
            yield f"they learned from an image of {fit.until}, later than any of this run ({last or 'none'})"
        new_steps = len(set(self.seen) - set(fit.seen))
        if new_steps > keep.new_steps:
            yield (
                f"{new_steps} steps of the calendar were seen for the first time since; "
                f"train.keep.new_steps allows {keep.new_steps}"
            )
        if unknown := sorted(set(self.trainable) - set(fit.classes)):
            yield f"the models do not know {_some(unknown)}, now declared often enough"
        if sorted(self.folds) != fit.folds:
            yield f"{len(self.folds)} of their {len(fit.folds)} folds have parcels"
        if files_of(self.folder, self.options) != fit.files:
            yield "the files of the models are not those that were fitted together"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _other_axis(axis: str, before: int, now: int) -> str:
    words = {"time": "the calendar", "feature": "the features", "statistic": "the statistics"}[axis]
    counts = f"has {now} steps, not {before}" if axis == "time" and now != before else "changed"
    return f"{words} {counts}"


def fitted_parcels(folder: Path) -> gpd.GeoDataFrame:
    """Return the parcels that the models in `folder` were fitted on: `holding_id, fold`, a point in each."""
    return gpd.read_parquet(folder / FOLDER / PARCELS)
