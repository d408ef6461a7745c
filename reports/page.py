"""The values that every page shows: region, season, versions, navigation."""

from reports.embed import clean
from reports.options import PublishOptions
from reports.run import RunTables
from reports.translation import Text


def frame(
    run: RunTables, options: PublishOptions, current: str, text: Text, root: str = ""
) -> dict[str, object]:
    """Return the template's values that any page needs.

    Parameters
    ----------
    current
        File name of the page, marked in the navigation.
    root
        Way from the page's folder to that of the three pages.
    """
    lineage = run.lineage
    return {
        "t": text,
        "lang": text.language,
        "current": current,
        "root": root,
        "region": clean(options.title or run.name),
        "season": run.season,
        "changes": bool(lineage.get("since")),
        "made": text.day(made, year=True) if (made := lineage.get("made")) else "",
        "version": clean(lineage.get("versions", {}).get("cropcheck", "")),
        "model_id": clean(lineage.get("model_id", "–"))[:16],
        "commit": clean(lineage.get("git_commit", "–"))[:12],
    }
