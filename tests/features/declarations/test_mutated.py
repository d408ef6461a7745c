"""Five hundred spoilt inputs: each is read, set aside or refused in a sentence; none ends in a traceback."""

import json
import random
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from features.declarations.cells.text import printable
from features.declarations.crop_codes import read_crop_table
from features.declarations.options import CropTableOptions, DeclarationOptions
from features.declarations.reader import read_declarations, refuse_if_none_usable
from features.errors import CropcheckError, DeclarationError
from pipelines.config import load_config

pytestmark = pytest.mark.slow
SEEDS = range(30)
FORMATS = ("gpkg", "shp", "geojson", "gml", "parquet", "zip")
TABLE = """code,name,hcat_code,crop_class
001,winter wheat,3301010101,
NO,fallow,3301110000,fallow
88,oats,3301010500,
"""
TREE = {
    "name": "fuzzed",
    "season": {"year": 2024, "start": "2024-03-01", "end": "2024-10-31"},
    "declarations": {
        "path": "p.gpkg",
        "fields": {"parcel_id": "id", "code": "crop"},
        "crops": {"tables": ["t.csv"]},
    },
    "imagery": {"catalog": "catalog.json", "max_cloud_cover": 90},
    "clear": {"method": "linear"},
    "train": {"models": {"lightgbm": {"rounds": 10}}},
}
# what a cell can hold besides what it should
CELLS: tuple[Any, ...] = (
    None,
    "",
    " ",
    "0",
    "-1",
    "1e400",
    "\0",
    "\ud800",
    "a" * 5000,
    "ĀŽ",
    "=1+1",
    "1.234,5",
    "NaN",
    "\u202e",
    "'\";--",
    True,
    -1,
    2**63,
    2**53 + 1.0,
    float("nan"),
    float("inf"),
    [],
    [1, "x"],
    {},
    {"a": 1},
)
SHAPES: tuple[Any, ...] = (
    None,
    shapely.Polygon(),
    shapely.Point(0, 0),
    shapely.box(0, 0, 1e-9, 1e-9),
    shapely.box(-1e12, -1e12, 1e12, 1e12),
    shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]),
    shapely.LineString([(0, 0), (1, 1)]),
    shapely.Polygon([(0, 0), (float("inf"), 0), (1, 1)]),
    shapely.GeometryCollection([shapely.Point(1, 1)]),
    shapely.Polygon([(4e6, 3e6), (4e6, 3e6), (4e6, 3e6)]),
    shapely.box(3e6, 4e6, 3e6 + 9, 4e6 + 9),
)


def parcels(rng: random.Random, spoil: bool) -> gpd.GeoDataFrame:
    count = rng.choice([1, 2, 7])
    shapes = [shapely.box(4e6 + 200 * n, 3e6, 4e6 + 200 * n + 100, 3e6 + 100) for n in range(count)]
    columns: dict[str, list[Any]] = {
        "id": [f"{n:03d}" for n in range(count)],
        "crop": [rng.choice(["001", "NO", "88"]) for _ in range(count)],
        "farm": ["H1"] * count,
        "area": ["1,00"] * count,
    }
    if spoil:
        for _ in range(rng.randint(1, 4)):
            columns[rng.choice(list(columns))][rng.randrange(count)] = rng.choice(CELLS)
        shapes[rng.randrange(count)] = rng.choice(SHAPES)
    crs = (
        rng.choice(["EPSG:3035", "EPSG:3035", "EPSG:4326", "EPSG:7415", "EPSG:5773", None])
        if spoil
        else "EPSG:3035"
    )
    return gpd.GeoDataFrame(
        {name: pd.Series(cells, dtype=object) for name, cells in columns.items()}, geometry=shapes, crs=crs
    )


