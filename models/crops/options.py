"""What can be chosen about training: which models, how combined, what of rare and wrong labels."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from features.options import Options
from models.crops.catalogue import build
from models.crops.imbalance import BalanceOptions
from models.labels import LabelOptions


class ExplanationOptions(Options):
    """How much of the models is explained."""

    parcels: int = Field(400, ge=1, description="Parcels that importance is measured on.")
    permutation: bool = Field(
        True, description="Measure too what is lost out of fold when a feature, or a date, is shuffled."
    )
    forest_trees: int = Field(40, ge=0, description="Trees of the forest whose impurity is drawn; 0: none.")
    background: int = Field(
        32, ge=1, description="Training parcels that a network's expected gradients start from."
    )


class TrainOptions(Options):
    """The train stage."""

    models: dict[str, dict[str, Any]] = Field(
        default={"lightgbm": {}, "dense": {}, "lstm": {}},
        min_length=1,
        description="Models by name, each with its own options where they differ from its defaults; "
        "`model` says which estimator a name of one's own stands for.",
    )
    combination: Literal["learnt", "mean"] = Field(
        "learnt", description="Weights of the ensemble: learnt inside the training folds, or all the same."
    )
    least_parcels: int = Field(10, ge=2, description="A class with fewer parcels is not trained on.")
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
            self.estimator(name, fold=0)
        return self

    def kind(self, name: str) -> str:
        """Return the estimator that `name` stands for: its own `model`, or the name itself."""
        return str(self.models[name].get("model", name))

    def estimator(self, name: str, fold: int) -> Any:
        """Return the unfitted estimator `name` for one fold: its own options over the common seed."""
        common = {"seed": self.seed * 1000 + fold, "threads": 1}
        own = {key: value for key, value in self.models[name].items() if key != "model"}
        return build(self.kind(name), **{**common, **own})
