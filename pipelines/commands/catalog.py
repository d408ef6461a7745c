"""A folder of imagery becomes a catalog that a config can name."""

from pathlib import Path

from features.indexing.folder import index_folder


def index(folder: Path, out: Path) -> str:
    """Index a folder and say what a config needs to read it."""
    catalog = index_folder(folder, out)
    lines = [f"Indexed {folder} into {catalog}", f"  imagery.catalog: {catalog}"]
    lines += [f"  declarations.path: {path}" for path in sorted(out.rglob("parcels.gpkg"))]
    lines += [f"  weather: {path}" for path in sorted(out.rglob("weather.csv"))]
    return "\n".join(lines)
