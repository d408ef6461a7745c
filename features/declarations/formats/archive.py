"""Zip archives: list what is inside, unpack what was chosen, refuse what would escape or explode."""

import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from features.errors import DeclarationError
from features.messages.listed import listed

GIB = 2**30
# deflate cannot shrink below about 1:1032; parcel files shrink 3 to 20 times
HIGHEST_RATIO = 200
RATIO_MATTERS_FROM = 64 * 2**20
BLOCK = 2**20
VECTOR_SUFFIXES = (".gpkg", ".shp", ".geojson", ".json", ".gml", ".xml", ".parquet", ".geoparquet")
# what broken, encrypted and exotic archives, and full disks, raise
UNPACKING = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError)
METADATA_SUFFIXES = (".shp.xml", ".gpkg.xml", ".metadata.xml", ".qmd.xml")


def unpack(path: Path, member: str | None, into: Path, most_gib: float) -> Path:
    """Unpack one vector file of a zip, with the files that share its stem, and return where it lies.

    Small and capital letters are one, as where most zips are made: all are written with the chosen one's
    stem.

    Raises
    ------
    DeclarationError
        Where the zip is broken, encrypted, holds names that leave the folder or links, unpacks to more than
        `most_gib`, or holds none or several vector files and `member` does not choose.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _refuse_escapes(path, entries)
            chosen = _choose(path, [entry.filename for entry in entries], member)
            wanted = [entry for entry in entries if _belongs(entry.filename, chosen)]
            _extract(path, archive, wanted, into, int(most_gib * GIB), chosen)
    except (
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise DeclarationError(
            f"The archive {path} cannot be unpacked: {error}. Unpack it and name the file."
        ) from error
    return into / PurePosixPath(chosen).name


def _refuse_escapes(path: Path, entries: Iterable[zipfile.ZipInfo]) -> None:
    for entry in entries:
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or is_link:
            raise DeclarationError(
                f"The archive {path} holds {entry.filename!r}, which would be written outside its folder; "
                "do not use this archive."
            )


def _choose(path: Path, names: list[str], member: str | None) -> str:
    vectors = [name for name in names if name.lower().endswith(VECTOR_SUFFIXES)]
    vectors = [
        name for name in vectors if not name.lower().endswith(METADATA_SUFFIXES) and not _of_a_mac(name)
    ]
    if member is not None:
        found = [name for name in vectors if member in (name, PurePosixPath(name).name)]
        if len(found) != 1:
            raise DeclarationError(
                f"The archive {path} has no single member {member!r}; choose one of "
                f"{listed(sorted(vectors))}."
            )
        return found[0]
    # a lone .xml or .json beside a GeoPackage or Shapefile is its description
    plain = [name for name in vectors if not name.lower().endswith((".xml", ".json"))] or vectors
    if not plain:
        raise DeclarationError(
            f"The archive {path} holds no parcel file (one of {', '.join(VECTOR_SUFFIXES)}); "
            f"it holds {listed(sorted(names)[:10])}."
        )
    if len(plain) > 1:
        raise DeclarationError(
            f"The archive {path} holds several parcel files; set `member` to one of {listed(sorted(plain))}."
        )
    return plain[0]


def _of_a_mac(name: str) -> bool:
    """Say whether a member is what macOS adds: `__MACOSX/._parcels.shp` holds a file's tags, no parcels."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith("._")


def _belongs(name: str, chosen: str) -> bool:
    """Say whether a member is the chosen one or shares its folder and stem, as a Shapefile's parts do."""
    ours, theirs = PurePosixPath(name), PurePosixPath(chosen)
    return ours == theirs or (ours.parent == theirs.parent and _stem(ours.name) == _stem(theirs.name))


def _stem(name: str) -> str:
    return name.split(".", maxsplit=1)[0].lower()


def _extract(
    path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], into: Path, most: int, chosen: str
) -> None:
    """Write the entries flat into `into`, counting the bytes that really come out."""
    stem = PurePosixPath(chosen).name.split(".")[0]
    written = 0
    packed = sum(part.compress_size for part in entries)
    for entry in entries:
        name = f"{stem}{PurePosixPath(entry.filename).name[len(stem) :]}"
        with archive.open(entry) as source, (into / name).open("wb") as target:
            while block := source.read(BLOCK):
                written += len(block)
                if written > most or written > max(RATIO_MATTERS_FROM, HIGHEST_RATIO * packed):
                    raise DeclarationError(
                        f"The archive {path} unpacks to {written / GIB:.1f} GiB from {packed / GIB:.3f}: "
                        "it may be a bomb. If it is not, unpack it yourself and name the file."
                    )
                target.write(block)
