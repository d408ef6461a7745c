"""What `features.extraction.scene_check` saw of acquisitions, kept from stage to stage and from run to run.

Each sample is named by all that it was made of: code, the tile's parcels, the acquisition with the stamps of
its files, mask and bands. Where one of these changes, the acquisition is looked at again.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from features.code.version import code_version
from features.errors import ImageryError
from features.extraction.scene_check import Sample, Seen
from features.extraction.units import Unit, identity
from features.files import fingerprint, is_vouched, read_parquet, vouched_path
from features.imagery.physical import encoding_of
from features.schema import assets_by_band

CODE = "features.extraction.scene_check"
SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "band": pl.String(),  # null where no band shows anything
        "dark": pl.Float64(),
        "parcels": pl.List(pl.Int64),
        "mean": pl.List(pl.Float64),
    }
)


class SamplesFile:
    """The samples of one sensor and tile, in a file; one that was altered is not read.

    Parameters
    ----------
    stamps
        What tells assets from others under the same link, as of `features.extraction.extract.extract`.
    """

    def __init__(self, path: Path, stamps: Mapping[str, str]) -> None:
        self.path, self.stamps = path, stamps
        table = read_parquet(path) if is_vouched(path) else pl.DataFrame(schema=SCHEMA)
        self._rows = {key[0]: rows for key, rows in table.group_by("key")} if table.schema == SCHEMA else {}

    def known(self, unit: Unit, bands: Sequence[str]) -> Sample | None:
        """Return what a unit showed in these bands; None where that is not known."""
        rows = self._rows.get(self._key(unit, bands))
        if rows is None:
            return None
        assets = assets_by_band(unit.row)
        try:
            seen = {
                band: Seen(encoding_of(assets[band]), np.array(parcels), np.array(mean), dark)
                for _, band, dark, parcels, mean in rows.iter_rows()
                if band is not None
            }
        except ImageryError:  # it cannot be opened now
            return None
        return Sample(unit.row["item_id"], unit.tile, {band: seen[band] for band in bands if band in seen})

    def add(self, seen: Iterable[tuple[Unit, Sequence[str], Sample]]) -> None:
        """Write what units showed in these bands, in place of what is there."""
        rows: list[tuple[object, ...]] = []
        for unit, bands, sample in seen:
            key = self._key(unit, bands)
            rows += [
                (key, band, one.dark, one.parcels.tolist(), one.mean.tolist())
                for band, one in sample.bands.items()
            ] or [(key, None, None, [], [])]
        with vouched_path(self.path) as partial:
            pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(partial)

    def _key(self, unit: Unit, bands: Sequence[str]) -> str:
        mask = unit.options.mask.model_dump()
        made_of = [code_version(CODE), unit.parcels.name, identity(unit.row, self.stamps), mask, bands]
        return fingerprint(made_of)
