"""A drawn sample as files: QUASSA's columns, the lists by parcel and holding, a summary, and the design."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from features.files import atomic_path
from models.assessment.sample import ListSample, parcel_list


def write_list_sample(
    sample: ListSample,
    out: Path,
    settings: Sequence[str],
    *,
    holdings: pl.DataFrame | None = None,
    design: pl.DataFrame | None = None,
) -> list[Path]:
    """Write a sample and the files beside it, all or none: on a full disk the older files stay.

    Parameters
    ----------
    out
        The sample's CSV; the others take its name with `_parcels`, `_holdings`, `_design` and `_summary`.
    settings
        Lines of the summary: what the sample was drawn from, and how.

    Returns
    -------
    list[Path]
        The files written.
    """
    tables = {"": sample.rows, "_parcels": parcel_list(sample), "_holdings": holdings, "_design": design}
    known = {beside(out, ending): table for ending, table in tables.items() if table is not None}
    summary = beside(out, "_summary").with_suffix(".txt")
    with ExitStack() as files:
        for path, table in known.items():
            table.write_csv(files.enter_context(atomic_path(path)))
        text = "\n".join(summary_lines(sample, settings)) + "\n"
        files.enter_context(atomic_path(summary)).write_text(text, encoding="utf-8")
    return [*known, summary]


def beside(out: Path, ending: str) -> Path:
    """Return the path of a file beside the sample.

    Examples
    --------
    >>> beside(Path("a/sample.csv"), "_design").as_posix()
    'a/sample_design.csv'
    """
    return out.with_name(f"{out.stem}{ending}{out.suffix or '.csv'}")


def written_beside(out: Path) -> list[Path]:
    """Return every path that a sample's files may take."""
    tables = [beside(out, ending) for ending in ("", "_parcels", "_holdings", "_design")]
    return [*tables, beside(out, "_summary").with_suffix(".txt")]


def summary_lines(sample: ListSample, settings: Sequence[str]) -> list[str]:
    """Return the summary: settings, buckets, totals, and which buckets stayed short."""
    rows, buckets = sample.rows, sample.buckets
    parcels = rows.select("gsa_par_id", "gsa_hol_id").unique()
    holdings = rows["gsa_hol_id"].n_unique()
    covered = rows.select("gsa_par_id", "covered").unique()
    mean = parcels.height / holdings if holdings else 0.0
    lines = ["Sample", *settings, "", "bucket | drawn | target | rows in the list | share"]
    lines += [
        f"{name} | {drawn} | {target} | {total} | {drawn / total:.2%}"
        for name, target, drawn, total in buckets.select("bucket_id", "target", "drawn", "total").iter_rows()
    ]
    lines += [
        "",
        f"{rows.height} rows of {parcels.height} parcels in {holdings} holdings, {mean:.2f} a holding.",
    ]
    if rows["covered"].null_count() < rows.height:
        seen, unseen = (covered.filter(pl.col("covered") == code).height for code in (1, 0))
        lines.append(f"Parcels covered by images: {seen}; not covered: {unseen}.")
    short = sample.short
    if short.height:
        named = ", ".join(f"{name} by {target - drawn}" for name, target, drawn, _ in short.iter_rows())
        lines.append(f"Short of their target: {named}: the rules leave no further parcel for them.")
    return lines
