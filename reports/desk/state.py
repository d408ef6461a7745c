"""What one desk works with: the run's tables, and where entries and photos are kept."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import shapely
from jinja2 import Template

from features.errors import ConfigError
from features.files import atomic_path, read_parquet, sha256
from features.journal.entries import Draft, Fault
from features.schema import Row
from reports.desk.parcels import Parcels
from reports.desk.query import Query
from reports.desk.records.accounts import Accounts, Session
from reports.desk.records.decisions import Decisions
from reports.desk.records.photos import Photos, Season
from reports.desk.records.store import Store
from reports.embed import TEMPLATES, clean, template
from reports.options import PublishOptions
from reports.pages.follow_up import recommended
from reports.run import RunTables
from reports.sheet.background import Background
from reports.sheet.live import Sheets
from reports.sheet.pictures.pictures import Album
from reports.translation import Text, translation

OPENED, PROGRAM = "run_opened", "cropcheck"  # kind of entry, and who adds it
SEEN = ("parcel_id", "verdict", "reason", "q_value", "model_id")


class Desk:
    """One desk over one run.

    Parameters
    ----------
    folder
        Where photos, and the verdicts of runs that were looked at, are kept.
    season
        First and last day of the season.
    declared
        Day by which farmers had declared, where it is known: photos are taken after it.
    holdings
        Pseudonym to the agency's own number, where the agency's key is at hand.
    unit_amounts
        What an intervention pays for a hectare.
    products
        Cloud-free images of the run, for the map.
    proxy_header
        Name of the header by which a reverse proxy says who has logged in; empty where there is none.
    https
        Whether browsers always ask by https, though the desk itself cannot see it.
    """

    def __init__(
        self,
        run: RunTables,
        store: Store,
        folder: Path,
        options: PublishOptions,
        season: tuple[date, date],
        holdings: Mapping[str, str] | None = None,
        proxy_header: str = "",
        letter: Path | None = None,
        unit_amounts: Mapping[str, float] | None = None,
        products: Path | None = None,
        declared: date | None = None,
        https: bool = False,
    ) -> None:
        self.text = translation(options.language)
        self._named = run
        self.run = run = run.in_language(self.text)
        self.store, self.folder, self.options = store, folder, options
        self.season = Season(*season, declared)
        self.title = clean(options.title or run.name)
        self.proxy_header, self.https = proxy_header, https
        self.letters = letters_in(letter, self.text.language)
        self.parcels = Parcels(run, recommended(run.table, options.list_rate).rate, holdings, unit_amounts)
        self.accounts, self.decisions = Accounts(store), Decisions(store)
        self.photos = Photos(store, folder / "photos")
        self.sheets = Sheets(run, options)
        self.album = Album(run, options.picture_margin_m)
        self.background = Background(run, products)
        self.notice = ""  # a phrase's key, said on every page
        self.model_id = str(run.verdicts["model_id"][0]) if len(run.verdicts) else "–"
        self.earlier = self._earlier()
        self._degrees = run.declarations.set_index("parcel_id").geometry.to_crs(4326)

    def faults(self) -> list[str]:
        """Return what does not hold in the journal, a sentence each, in the desk's language."""
        return [_sentence(self.text, fault) for fault in self.store.faults()]

    @property
    def today(self) -> date:
        """The day by this machine's clock."""
        return datetime.now(UTC).astimezone().date()

    def query(self, values: Mapping[str, str], session: Session) -> Query:
        """Return the query of a request; a holding's own number counts for those who may see it."""
        query = Query.of(values)
        sought = query.text.lower().strip()
        if not sought or not session.may("holdings"):
            return query
        own = self.parcels.holdings.items()
        return replace(query, also=frozenset(name for name, number in own if sought in number.lower()))

    def template(self, name: str) -> Template:
        """Return a page's template."""
        return template(name)

    def run_in(self, text: Text) -> RunTables:
        """Return the run with its crops named in a language."""
        return self.run if text is self.text else self._named.in_language(text)

    def shape(self, parcel_id: str) -> Any:
        """Return a parcel's geometry, degrees."""
        return self._degrees.get(parcel_id, shapely.Point())

    def last_year(self, parcel_id: str) -> Row | None:
        """Return `season` and `crop` of what was declared at a parcel's place last season."""
        before, place = self.run.previous, self._degrees.get(parcel_id)
        if before is None or place is None or place.is_empty:
            return None
        own = self.run.shapes_of([parcel_id])
        point = own.representative_point().to_crs(before.declarations.crs).iloc[0]
        there = before.declarations.sindex.query(point, predicate="within")
        if not len(there):
            return None
        code = str(before.declarations["declared"].iloc[int(there[0])])
        return {"season": before.season, "crop": clean(self.run.crop(code))}

    def _earlier(self) -> pl.DataFrame | None:
        """Keep this run's verdicts, and return those of the run that was looked at before it.

        That a run was opened is an entry of the journal, with the hash of what was kept of it.
        """
        own = self._kept(self.model_id)
        if not own.exists():
            with atomic_path(own) as partial:
                self.run.verdicts.select(SEEN).write_parquet(partial)
        opened = [
            entry.content for entry in self.store.entries(subject=self.run.name) if entry.kind == OPENED
        ]
        now = {"model_id": self.model_id, "verdicts": sha256(own)}
        if now not in opened:
            self.store.add([Draft(OPENED, self.run.name, now)], PROGRAM)
        others = [str(said.get("model_id")) for said in opened if said.get("model_id") != self.model_id]
        there = [path for path in map(self._kept, others) if path.is_file()]
        return read_parquet(there[-1]) if there else None

    def _kept(self, model_id: str) -> Path:
        return self.folder / "runs" / f"{model_id}.parquet"


def _sentence(text: Text, fault: Fault) -> str:
    entry = fault.entry
    if entry is None:
        first, last = fault.missing
        return text(f"journal_fault.{fault.kind}", journal=fault.journal, first=first, last=last)
    about = ", ".join(filter(None, (text.get(f"entry.{entry.kind}", entry.kind), entry.subject)))
    named = text("journal_fault.entry", number=entry.number, what=about, by=entry.by)
    return text(f"journal_fault.{fault.kind}", journal=fault.journal, entry=named)


def letters_in(own: Path | None, language: str) -> dict[str, Path | None]:
    """Return the letters to farmers by language, the desk's first; None is the one that the desk brings.

    Parameters
    ----------
    own
        The agency's template, or a folder of them, `letter_de.html` a language.

    Raises
    ------
    ConfigError
        Where the folder holds none.
    """
    if own is not None and not own.is_dir():
        return {language: own}
    there: dict[str, Path | None]
    if own is not None:
        there = {path.stem.removeprefix("letter_"): path for path in sorted(own.glob("letter_*.html"))}
        if not there:
            raise ConfigError(f"--letter {own} holds no template such as letter_{language}.html.")
    else:
        known = (TEMPLATES / "desk").glob("letter_*.html.j2")
        there = dict.fromkeys(
            sorted(path.name.removesuffix(".html.j2").removeprefix("letter_") for path in known)
        )
    return {name: there[name] for name in sorted(there, key=lambda name: (name != language, name))}
