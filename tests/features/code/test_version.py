"""What a result depends on: the module, what it imports, and the files beside them; and nothing else."""

import pytest

from features.code.version import code_of

CONFIG = ("pipelines.config",)
STAGES = ("synthesise", "read", "clear", "extract", "fill", "train", "judge", "publish")
OBSERVING = ("clear", "extract")


def files_of(stage: str) -> set[str]:
    room = "pipelines.plan.observing" if stage in OBSERVING else "pipelines.plan"
    return set(code_of(f"{room}.{stage}", CONFIG).files)


def test_a_page_template_or_translation_is_part_of_publishing_alone() -> None:
    for name in ("reports/templates/style.css", "reports/translations/de.yaml", "reports/svg.py"):
        assert [stage for stage in STAGES if name in files_of(stage)] == ["publish"]


def test_a_table_beside_the_code_counts_where_it_is_read() -> None:
    table = "features/simulate/sensors/lookup/canopy.npz"
    assert [stage for stage in STAGES if table in files_of(stage)] == ["synthesise"]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("features/declarations/reader.py", ["read"]),
        ("models/crops/fitting/fits.py", ["train"]),
        ("models/verdicts/rule.py", ["judge", "publish"]),
        ("models/crops/estimators/kernels.py", ["train", "publish"]),  # imported by name
        ("models/crops/estimators/networks/dense.py", ["train", "publish"]),
        ("pipelines/stages/fill.py", ["fill"]),  # imported where the stage runs
        ("pipelines/plan/fill.py", ["fill"]),
        ("features/files.py", list(STAGES)),
    ],
)
def test_a_module_is_part_of_the_stages_that_reach_it(name: str, stages: list[str]) -> None:
    reaching = [stage for stage in STAGES if name in files_of(stage)]
    assert set(stages) - {"publish"} == set(reaching) - {"publish"}


def test_libraries_are_those_that_are_imported() -> None:
    assert "lightgbm" in code_of("pipelines.plan.train", CONFIG).libraries
    assert "lightgbm" not in code_of("pipelines.plan.fill", CONFIG).libraries
    assert {"python", "numpy"} <= set(code_of("pipelines.plan.fill", CONFIG).libraries)


def test_rooms_name_where_code_changed() -> None:
    rooms = code_of("pipelines.plan.fill", CONFIG).rooms
    assert {"features", "features/series", "pipelines/plan", "pipelines/stages"} <= set(rooms)
    assert not any(room.startswith(("models", "reports")) for room in rooms)
