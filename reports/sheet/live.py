"""The sheet of any single parcel of a run, made when it is asked for."""

from typing import cast

from features.schema import Row
from reports.options import PublishOptions
from reports.run import RunTables
from reports.sheet import reasons
from reports.sheet.season import Season
from reports.sheet.sheets import Materials, SheetRow, context_of
from reports.translation import translation


class Sheets:
    """What all sheets of a run draw from, computed once; pictures are left to whoever shows them."""

    def __init__(self, run: RunTables, options: PublishOptions) -> None:
        self.materials = Materials(
            run,
            options,
            translation(options.language),
            Season(run).prepare(),
            reasons.weights_of(run),
            {},
        )

    def context(self, row: Row) -> dict[str, object]:
        """Return what the sheet's template draws of one parcel."""
        return context_of(cast(SheetRow, row), self.materials)
