"""What learns: cloud removal on pixels, crop typing on parcels, and the verdicts drawn from them."""

import features  # noqa: F401 (settles where compiled functions are kept, before any is made)
