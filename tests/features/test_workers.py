from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from features.workers import next_ahead, one_ahead


def test_one_more_unit_is_handed_out_than_is_in_use() -> None:
    asked: list[int] = []

    def units() -> Iterator[int]:
        for unit in range(4):
            asked.append(unit)
            yield unit

    with ThreadPoolExecutor(1) as pool:
        results = one_ahead(pool, lambda unit: 10 * unit, units())
        assert next(results) == 0
        assert asked == [0, 1]
        assert list(results) == [10, 20, 30]
        assert list(one_ahead(pool, str, [])) == []


def test_the_next_number_is_made_ahead_and_none_past_the_last() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return 10 * number

    with next_ahead(make, 5) as of:
        assert [of(number) for number in (2, 3, 4)] == [20, 30, 40]
    assert made == [2, 3, 4]
