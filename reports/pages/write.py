"""The pages and the parcel sheets of a run, written from its stored tables."""

import logging
from pathlib import Path

from features.workers import Progress
from reports.options import PublishOptions
from reports.pages.agency import write_agency
from reports.pages.analyst import write_analyst
from reports.pages.auditor import write_auditor
from reports.pages.changes import write_changes
from reports.pages.finders import PATTERN
from reports.pages.follow_up import candidates
from reports.run import RunTables
from reports.sheet.sheets import write_sheets
from reports.translation import translation

log = logging.getLogger(__name__)
PAGES = 3


def write_reports(
    run: RunTables, out: Path, options: PublishOptions, progress: Progress | None = None
) -> list[Path]:
    """Write `agency.html`, `analyst.html`, `auditor.html` and `parcels/<id>.html` under `out`, and
    `changes.html` where there is an earlier run.

    The same run and options give the same bytes.

    Parameters
    ----------
    progress
        Called with (files written, files to write).

    Returns
    -------
    list[Path]
        Every file written, in order.
    """
    run = run.in_language(translation(options.language))
    listed = candidates(run, options)
    total = int(listed["sheet"].is_not_null().sum()) + PAGES
    report = progress or (lambda done, of: None)
    sheets = write_sheets(run, out, options, listed, lambda done, of: report(done, total))
    pages = write_agency(run, out, options, listed)
    pages += [write_analyst(run, out, options, listed), write_auditor(run, out, options)]
    pages += write_changes(run, out, options, listed)
    report(total, total)
    _sweep(out, {*pages, *sheets})
    log.info("%d pages and %d parcel sheets in %s", len(pages), len(sheets), out)
    return [*pages, *sheets]


def _sweep(out: Path, written: set[Path]) -> None:
    """Remove sheets and map parts that an earlier run left and this one did not write."""
    for path in [*out.glob("parcels/*.html"), *out.glob("agency-map-*.html"), *out.glob(PATTERN)]:
        if path not in written:
            path.unlink()
