"""The reserve of random bytes."""

from dialback_wire.randomness import BLOCK, Randomness


def test_every_byte_is_given_once_in_blocks_of_the_source() -> None:
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return b"".join(number.to_bytes(4, "big") for number in range(len(asked) * BLOCK, len(asked) * BLOCK + count))[
            :count
        ]

    random = Randomness(source)
    given = [random(32) for _ in range(BLOCK // 32 + 1)]
    assert [len(each) for each in given] == [32] * len(given)
    assert len(set(given)) == len(given)
    assert asked == [BLOCK, BLOCK]


def test_what_is_larger_than_a_block_comes_from_the_source_itself() -> None:
    random = Randomness(lambda count: bytes(count))
    assert len(random(BLOCK + 1)) == BLOCK + 1
    assert random(0) == b""
