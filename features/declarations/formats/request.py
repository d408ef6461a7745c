"""What is asked of a parcel file, and the columns that answer it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from features.errors import CropcheckError, DeclarationError
from features.messages.listed import listed
from features.messages.suggestions import did_you_mean

FEATURE_ID = "__feature_id"
FORMATS = "GeoPackage, Shapefile, GeoJSON, GML, GeoParquet, or a zip of one of these"
FEATURE_ID_NAMES = ("fid", "ogc_fid")
GIB = 2**30


@dataclass(frozen=True)
class Request:
    """What to read of a parcel file, and how much of it at most.

    Attributes
    ----------
    columns
        Names of the columns, None for all; `fid` is the feature id where no column has that name.
    layer
        Layer, where the file holds several.
    encoding
        Encoding of the texts, where the file does not say its own or says a wrong one.
    most_parcels, most_gib
        Limits on the rows, and on what they take in memory.
    """

    columns: Sequence[str] | None
    layer: str | None = None
    encoding: str | None = None
    most_parcels: int = 30_000_000
    most_gib: float = 16.0

    def found_in(self, names: Iterable[str], path: Path, feature_id: str | None = None) -> list[str]:
        """Return the columns to read: those asked for, less those that mean the feature id.

        Raises
        ------
        DeclarationError
            Naming every column that the file lacks, with the nearest that it has.
        """
        have = list(dict.fromkeys(names))
        if self.columns is None:
            return have
        meant = [
            name for name in dict.fromkeys(self.columns) if not self._is_feature_id(name, have, feature_id)
        ]
        missing = [name for name in meant if name not in have]
        if missing:
            told = "; ".join(f"no column {name!r}.{did_you_mean(name, have)}".rstrip(".") for name in missing)
            raise DeclarationError(f"{path.name} has {told}. It has {listed(sorted(have))}.")
        return meant

    def with_feature_ids(self, frame: gpd.GeoDataFrame, feature_ids: Sequence[str]) -> gpd.GeoDataFrame:
        """Return the frame with `FEATURE_ID`, and with the columns that were asked for by its name."""
        ids = pd.Series(np.asarray(feature_ids, dtype=object), index=frame.index, dtype=object)
        return frame.assign(
            **{name: ids for name in (*(self.columns or ()), FEATURE_ID) if name not in frame.columns}
        )

    def allow(self, parcels: int, path: Path) -> None:
        """Raise a DeclarationError where the file says that it holds more rows than are allowed."""
        if parcels > self.most_parcels:
            raise DeclarationError(
                f"{path.name} says that it holds {parcels:,} parcels; at most {self.most_parcels:,} are "
                "read. If that is right, raise `declarations.most_parcels`."
            )

    def allow_bytes(self, size: int, path: Path) -> None:
        """Raise a DeclarationError where what was read takes more memory than is allowed."""
        if size > self.most_gib * GIB:
            raise DeclarationError(
                f"{path.name} unpacks to more than {self.most_gib:g} GiB: it may be a bomb. "
                "If it is not, raise `declarations.most_unpacked_gib`."
            )

    def _is_feature_id(self, name: str, have: list[str], feature_id: str | None) -> bool:
        names = (*FEATURE_ID_NAMES, feature_id.lower()) if feature_id else FEATURE_ID_NAMES
        return name not in have and name.lower() in names


Reader = Callable[[Path, Request], gpd.GeoDataFrame]


@contextmanager
def told_plainly(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on a file into a DeclarationError: files are not to be trusted."""
    try:
        yield
    except (CropcheckError, MemoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DeclarationError(
            f"The parcel file {path} cannot be read: {said[:300].rstrip('.')}. Export it again."
        ) from error
