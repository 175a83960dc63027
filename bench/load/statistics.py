"""The figures that lists of measurements need."""

from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, nearest rank. Raises ValueError when there are none."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def delay_figures(delays: Sequence[int]) -> dict[str, float]:
    """Median and 99th percentile of delays in nanoseconds; nothing for a server that does not say when it wrote."""
    if not delays:
        return {}
    return {"delay_ms": quantile(delays, 0.5) / 1e6, "delay_p99_ms": quantile(delays, 0.99) / 1e6}
