"""The config of a run: one YAML file, composed of each room's own options."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from features.catalog.access.hrefs import without_secrets
from features.catalog.options import ImageryOptions
from features.context.options import (
    EmbeddingOptions,
    HistoryOptions,
    LandSurfaceOptions,
    check_earlier,
    check_year,
)
from features.declarations.options import DeclarationOptions
from features.errors import ConfigError
from features.extraction.options import ExtractOptions
from features.limits import LimitOptions
from features.messages.listed import listed
from features.messages.option_faults import option_faults
from features.messages.suggestions import did_you_mean
from features.options import Options
from features.series.options import GapfillOptions, SeriesOptions
from features.simulate.options import SimulationOptions
from models.assessment.options import SampleOptions
from models.clouds.mask.options import ClearOptions
from models.crops.fitting.options import TrainOptions
from models.events.options import EventOptions
from models.folds import GroupBy
from models.forecast.options import ForecastOptions
from models.patches.options import PatchOptions
from models.tuning.options import TuneOptions
from models.verdicts.options import JudgeOptions
from pipelines.yamlfile import parse_yaml, read_yaml
from reports.options import PublishOptions

OWN_MAPS = ("soil", "elevation", "weather")
DATA_PATHS = ("declarations.path", "imagery.catalog", "weather", "soil", "elevation", "embeddings.path")
RasterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class SeasonOptions(Options):
    """The season that is judged: its year and the dates whose imagery counts."""

    year: int = Field(ge=2015, le=2100, description="Year of the harvest, by which the season is called.")
    start: date = Field(description="First day whose imagery counts (YYYY-MM-DD).")
    end: date = Field(description="Last day whose imagery counts (YYYY-MM-DD).")
    until: date | None = Field(None, description="Use only observations up to this day, as if in season.")

    @model_validator(mode="after")
    def _in_order(self) -> "SeasonOptions":
        if self.end <= self.start:
            raise ValueError(f"end {self.end} must come after start {self.start}")
        if self.until is not None and self.until < self.start:
            raise ValueError(f"until {self.until} must not come before start {self.start}")
        return self


class FoldOptions(Options):
    """How parcels are dealt into folds, so that none is judged by a model that trained on it."""

    count: int = Field(5, ge=2, le=50, description="Folds.")
    by: GroupBy = Field("holding_and_block", description="What stays on one side of a fold.")
    block_metres: float | None = Field(
        None, gt=0, description="Side of a spatial block; from the data where left out."
    )


class TrackingOptions(Options):
    """Where MLflow keeps the runs."""

    enabled: bool = Field(True, description="Whether runs are recorded.")
    store: str = Field(
        "sqlite:///mlruns/mlflow.db", description="Database or server that MLflow writes to, as an address."
    )
    artifacts: Path = Field(Path("mlruns/artifacts"), description="Folder of the files that a record keeps.")
    experiment: str = Field("cropcheck", description="Name of the experiment that runs are kept under.")

    @field_validator("store")
    @classmethod
    def _no_password(cls, store: str) -> str:
        if urlsplit(store).password:
            raise ValueError(
                "holds a password, which would be written into the run's record; leave it out and put it "
                "into ~/.pgpass or MLFLOW_TRACKING_PASSWORD"
            )
        return store


class RunConfig(Options):
    """Everything a run depends on."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="Name of the run: its output folder is out/NAME/. Letters, digits, `_` and `-`.",
    )
    seed: int = Field(default=1, ge=0, description="Seed of every random choice of the run.")
    season: SeasonOptions
    simulate: SimulationOptions | None = None
    declarations: DeclarationOptions
    imagery: ImageryOptions = ImageryOptions()
    weather: Path | None = Field(None, description="Daily weather: date, t_min_c, t_max_c, precipitation_mm.")
    soil: Path | None = Field(None, description="Raster of soil classes.")
    elevation: Path | None = Field(None, description="Raster of elevation, metres.")
    embeddings: EmbeddingOptions | None = None
    history: tuple[HistoryOptions, ...] = Field(
        (), description="Parcel files of earlier years; what was declared there before is an input of models."
    )
    rasters: dict[RasterName, Path | LandSurfaceOptions] = Field(
        {},
        description="Other maps that clear.context may name: a GeoTIFF, a folder of dated ones, or LSA SAF "
        "products: {product: lsa_saf, path: DIR, aggregate: day, dekad or month, most_missing: 20}.",
    )
    clear: ClearOptions = ClearOptions()
    extract: ExtractOptions = ExtractOptions()
    series: SeriesOptions = SeriesOptions()
    limits: LimitOptions = LimitOptions()
    fill: GapfillOptions = GapfillOptions()
    folds: FoldOptions = FoldOptions()
    train: TrainOptions = TrainOptions()
    patches: PatchOptions = PatchOptions()
    events: EventOptions = EventOptions()
    forecast: ForecastOptions = ForecastOptions()
    judge: JudgeOptions = JudgeOptions()
    sample: SampleOptions = SampleOptions()
    tune: TuneOptions = TuneOptions()
    publish: PublishOptions = PublishOptions()
    previous: Path | None = Field(None, description="Output folder of last season's run, for drift.")
    tracking: TrackingOptions = TrackingOptions()


