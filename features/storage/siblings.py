"""Files that belong to another one and change how it is read: attributes, projection, code page, mask."""

import re
from pathlib import Path

# what GDAL keeps of a raster beside it: a mask, and what else is known of it
RASTER = (".msk", ".aux.xml")
TAGS, MOST_TAGS = ".aux.xml", 2**20
# of such tags (GDAL's persistent auxiliary metadata): what is only statistics, and what settles how to read
STATISTICS = re.compile(rb'<MDI key="STATISTICS_[^>]*>[^<]*</MDI>|<Metadata>\s*</Metadata>')
SETTLING = re.compile(rb"<(MDI|SRS|GeoTransform|GCPList|NoDataValue|Offset|Scale|UnitType|ColorInterp)\b")
STEMS = {".shp": (".dbf", ".shx", ".prj", ".cpg"), ".gml": (".gfs", ".xsd")}
NAMES = {".gpkg": ("-wal", "-journal"), ".tif": RASTER, ".tiff": RASTER, ".jp2": RASTER}


def siblings(path: Path) -> list[Path]:
    """Return the files that are there and belong to a file: of a Shapefile its table, index, projection and
    code page; of a raster its mask and tags; of a GeoPackage the changes that are not merged into it yet.
    """
    suffix = path.suffix.lower()
    stems = STEMS.get(suffix, ())
    names = {f"{path.name}{end}" for end in NAMES.get(suffix, ())}
    if not stems and not names:
        return []
    return sorted(
        file
        for file in path.parent.iterdir()
        if (file.name in names and not holds_statistics_alone(file))
        or (file.stem == path.stem and file.suffix.lower() in stems)
    )


def holds_statistics_alone(path: Path) -> bool:
    """Whether a file beside a raster holds nothing but statistics of it: whoever looks at an image with a GIS
    leaves such a file, and no pixel is read in another way.
    """
    if not path.name.endswith(TAGS) or path.stat().st_size > MOST_TAGS:
        return False
    return SETTLING.search(STATISTICS.sub(b"", path.read_bytes())) is None


def beside_raster(href: str) -> list[Path]:
    """Return where GDAL would keep a raster's mask, and what else is known of it; they need not be there."""
    path = Path(href)
    return [path.with_name(f"{path.name}{ending}") for ending in RASTER]