def as_text(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the frame with cells that every format can hold."""
    safe = {
        name: [None if pd.isna(c) is True else printable(str(c))[:200] for c in frame[name]]
        for name in ("id", "crop", "farm", "area")
    }
    return frame.assign(**{name: pd.Series(cells, dtype=object) for name, cells in safe.items()})


def write(frame: gpd.GeoDataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"p.{'gpkg' if kind == 'zip' else kind}"
    if kind == "geojson":
        features = [
            {
                "type": "Feature",
                "properties": dict(zip(("id", "crop", "farm", "area"), row, strict=True)),
                "geometry": shape,
            }
            for *row, shape in frame.assign(
                geometry=[None if g is None else shapely.geometry.mapping(g) for g in frame.geometry]
            )[["id", "crop", "farm", "area", "geometry"]].itertuples(index=False)
        ]
        crs = {"crs": {"type": "name", "properties": {"name": "EPSG:3035"}}}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **crs}, default=str))
        return path
    if kind == "parquet":
        as_text(frame).to_parquet(path)
        return path
    drivers = {"gpkg": "GPKG", "zip": "GPKG", "shp": "ESRI Shapefile", "gml": "GML"}
    as_text(frame).to_file(path, driver=drivers[kind])
    if kind != "zip":
        return path
    with zipfile.ZipFile(folder / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "sub/p.gpkg")
    return folder / "p.zip"


def damage(path: Path, rng: random.Random) -> None:
    """Flip, cut, repeat or drop some bytes of a file, or of one beside it."""
    files = [file for file in path.parent.iterdir() if file.stem == path.stem and file.is_file()]
    file = rng.choice(files)
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 3, 20])):
        at = rng.randrange(len(content)) if content else 0
        how = rng.choice(["flip", "cut", "zero", "repeat", "drop"])
        if how == "flip" and content:
            content[at] ^= 1 << rng.randrange(8)
        elif how == "cut":
            del content[max(at, 1) :]
        elif how == "zero":
            content[at : at + 8] = bytes(min(8, len(content) - at))
        elif how == "repeat":
            content[at:at] = content[at : at + 50]
        else:
            del content[at : at + 5]
    file.write_bytes(content)


def options(path: Path, table: Path, rng: random.Random) -> DeclarationOptions:
    fields = rng.choice(
        [
            {"parcel_id": "id", "code": "crop"},
            {"parcel_id": ["id", "farm"], "code": "crop", "claimed_area": "area"},
            {"code": "crop", "holding": "farm"},
            {"parcel_id": "fid", "code": "crop", "code_second": "farm"},
        ]
    )
    crops = {"tables": (table,), "pad": rng.choice([None, None, 3])}
    return DeclarationOptions(
        path=str(path), fields=fields, crops=crops, crs=rng.choice([None, None, "EPSG:3035"])
    )


def is_told_or_read(step: Callable[[], Any]) -> bool:
    """Run a step; whatever else than one of our own errors comes out fails the test."""
    try:
        step()
    except CropcheckError as error:
        assert str(error).strip()
        return False
    return True


def read_all(chosen: DeclarationOptions) -> None:
    frame, tally, _ = read_declarations(chosen, 2024)
    assert tally.came_in == len(frame) == tally.went_out + tally.lost
    assert frame["parcel_id"].is_unique
    frame.to_parquet(Path(chosen.path).with_suffix(".out.parquet"))
    refuse_if_none_usable(frame, chosen)


@pytest.mark.filterwarnings("ignore")  # of the writers that make the spoilt files
@pytest.mark.parametrize("kind", FORMATS)
def test_parcel_files(tmp_path: Path, kind: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(TABLE)
    read = 0
    for seed in SEEDS:
        rng = random.Random(f"{kind} {seed}")
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            path = write(parcels(rng, spoil=True), folder, kind)
        except Exception:  # the writer refuses what this format cannot hold
            path = write(parcels(rng, spoil=False), folder, kind)
        if rng.random() < 0.5:
            damage(path, rng)
        read += is_told_or_read(partial(read_all, options(path, table, rng)))
    assert 0 < read < len(SEEDS)


def test_geopackages_with_odd_schemas(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(TABLE)
    statements = (
        "DELETE FROM gpkg_geometry_columns",
        "DROP TABLE gpkg_contents",
        "UPDATE gpkg_geometry_columns SET srs_id = 7",
        "UPDATE gpkg_contents SET data_type = 'tiles'",
        "DELETE FROM gpkg_spatial_ref_sys",
        "UPDATE p SET geom = x'00'",
        "UPDATE p SET geom = 'text'",
        "UPDATE p SET id = NULL",
        "UPDATE p SET id = x'ff00ff'",
        "UPDATE p SET crop = 7",
        "UPDATE gpkg_spatial_ref_sys SET definition = 'none'",
        "ALTER TABLE p RENAME COLUMN geom TO shape",
        "UPDATE gpkg_geometry_columns SET geometry_type_name = 'POINT'",
        "PRAGMA user_version = 99999",
        "DELETE FROM p",
        "CREATE VIEW v AS SELECT * FROM p",
        "DROP TABLE p",
        "PRAGMA application_id = 0",
    )
    for number, statement in enumerate(statements):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(parcels(random.Random(number), spoil=False), folder, "gpkg")
        with closing(sqlite3.connect(path)) as database:
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                database.execute(f'DROP TRIGGER "{name}"')
            database.execute(statement)
            database.commit()
        chosen = DeclarationOptions(
            path=str(path), fields={"parcel_id": "id", "code": "crop"}, crops={"tables": (table,)}
        )
        is_told_or_read(partial(read_all, chosen))


def test_geojson_with_odd_members(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(TABLE)
    square = {"type": "Polygon", "coordinates": [[[3, 51], [3.1, 51], [3.1, 51.1], [3, 51]]]}
    for seed in range(80):
        rng = random.Random(seed)
        root: dict[str, Any] = {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "properties": {"id": "1", "crop": "001"}, "geometry": square}],
        }
        for _ in range(rng.randint(1, 3)):
            spoil_member(root, rng)
        path = tmp_path / f"{seed}.geojson"
        path.write_text(json.dumps(root))
        is_told_or_read(partial(read_all, options(path, table, rng)))


def spoil_member(node: Any, rng: random.Random) -> None:
    """Put something odd at a random place of a JSON tree."""
    while True:
        keys = (
            list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        )
        if not keys:
            return
        key = rng.choice(keys)
        if rng.random() < 0.4 or not isinstance(node[key], (dict, list)):
            if rng.random() < 0.2:
                del node[key]
            else:
                node[key] = rng.choice(CELLS[:19])
            return
        node = node[key]


def test_code_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for seed in range(120):
        rng = random.Random(seed)
        text = list(TABLE)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(text))
            text[at : at + rng.choice([0, 1, 4])] = rng.choice(
                ['"', ",", ";", "\n", "\r", "\0", "\x0b", "\u2028", "#", "é", "\t", "sep=", "=", "x" * 200]
            )
        encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
        path.write_bytes("".join(text).encode(encoding, errors="replace"))
        chosen = CropTableOptions(
            tables=(path,),
            pad=rng.choice([None, 3]),
            ignore_case=rng.random() < 0.3,
            encoding=rng.choice([None, "cp1250", "utf-16"]),
        )
        is_told_or_read(partial(read_crop_table, chosen))


def test_configs(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for seed in range(120):
        rng = random.Random(seed)
        tree = json.loads(json.dumps(TREE))
        spoil_member(tree, rng)
        text = json.dumps(tree, default=str)
        if rng.random() < 0.4:
            at = rng.randrange(len(text))
            text = (
                text[:at]
                + rng.choice(
                    ["\0", "\t", "{", ": ", "\n- ", "!!python/object:os.system", "&a *a", "'", "\ud800"]
                )
                + text[at:]
            )
        path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
        is_told_or_read(partial(load_config, path))


def test_a_sentence_is_one(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="does not exist"):
        read_declarations(DeclarationOptions(path=str(tmp_path / "none.gpkg")), 2024)
