"""Histograms of plain integers."""

import pytest

from dialback_wire.metrics import SECONDS, Tally


def test_a_value_counts_below_the_first_bound_that_is_not_smaller() -> None:
    tally = Tally((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 99.0):
        tally.add(value)
    assert tally.counts == [2, 2, 2]
    assert tally.total == pytest.approx(105.6)


def test_counts_from_elsewhere_are_added_and_a_copy_stands_still() -> None:
    tally = Tally()
    tally.add(0.002)
    copy = tally.copy()
    tally.merge([1] * (len(SECONDS) + 1), 4.0)
    assert (sum(tally.counts), tally.total) == (len(SECONDS) + 2, 4.002)
    assert (sum(copy.counts), copy.total) == (1, 0.002)


def test_counts_below_other_bounds_are_not_mixed_in() -> None:
    with pytest.raises(ValueError, match="zip"):
        Tally((1.0,)).merge([1], 1.0)
