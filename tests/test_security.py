"""SECURITY.md names a test for each promise, and every test that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMISE = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<tests>`.+`) \|$", re.MULTILINE)


def test_every_promise_names_tests_that_are_there() -> None:
    rows = PROMISE.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(rows) >= 30
    for promise, cell in rows:
        for named in re.findall(r"`([^`]+)`", cell):
            path, _, test = named.partition("::")
            assert f"def {test}(" in (ROOT / "tests" / path).read_text(encoding="utf-8"), (promise, named)
