"""What a config may not hold, because it is written into every record of a run."""

from pathlib import Path

import pytest

from features.errors import ConfigError
from pipelines.config import load_config

TINY = Path("conf/tiny.yaml")


@pytest.mark.parametrize(
    ("setting", "cure"),
    [
        ("imagery.catalog=https://me:CANARY@example.org/stac", r"put it into ~/\.netrc"),
        ("imagery.catalog=https://example.org/stac?api_key=CANARY", r"put it into ~/\.netrc"),
        ("tracking.store=postgresql://me:CANARY@db/mlflow", r"MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_passwords_and_keys_are_refused_and_not_shown(setting: str, cure: str) -> None:
    with pytest.raises(ConfigError, match=cure) as refusal:
        load_config(TINY, [setting])
    assert "CANARY" not in str(refusal.value)


def test_a_day_before_the_season_is_told_before_anything_is_searched() -> None:
    with pytest.raises(ConfigError, match="until 2024-01-02 must not come before start 2024-03-01"):
        load_config(TINY, ["season.until=2024-01-02"])
