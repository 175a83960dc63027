"""The version specifiers of requires-python."""

import pytest

from dialback_invoker.environments.version_range import VersionRange


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("", [(3, 10, 0)], []),
        (">=3.11", [(3, 11, 0), (3, 12, 4)], [(3, 10, 9)]),
        (">3.11", [(3, 11, 1), (3, 12, 0)], [(3, 11, 0)]),
        ("<3.13, >= 3.11.2", [(3, 11, 2), (3, 12, 9)], [(3, 11, 1), (3, 13, 0)]),
        ("<=3.12", [(3, 12, 0), (3, 11, 9)], [(3, 12, 1)]),
        ("~=3.11", [(3, 11, 0), (3, 14, 0)], [(3, 10, 9), (4, 0, 0)]),
        ("~=3.11.2", [(3, 11, 2), (3, 11, 9)], [(3, 11, 1), (3, 12, 0)]),
        ("==3.11.*", [(3, 11, 0), (3, 11, 9)], [(3, 12, 0)]),
        ("==3.11", [(3, 11, 0)], [(3, 11, 1)]),
        ("!=3.12.*,>=3", [(3, 11, 0), (3, 13, 0)], [(3, 12, 5)]),
        ("!=3.11.0", [(3, 11, 1)], [(3, 11, 0)]),
        ("===3.11.4", [(3, 11, 4)], [(3, 11, 5)]),
    ],
)
def test_a_version_is_inside_or_outside(
    text: str, inside: list[tuple[int, ...]], outside: list[tuple[int, ...]]
) -> None:
    span = VersionRange.parse(text)
    assert all(span.holds(version) for version in inside)
    assert not any(span.holds(version) for version in outside)


@pytest.mark.parametrize("text", ["3.11", ">=", ">=three", "~=3", ">=3.11.*", "^3.11", ">=3.11 <4"])
def test_what_is_no_specifier_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no version specifier"):
        VersionRange.parse(text)
