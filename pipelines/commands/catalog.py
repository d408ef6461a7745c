"""A folder of imagery becomes a catalog that a config can name."""

from pathlib import Path

from features.indexing.folder import index_folder


def index(folder: Path, out: Path, most_megapixels: int) -> str:
    """Index a folder; say what became of every file, date and band, and what a config needs to read it."""
    found = index_folder(folder, out, most_megapixels=most_megapixels)
    lines = [f"Indexed {folder} into {found.catalog}: {found.items} items"]
    lines += [f"  {account}" for account in (found.files, found.dates, found.bands)]
    lines += [f"  {cure}" for cure in found.cures]
    lines += [f"  imagery.catalog: {found.catalog}"]
    lines += [f"  declarations.path: {path}" for path in found.parcels]
    lines += [f"  weather: {path}" for path in found.weather]
    return "\n".join(lines)
