"""Options of training: models, their combination, rare classes and wrong labels."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from features.options import Options
from models.crops.estimators.by_name import build, read_options
from models.crops.estimators.options import TuneFurther
from models.crops.inputs.options import BalanceOptions
from models.crops.sets.options import SetOptions


class LabelOptions(Options):
    """How declarations that look wrong are treated inside the training folds."""

    method: Literal["keep", "weigh", "drop"] = Field(
        "keep", description="Keep suspects, give them less weight, or leave them out."
    )
    weight: float = Field(0.25, ge=0, le=1, description="weigh: sample weight of a suspect.")
    most: float = Field(0.1, gt=0, le=0.5, description="Share of a class that may be suspected at most.")
    outliers: bool = Field(
        True, description="Suspect cluster outliers too, not only confident disagreements."
    )
    rounds: int = Field(40, ge=1, description="Boosting rounds of the model that looks for suspects.")


class SampleOptions(Options):
    """Parcels that models learn from; every parcel is predicted all the same."""

    size: int = Field(
        50_000,
        ge=100,
        description="Parcels that are learned from at most; all of them where there are fewer.",
    )
    rare: int = Field(
        2_000,
        ge=10,
        description="Of a class with at most this many parcels all are learned from, of others as many at "
        "least; fewer where so many of each class are more than size.",
    )


class KeepOptions(Options):
    """When fitted models are kept while new images and parcels come in, and when they are fitted anew.

    Models of events and of forecasts, which share the folds, are kept as long as the crop models, and the
    labels, are; a cloud-removal model as long as its options are. The importance of features and dates is
    measured when models are fitted, and kept with them.

    They are kept as long as nothing but images and parcels changed, the series has the same calendar,
    features and statistics, and no class that they do not know is declared often enough to be trained on.

    On one simulated region, models of mid-July lost 1.6 points of macro-F1 to new ones after one step of the
    calendar and 4.8 after three, while they saw as many parcels as declared as before: `new_steps` ends that.
    Models of May lost 4 after one step, and saw 4% fewer as declared: `most_loss` ends that.
    """

    models: bool = Field(
        True,
        description="Keep them; false, or `cropcheck run --retrain`, fits anew whenever anything changed.",
    )
    new_steps: int = Field(
        2,
        ge=0,
        description="Steps of the calendar that may be seen for the first time since they were fitted; with "
        "more, they are fitted anew.",
    )
    most_loss: float = Field(
        0.02,
        ge=0,
        le=1,
        description="They are fitted anew where the share of parcels that they see as declared, out of fold, "
        "fell by more than this since they were fitted.",
    )


class ExplanationOptions(Options):
    """Options of the explanation."""

    parcels: int = Field(400, ge=1, description="Parcels that importance is measured on.")
    permutation: bool = Field(
        True, description="Measure too what is lost out of fold when a feature, or a date, is shuffled."
    )
    forest_trees: int = Field(40, ge=0, description="Trees of the forest whose impurity is drawn; 0: none.")
    background: int = Field(
        32, ge=1, description="Training parcels that a network's expected gradients start from."
    )


class TransferOptions(Options):
    """What is taken over from finished runs of other seasons or regions."""

    runs: tuple[Path, ...] = Field(
        (), description="Output folders of these runs; a bundle's own folder serves load and tune too."
    )
    use: Literal["pool", "load", "tune"] = Field(
        "pool",
        description="pool: their parcels are trained on too, in the same folds: a holding or a "
        "field of two seasons lies on one side, for which all runs need one holding key "
        "(declarations.holding_key or CROPCHECK_HOLDING_KEY); load: their models "
        "judge as they are; tune: their networks are trained further, with an output more for every class "
        "that they do not know and that can be trained on here, and trees fitted anew. With load and tune "
        "the models are those of the bundle, and train.models is ignored.",
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Of bundle.json: another is refused."
    )
    sets: tuple[SetOptions, ...] = Field(
        (),
        description="Public labelled sets that `cropcheck pretrain` trains on; a run takes the models that "
        "it leaves by `runs` and `use: tune` and does not read the sets itself.",
    )
    tuning: TuneFurther = TuneFurther()

    @model_validator(mode="after")
    def _one_bundle(self) -> Self:
        if self.use != "pool" and len(self.runs) > 1:
            raise ValueError(f"use: {self.use} takes the models of one run; {len(self.runs)} are named")
        return self


ContextKind = Literal["weather", "soil", "elevation", "embedding", "history", "surface"]


class TrainOptions(Options):
    """The train stage."""

    models: dict[str, dict[str, Any]] = Field(
        default={"lightgbm": {}, "dense": {}, "lstm": {}},
        min_length=1,
        description="Models by name, each with its own options where they differ from its defaults; "
        "`model` gives the estimator of a name of your own.",
    )
    context: tuple[ContextKind, ...] | None = Field(
        None,
        description="Further inputs of the models; null: soil, elevation, embeddings, history where given, "
        "and weather and surface (means by month of the land-surface products under rasters) where other "
        "seasons are used: within one season they are nearly the same for all parcels.",
    )
    transfer: TransferOptions = TransferOptions()
    combination: Literal["learnt", "mean"] = Field(
        "learnt", description="Weights of the ensemble: learned inside the training folds, or equal."
    )
    least_parcels: int = Field(10, ge=2, description="Classes with fewer parcels are not trained on.")
    sample: SampleOptions = SampleOptions()
    keep: KeepOptions = KeepOptions()
    chunk: int = Field(
        4096,
        ge=1,
        description="Parcels that are read and predicted at a time; the results do not depend on it.",
    )
    balance: BalanceOptions = BalanceOptions()
    labels: LabelOptions = LabelOptions()
    explanation: ExplanationOptions = ExplanationOptions()
    ablation: bool = Field(
        False, description="Fit the first model without each kind of input too, to show what each adds."
    )
    seed: int = Field(0, ge=0, description="Seed of everything random in the fits.")
    threads: int = Field(
        2, ge=1, description="Fits side by side, one thread each; the results do not depend on it."
    )

    @model_validator(mode="after")
    def _models_exist(self) -> Self:
        for name in self.models:
            read_options(self.kind(name), **self._settings(name, fold=0))
        return self

    def kind(self, name: str) -> str:
        """Return the estimator that `name` stands for: its own `model`, or the name itself."""
        return str(self.models[name].get("model", name))

    def estimator(self, name: str, fold: int) -> Any:
        """Return the unfitted estimator `name` for one fold: its own options over the common seed."""
        return build(self.kind(name), **self._settings(name, fold))

    def _settings(self, name: str, fold: int) -> dict[str, Any]:
        own = {key: value for key, value in self.models[name].items() if key != "model"}
        return {"seed": self.seed * 1000 + fold, "threads": 1, **own}
