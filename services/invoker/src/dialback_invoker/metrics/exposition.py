"""Readings as the text that Prometheus scrapes."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import inf
from typing import Final

from prometheus_client import ProcessCollector, metrics_core
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from dialback_wire.metrics import Metric, Reading, Source, Tally

PATH: Final = "/metrics"


class Exposition:
    """Everything that is counted in this process, in one text."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Tell of this as well."""
        self._sources.append(source)

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its Content-Type: OpenMetrics where `accept` names it, else Prometheus' own.

        Numbers are read on the loop's thread, where they are bumped; the text is made in another one.
        """
        readings = [reading for source in self._sources for reading in source()]
        return await asyncio.to_thread(rendered, readings, accept)


def rendered(readings: Iterable[Reading], accept: str = "") -> tuple[bytes, str]:
    """See `Exposition.text`. The process itself is told of too: processor time, memory, open files."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(readings))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Families(Collector):
    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[metrics_core.Metric]:
        by_metric: defaultdict[Metric, list[Reading]] = defaultdict(list)
        for reading in self._readings:
            by_metric[reading.metric].append(reading)
        for metric, found in by_metric.items():
            family = metrics_core.Metric(metric.name.removesuffix("_total"), metric.help, metric.kind)
            for reading in found:
                _sample(family, reading)
            yield family

    def describe(self) -> Iterator[metrics_core.Metric]:
        return iter(())


def _sample(family: metrics_core.Metric, reading: Reading) -> None:
    labels = dict(zip(reading.metric.labels, reading.labels, strict=True))
    value = reading.value
    if isinstance(value, Tally):
        reached = 0
        for bound, count in zip((*value.bounds, inf), value.counts, strict=True):
            reached += count
            family.add_sample(
                f"{family.name}_bucket", {**labels, "le": "+Inf" if bound == inf else str(bound)}, reached
            )
        family.add_sample(f"{family.name}_count", labels, reached)
        family.add_sample(f"{family.name}_sum", labels, value.total)
    else:
        family.add_sample(reading.metric.name, labels, value)
