"""What models are fitted with beside images and parcels: where that changes, they are fitted anew."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from pipelines.record.inputs import Entries, Inputs
from pipelines.record.receipt import read_receipt
from pipelines.workspace import Workspace

MADE_WITH = ("option ", "code ", "library ", "file ")
# what may change while models are kept: days that may be looked at, files that gain rows with the season, how
# much is worked on at a time, and what is not fitted
MAY_CHANGE = (
    "option season.until", "file declarations.path*", "file series.tables *", "file weather*",
    "file forecast.weather_table", "file surface *", "option forecast.from_day",
    "option limits.*", "option *.chunk", "option *.chunk_parcels",
    "option train.keep.*", "option train.explanation.*", "option train.ablation",
)  # fmt: skip


def made_with(inputs: Inputs, workspace: Workspace) -> dict[str, Entries]:
    """Return what the stages before stood on, by name."""
    receipts = {name: read_receipt(workspace, name) for name in inputs.after}
    return {name: receipt.inputs for name, receipt in receipts.items() if receipt}


def stands_on_of(made_with: Mapping[str, Entries]) -> dict[str, object]:
    """Return options, code, libraries and files that series and models are made with, by stage and name.

    What lets images and parcels change (MAY_CHANGE) is left out.
    """
    return {
        f"{stage}: {name}": value
        for stage, inputs in made_with.items()
        for name, value in inputs.items()
        if name.startswith(MADE_WITH) and not any(fnmatchcase(name, free) for free in MAY_CHANGE)
    }
