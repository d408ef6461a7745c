"""What an officer asked the list for, and how it stands in the page's address."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

from reports.desk.coordinates import place_of

SORTS = ("doubt", "hectares", "amount", "parcel", "holding", "due")
LARGEST_FIRST = ("hectares", "amount")
PAGE_ROWS = 50


@dataclass(frozen=True)
class Query:
    """Filters, order and page of the list. An empty string filters nothing.

    `text` is looked for in parcel ids, holdings and crops' names, or is a place (latitude, longitude); `also`
    are holdings that it finds besides. `also` is never part of an address.
    """

    text: str = ""
    verdict: str = ""
    reason: str = ""
    crop: str = ""
    intervention: str = ""
    region: str = ""
    marker: str = ""  # requirement:state, of `markers`
    anomaly: str = ""  # below or above its forecast
    inside: str = ""  # of reports.composition.INSIDE: whether more than one crop grows in the parcel
    parcel: str = ""  # this one alone
    holding: str = ""
    work: str = ""  # open, done, late, contact, visit, accept, refer, in_order
    assignee: str = ""
    listed: str = ""  # yes: the recommended list only
    changed: str = ""  # yes: parcels that are new, or whose verdict changed, since the last run
    min_ha: str = ""
    max_ha: str = ""
    sort: str = "doubt"
    down: str = ""  # yes: the other way round
    page: int = 1
    also: frozenset[str] = frozenset()

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Query":
        """Read a query from an address; what is unknown or no number is left out."""
        known = {name: values[name] for name in ADDRESSED if name in values}
        page = known.pop("page", "1")
        query = replace(cls(), **{name: value[:200] for name, value in known.items()})  # type: ignore[arg-type]
        sort = query.sort if query.sort in SORTS else "doubt"
        return replace(
            query,
            sort=sort,
            page=max(int(page), 1) if page.isascii() and page.isdecimal() and len(page) < 7 else 1,
        )

    def address(self, **changes: object) -> str:
        """Return the query as the end of an address, with changes; what is at its default is left out."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        default = Query()
        pairs = {
            name: getattr(changed, name)
            for name in ADDRESSED
            if getattr(changed, name) != getattr(default, name)
        }
        return urlencode(pairs)

    @property
    def place(self) -> tuple[float, float] | None:
        """Longitude and latitude, where the text is a place."""
        return place_of(self.text)

    @property
    def pseudonymous(self) -> "Query":
        """The query without holdings' own numbers, which are not kept on disk: one stands by its pseudonym.

        Examples
        --------
        >>> Query(text="DE 04/117", also=frozenset({"h7"})).pseudonymous.address()
        'holding=h7'
        """
        if not self.also:
            return self
        holding = next(iter(self.also)) if len(self.also) == 1 else self.holding
        return replace(self, text="", holding=holding, also=frozenset())

    def number(self, name: str) -> float | None:
        """Return a limit of hectares, or None where it is empty or no number."""
        try:
            return float(getattr(self, name).replace(",", "."))
        except ValueError:
            return None


ADDRESSED = tuple(name.name for name in fields(Query) if name.name != "also")
