"""From declarations and imagery to tensors: nothing here learns."""

from pathlib import Path

from features.code.compiled import settle_cache

settle_cache(Path(__file__).parent)