def load_config(
    path: Path,
    settings: list[str] | None = None,
    data: Path | None = None,
    overlays: list[Path] | None = None,
) -> RunConfig:
    """Read a config file, lay other files and then `key=value` settings over it.

    Parameters
    ----------
    data
        Folder that the config's relative paths of parcels, imagery, weather, soil, elevation and rasters lie
        in, where it holds them.

    Raises
    ------
    ConfigError
        Naming the dotted path of what is wrong, and the nearest valid name of an unknown key.
    """
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(f"{path} must be a mapping of sections ({', '.join(RunConfig.model_fields)}).")
    for overlay in overlays or []:
        document = _merged(document, read_yaml(overlay), overlay)
    for setting in settings or []:
        _apply(document, setting)
    if data is not None:
        _place(document, data)
    try:
        config = RunConfig.model_validate(document)
    except ValidationError as error:
        told = option_faults(error, RunConfig, lambda value: without_secrets(repr(value)))
        raise ConfigError("\n  ".join([f"{path} cannot be used:", *told])) from error
    check_channels(config)
    if config.patches.method != "none" and config.series.tables:
        raise ConfigError("patches needs imagery; a run from tables of series takes patches.method: none.")
    if config.clear.mask.method == "s2cloudless" and config.imagery.level != "L1C":
        raise ConfigError(
            "clear.mask.method s2cloudless needs reflectance at the top of the atmosphere: set "
            "imagery.level: L1C and imagery.catalog to one of level 1C, or choose temporal, unet or "
            "ukis_csmask."
        )
    for source in config.history:
        check_earlier(source, config.season.year)
    if config.embeddings is not None:
        check_year(config.embeddings, config.season.year, config.season.until is not None)
    return config


def check_channels(config: RunConfig) -> None:
    """Raise a ConfigError where `clear.context` names what the config gives no file for."""
    taken = sorted(set(OWN_MAPS) & set(config.rasters))
    if taken:
        raise ConfigError(
            f"rasters: {listed(taken)} are keys of their own; write the path there, or rename them."
        )
    made = config.simulate is not None
    given = [name for name in OWN_MAPS if made or getattr(config, name) is not None] + list(config.rasters)
    unknown = [name for name in config.clear.context if name not in given]
    if unknown:
        near = did_you_mean(unknown[0], given)
        raise ConfigError(
            f"clear.context names {listed(unknown)}, for which the config gives no file; it gives "
            f"{listed(given)}.{near} Else give its file: {listed(OWN_MAPS)} have their own keys, others go "
            "under rasters."
        )


def _merged(below: dict[str, Any], above: Any, source: Path) -> dict[str, Any]:
    """Lay one mapping over another, section by section."""
    if not isinstance(above, dict):
        raise ConfigError(f"{source} must be a mapping of sections, as a config is.")
    both = {**below, **above}
    shared = [name for name in above if isinstance(below.get(name), dict) and isinstance(above[name], dict)]
    return {**both, **{name: _merged(below[name], above[name], source) for name in shared}}


def _apply(document: dict[str, Any], setting: str) -> None:
    dotted, equals, text = setting.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"--set takes key=value, for example --set season.year=2024; here is {setting!r}.")
    *parents, last = dotted.split(".")
    section = document
    for name in parents:
        child = section.get(name)
        section[name] = child if isinstance(child, dict) else {}
        section = section[name]
    section[last] = parse_yaml(text, f"--set {dotted}")


def _place(document: dict[str, Any], data: Path) -> None:
    if not data.is_dir():
        raise ConfigError(f"--data {data} is not a folder; name the folder that the config's paths lie in.")
    rasters = document.get("rasters")
    named = rasters.items() if isinstance(rasters, dict) else ()
    more = [f"rasters.{name}{'.path' if isinstance(one, dict) else ''}" for name, one in named]
    for dotted in (*DATA_PATHS, *more):
        *parents, last = dotted.split(".")
        section: Any = document
        for name in parents:
            section = section.get(name) if isinstance(section, dict) else None
        path = section.get(last) if isinstance(section, dict) else None
        if isinstance(path, str) and (data / path).exists():
            section[last] = str(data / path)
