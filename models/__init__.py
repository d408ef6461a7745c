"""Models: cloud removal on pixels, crop classification on parcels, events, and the verdicts."""

import sys

import features  # noqa: F401 (settles where compiled functions are kept, before any is made)

if sys.flags.optimize > 1:  # LightGBM's Dask estimators, which nothing here uses, read docstrings on import
    sys.modules.setdefault("lightgbm.dask", None)  # type: ignore[arg-type]
