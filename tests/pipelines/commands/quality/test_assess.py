"""What `cropcheck assess` says of a sample that is visited little by little."""

import re
from pathlib import Path

import polars as pl

from models.assessment.options import SampleOptions
from models.assessment.quality_sample import draw_sample
from pipelines.commands.quality.assess import assess_run
from pipelines.tables import write_table
from pipelines.workspace import Workspace
from tests.mock_run import make_run

RUN = make_run(60, light=True)


def said(folder: Path, visited: int) -> str:
    table = RUN.verdicts.select("parcel_id").head(visited).with_columns(field_result=pl.lit("correct"))
    table.write_csv(folder / "visited.csv")
    return assess_run(folder, folder / "visited.csv", by="anna")


def test_it_says_what_is_still_to_be_visited_until_nothing_is(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    declared = pl.from_pandas(RUN.declarations.drop(columns="geometry"))
    declared = declared.with_columns(pl.col(pl.Null).cast(pl.String))
    drawn = draw_sample(declared, SampleOptions(share=1.0, per_holding=60), 1)
    write_table(RUN.verdicts, workspace.imagery_verdicts)
    write_table(drawn.design, workspace.design)
    first, last = said(tmp_path, 20), said(tmp_path, 60)
    assert "40 sampled parcels are not visited yet; those visited count as drawn at random" in first
    assert "not visited" not in last
    for text, closed in ((first, False), (last, True)):
        ends = re.search(r"^wrong_rate \(count\): 0\.000 \[(.*?), (.*?)\]", text, re.MULTILINE)
        assert ends is not None
        assert (ends[1] == ends[2]) is closed
