"""conf/REFERENCE.md says what the option classes say."""

from pipelines.config import RunConfig
from pipelines.reference import REFERENCE, _fields, _model_in, reference


def test_it_is_current() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "run `python -m pipelines.reference`"


def test_every_key_says_what_it_means() -> None:
    assert [key for key, field in _fields("", RunConfig) if not field.description] == []


def test_every_section_is_there() -> None:
    text = reference()
    for name, field in RunConfig.model_fields.items():
        assert f"\n## {name}\n" in text if _model_in(field.annotation) else f"| `{name}` |" in text
    assert "| `train.models.lightgbm.rounds` | whole number (at least 1, at most " in text
