"""A wrong option is answered in our own words: which key, what may stand there, and what does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from features.errors import CropcheckError
from features.messages.option_faults import branches
from pipelines.config import RunConfig, load_config

TINY = Path("conf/tiny.yaml")


def told(*settings: str) -> list[str]:
    with pytest.raises(CropcheckError) as refusal:
        load_config(TINY, list(settings))
    return [line.strip() for line in str(refusal.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("season.start=2024-13-01",
         "season.start: write a day as YYYY-MM-DD, such as 2024-03-01; here is '2024-13-01'."),
        ("season.end=soon", "season.end: write a day as YYYY-MM-DD, such as 2024-03-01; here is 'soon'."),
        ("season.start=2024-03-01 10:00",
         "season.start: write a day as YYYY-MM-DD, such as 2024-03-01, without a time; here is "
         "'2024-03-01 10:00'."),
        ("season.year=20244", "season.year: write a number of at most 2100; here is 20244."),
        ("folds.count=2.5", "folds.count: write a whole number; here is 2.5."),
        ("folds=3", "folds: write a section: keys with values under it; here is 3."),
        ("fill.method=lineer",
         "fill.method: write 'none', 'linear' or 'whittaker' (did you mean 'linear'?); here is 'lineer'."),
        ("fill.metod=linear", "fill.metod: there is no such key; did you mean method?"),
        ("declarations.fields.code=123",
         "declarations.fields.code: write a text; put numbers and true or false into quotes; here is 123."),
        ("extract.optical=B04", "extract.optical: write a list, such as [a, b]; here is 'B04'."),
        ("forecast.methods=[a]",
         "forecast.methods.0: write 'damped', 'boosting', 'lstm' or 'lstm_monthly'; here is 'a'."),
        ("tracking.enabled=maybe", "tracking.enabled: write true or false; here is 'maybe'."),
        ("name=a b", "name: name of the run: its output folder is out/NAME/. Letters, digits, `_` and `-`; "
                     "here is 'a b'."),
    ],
)  # fmt: skip
def test_what_which_and_the_cure(setting: str, line: str) -> None:
    assert told(setting) == [line]


def test_all_faults_are_told_at_once_and_a_branch_of_a_union_is_no_key() -> None:
    assert told("season.year=x", "rasters={flux: {product: lsa}}") == [
        "season.year: write a whole number; here is 'x'.",
        "rasters.flux: write a path; here is {'product': 'lsa'}.",
        "rasters.flux.product: write 'lsa_saf' (did you mean 'lsa_saf'?); here is 'lsa'.",
        "rasters.flux.path: this key is needed; add it.",
    ]


def leaves(kind: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield the dotted key of every option."""
    for name, field in kind.model_fields.items():
        inner = [one for one in branches(field.annotation) if isinstance(one, type)]
        models = [one for one in inner if issubclass(one, BaseModel)]
        yield f"{above}{name}"
        for model in models:
            yield from leaves(model, f"{above}{name}.")


@pytest.mark.parametrize("wrong", ["\u00a7", -1e9, 20240301, [[{}]], {"a": [1]}, True])
def test_no_option_is_answered_in_the_words_of_a_library(wrong: Any) -> None:
    foreign = (
        "Input should",
        "should be a valid",
        "validation error",
        "pydantic",
        "type=",
        "NoneType",
        "unhashable",
    )
    keys = list(leaves(RunConfig))
    assert len(keys) > 200
    for key in keys:
        document: Any = wrong
        for part in reversed(key.split(".")):
            document = {part: document}
        said = ""
        try:
            load_config(TINY, [f"{name}={value!r}" for name, value in document.items()])
        except CropcheckError as error:
            said = str(error)
        assert not [word for word in foreign if word in said], f"{key}: {said}"
