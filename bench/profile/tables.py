"""The profile's tables."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.profile.hops import Hop, Profile
from bench.profile.sampler import LOOP
from bench.report import table
from bench.subjects import SUBJECTS

OWN = ("dialback_edge", "dialback_invoker", "dialback_wire", "dialback_bridge", "dialback")
OTHERS = ("aiohttp", "websockets", "uvloop", "asyncio", "json", "logging")


def tables(profiles: Sequence[Profile], missing: Mapping[str, str], top: int) -> str:
    """All of it, as Markdown."""
    parts = [f"**MISSING: {SUBJECTS[name].title}**: {why}" for name, why in missing.items()]
    parts.append("### CPU time a request, by process\n\n" + by_process(profiles))
    sampled = [one for one in profiles if one.sampled_rate]
    if sampled:
        parts.append("### The same, by package\n\n" + by_package(sampled))
    parts += [f"### {one.title}: {hop.name}\n\n{functions(hop, top)}" for one in sampled for hop in one.hops]
    return "\n\n".join(parts)


def by_process(profiles: Sequence[Profile]) -> str:
    """Measured with no sampler in the way."""
    rows = []
    for one in profiles:
        for hop in one.hops:
            figures = (hop.cpu_us, hop.kernel_us, hop.other_threads_us)
            rows.append([one.title, hop.name, *(f"{figure:.0f}" for figure in figures)])
        total = [sum(getattr(hop, key) for hop in one.hops) for key in ("cpu_us", "kernel_us", "other_threads_us")]
        rows.append([one.title, "**all**", *(f"**{figure:.0f}**" for figure in total), f"{one.rate:,.0f}"])
    return table(["server", "process", "CPU, µs", "in the kernel", "in other threads", "requests/s"], rows)


def by_package(profiles: Sequence[Profile]) -> str:
    """A process's time, shared out by which package's code ran."""
    shares = [(one, hop, _packages(hop)) for one in profiles for hop in one.hops]
    names = [name for name in (*OWN, *OTHERS, LOOP, "the rest") if any(counts[name] for *_, counts in shares)]
    rows = []
    for one, hop, counts in shares:
        total = sum(counts.values()) or 1
        rows.append([one.title, hop.name, *(f"{counts[name] / total * hop.cpu_us:.0f}" for name in names)])
    return table(["server", "process", *names], rows)


def functions(hop: Hop, top: int) -> str:
    """The functions that used most by themselves, and what they and all that they called used."""
    total = sum(hop.functions.values())
    if not total:
        return "no samples"
    rows = []
    for name, count in Counter(hop.functions).most_common(top):
        below = hop.below.get(name, count)
        rows.append([f"`{name}`", *(f"{part / total * hop.cpu_us:.1f}" for part in (count, below))])
    return table([f"function ({total:,} samples)", "µs a request", "with what it calls"], rows)


def _packages(hop: Hop) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, count in hop.functions.items():
        package = name.split("/")[0].partition(".py:")[0]
        counts[name if name == LOOP else package if package in (*OWN, *OTHERS) else "the rest"] += count
    return counts
