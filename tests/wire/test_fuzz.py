"""A bounded run of the fuzzer; `python -m tests.wire.fuzz_mux` runs as long as one likes."""

import pytest

from .fuzz_mux import run


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_bytes_break_the_mux_or_a_well_behaved_stream(seed: int) -> None:
    assert run(seed, rounds=250) == 250
