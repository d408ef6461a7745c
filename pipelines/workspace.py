"""The folder a run writes: one name for each thing in it."""

from pathlib import Path

HOLDING_KEY = ".holding_key"  # of the pseudonyms of holdings; never shown


class Workspace:
    """The paths of a run's output folder.

    Examples
    --------
    >>> Workspace(Path("out/tiny")).verdicts.as_posix()
    'out/tiny/verdicts.parquet'
    """

    def __init__(self, folder: Path) -> None:  # noqa: PLR0915 - one name for each thing in the folder
        self.folder = folder
        self.region = folder / "region"
        self.truth = self.region / "truth" / "truth.parquet"
        self.truth_composition = self.region / "truth" / "composition.parquet"
        self.truth_events = self.region / "truth" / "events.parquet"
        self.declarations = folder / "declarations.parquet"
        self.holdings = folder / "holdings.json"  # check value of the key of their pseudonyms
        self.acquisitions = folder / "acquisitions.parquet"
        self.assets = folder / "assets.parquet"
        self.image_hashes = folder / ".image_hashes.parquet"  # kept for the next run
        self.parcels = folder / "parcels.parquet"
        self.cloud_model = folder / "clear"
        self.observations = folder / "observations"
        self.series = folder / "series.nc"
        self.filled = folder / "filled.nc"
        self.context = folder / "context.parquet"
        self.weather = folder / "weather.parquet"
        self.models = folder / "models"
        self.event_models = folder / "event_models"
        self.events = folder / "events.parquet"
        self.event_chances = folder / "event_chances.parquet"
        self.event_looks = folder / "event_looks.parquet"
        self.event_journal = folder / "event_journal.parquet"
        self.forecast = folder / "forecast.parquet"
        self.anomalies = folder / "anomalies.parquet"
        self.forecast_models = folder / "forecast_models"
        self.markers = folder / "markers.parquet"
        self.outcomes = folder / "outcomes.parquet"
        self.patches = folder / "patches"
        self.composition = folder / "composition.parquet"
        self.composition_findings = folder / "composition_findings.parquet"
        self.composition_pixels = folder / "composition_pixels.parquet"
        self.probabilities = folder / "probabilities.parquet"
        self.inner = folder / "inner_probabilities.parquet"
        self.importance = folder / "importance.parquet"
        self.contributions = folder / "contributions.parquet"
        self.evaluation = folder / "evaluation"
        self.verdicts = folder / "verdicts.parquet"
        self.metrics = folder / "metrics.json"
        self.sample = self.evaluation / "quality_sample.parquet"
        self.imagery_verdicts = self.evaluation / "imagery_verdicts.parquet"
        self.design = self.evaluation / "quality_design.parquet"
        self.desk = folder / "desk"
        self.field_journal = folder / "field" / "journal.jsonl"
        self.field_design = folder / "field" / "design.parquet"
        self.field_results = folder / "field" / "results.parquet"
        self.assessment = folder / "field" / "assessment.parquet"
        self.by_stratum = folder / "field" / "by_stratum.parquet"
        self.assisted = folder / "field" / "assisted.parquet"
        self.tuned = folder / "tuned"
        self.earlier = folder / "earlier"  # what the next run is compared with
        self.reports = folder / "reports"
        self.manifest = folder / "manifest.json"
        self.audit = folder / "audit.jsonl"
        self.receipts = folder / "receipts"

    def table(self, name: str) -> Path:
        """Return the path of one evaluation table."""
        return self.evaluation / f"{name}.parquet"

    def relative(self, path: Path) -> str:
        """Return `path` as it is named in the manifest: relative to the folder where it lies inside."""
        inside = path.is_relative_to(self.folder)
        return (path.relative_to(self.folder) if inside else path).as_posix()
