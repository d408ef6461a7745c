"""Files that belong to another one and change how it is read: attributes, projection, code page, mask."""

from pathlib import Path

# what GDAL keeps of a raster beside it: a mask, and what else is known of it
RASTER = (".msk", ".aux.xml")
STEMS = {".shp": (".dbf", ".shx", ".prj", ".cpg"), ".gml": (".gfs", ".xsd")}
NAMES = {".gpkg": ("-wal", "-journal"), ".tif": RASTER, ".tiff": RASTER, ".jp2": RASTER}


def siblings(path: Path) -> list[Path]:
    """Return the files that are there and belong to a file: of a Shapefile its table, index, projection and
    code page; of a raster its mask; of a GeoPackage the changes that are not merged into it yet.
    """
    suffix = path.suffix.lower()
    stems = STEMS.get(suffix, ())
    names = {f"{path.name}{end}" for end in NAMES.get(suffix, ())}
    if not stems and not names:
        return []
    return sorted(
        file
        for file in path.parent.iterdir()
        if file.name in names or (file.stem == path.stem and file.suffix.lower() in stems)
    )


def beside_raster(href: str) -> list[Path]:
    """Return where GDAL would keep a raster's mask, and what else is known of it; they need not be there."""
    path = Path(href)
    return [path.with_name(f"{path.name}{ending}") for ending in RASTER]
