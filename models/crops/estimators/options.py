"""What each crop estimator is set to; read without the libraries that fit it."""

from pydantic import Field

from features.options import Options
from models.crops.inputs.options import AugmentationOptions

RECIPE = "recipe.json"  # options and shapes that a stored estimator is rebuilt from


class EstimatorOptions(Options):
    """Settings that every crop estimator has."""

    seed: int = Field(0, ge=0, description="Seed of everything random in the fit.")
    threads: int = Field(2, ge=1, description="Threads of the fit; the result does not depend on it.")


class TuneFurther(Options):
    """How a fitted network is trained further.

    Where there are classes that it does not know, their outputs are fitted first, to what it sees of the
    parcels; then all is trained. The defaults were chosen on simulated regions: the next season of a region,
    and regions of other climates that grow the same crops, some of them or none.
    """

    epochs: int = Field(30, ge=1, description="Passes over the training parcels.")
    learning_rate_share: float = Field(0.3, gt=0, le=1, description="Of the network's peak learning rate.")


class LightgbmOptions(EstimatorOptions):
    """Gradient boosting with few columns a tree and coarse bins: a tenth of the time, the same scores."""

    rounds: int = Field(100, ge=1, le=100_000, description="Boosting rounds.")
    learning_rate: float = Field(0.1, gt=0, le=1, description="Shrinkage of each round.")
    leaves: int = Field(15, ge=2, le=65_536, description="Leaves of a tree at most.")
    column_share: float = Field(0.1, gt=0, le=1, description="Share of the columns that a tree may use.")
    least_columns: int = Field(
        40, ge=1, description="Columns that a tree may use at least, however few that share comes to."
    )
    row_share: float = Field(1.0, gt=0, le=1, description="Share of the parcels that a round uses.")
    bins: int = Field(63, ge=2, le=255, description="Bins of a column.")
    leaf_parcels: int = Field(5, ge=1, description="Parcels in a leaf at least.")
    l2: float = Field(1.0, ge=0, description="L2 penalty of leaf values.")
    path_smoothing: float = Field(0.0, ge=0, description="Pull of a leaf towards its parent.")
    extra_random: bool = Field(True, description="Draw split points at random: faster, and no worse.")
    summaries: bool = Field(
        True, description="Add whole-season summaries (order, changes, yearly and half-yearly waves)."
    )


class ForestOptions(EstimatorOptions):
    """Random forest (Breiman, 2001)."""

    trees: int = Field(300, ge=1, description="Trees.")
    leaf_parcels: int = Field(1, ge=1, description="Parcels in a leaf at least.")
    column_share: float | None = Field(
        None, gt=0, le=1, description="Share of the columns that a split looks at; their square root if none."
    )
    summaries: bool = Field(False, description="Add whole-season summaries.")


class ExtraTreesOptions(ForestOptions):
    """Extremely randomised trees (Geurts, Ernst and Wehenkel, 2006): split points drawn, not searched."""

    leaf_parcels: int = Field(2, ge=1, description="Parcels in a leaf at least.")
    column_share: float | None = Field(
        0.2, gt=0, le=1, description="Share of the columns that a split looks at; their square root if none."
    )
    summaries: bool = Field(True, description="Add whole-season summaries.")


class RidgeOptions(EstimatorOptions):
    """Linear scores of values, masks and season summaries; nothing to tune, for few parcels."""

    kernels: int = Field(0, ge=0, le=100_000, description="Random convolutions; 0: none.")
    levels: int = Field(3, ge=1, le=1000, description="Levels that a convolution's output is held against.")
    summaries: bool = Field(True, description="Add whole-season summaries.")


class RocketOptions(RidgeOptions):
    """The same with random convolutions, as MiniRocket and MultiRocket have them."""

    kernels: int = Field(400, ge=0, le=100_000, description="Random convolutions; 0: none.")


class NeuralOptions(EstimatorOptions):
    """Settings of the training loop that every network has."""

    epochs: int = Field(30, ge=1, description="Passes over the training parcels.")
    least_updates: int = Field(100, ge=1, description="Updates at least, however few parcels there are.")
    batch: int = Field(128, ge=2, description="Parcels in an update.")
    learning_rate: float = Field(3e-3, gt=0, description="Peak rate; it warms up, then falls as a cosine.")
    weight_decay: float = Field(1e-2, ge=0, description="Decoupled weight decay (AdamW).")
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="Share of a label spread over all classes.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of units dropped while training.")
    joined_steps: int = Field(1, ge=1, le=4096, description="Neighbouring steps that are read as one.")
    augmentation: AugmentationOptions = AugmentationOptions()


class DenseOptions(NeuralOptions):
    """The dense network: flatten, three dense layers, batch normalisation after two of them."""

    units: int = Field(128, ge=2, le=4096, description="Units of the first two layers; the third has half.")
    dropout: float = Field(0.4, ge=0, lt=1, description="Share of units dropped while training.")


class LstmOptions(NeuralOptions):
    """A recurrent network (Hochreiter and Schmidhuber, 1997) whose last state is classified."""

    units: int = Field(64, ge=2, le=4096, description="Units of each recurrent layer.")
    layers: int = Field(1, ge=1, le=4, description="Recurrent layers.")
    both_ways: bool = Field(False, description="Read the season forwards and backwards.")
    epochs: int = Field(20, ge=1, description="Passes over the training parcels.")
    joined_steps: int = Field(2, ge=1, le=4096, description="Neighbouring steps that are read as one.")


class BilstmOptions(LstmOptions):
    """The same read both ways."""

    both_ways: bool = Field(True, description="Read the season forwards and backwards.")


class TempcnnOptions(NeuralOptions):
    """TempCNN (Pelletier, Webb and Petitjean, 2019): three convolutions, then a dense layer."""

    filters: int = Field(64, ge=2, le=4096, description="Filters of each convolution.")
    width: int = Field(5, ge=1, le=4096, description="Steps that a filter sees.")
    units: int = Field(128, ge=2, le=4096, description="Units of the dense layer.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of units dropped while training.")


class ResnetOptions(NeuralOptions):
    """One-dimensional ResNet (Wang, Yan and Oates, 2017): residual blocks, then the season's mean."""

    filters: int = Field(48, ge=2, le=4096, description="Filters of the first block; the others have twice.")
    widths: tuple[int, ...] = Field((7, 5, 3), min_length=1, description="Steps that a block's filters see.")


class LtaeOptions(NeuralOptions):
    """L-TAE (Garnot and Landrieu, 2020): grouped channels, one query a head, positions by day of the year.

    On a thermal calendar the steps' days are those on which the heat sums were reached: the same positions
    serve.
    """

    heads: int = Field(8, ge=1, le=4096, description="Heads; each sees its share of the channels.")
    key_size: int = Field(8, ge=1, le=4096, description="Width of keys and queries.")
    width: int = Field(128, ge=8, le=4096, description="Channels before attention; a multiple of the heads.")
    units: int = Field(128, ge=2, le=4096, description="Units of the layer after it.")
    epochs: int = Field(40, ge=1, description="Passes over the training parcels.")
