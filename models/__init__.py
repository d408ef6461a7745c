"""Models: cloud removal on pixels, crop classification on parcels, events, and the verdicts."""

import features  # noqa: F401 (settles where compiled functions are kept, before any is made)
