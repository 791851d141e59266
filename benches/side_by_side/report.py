"""The figures as Markdown: one table per workload, then ratios, memory, and the aims they are held to."""

from statistics import fmean, median

from sockets import EVERY_MS, MANY, SETTLES
from unified import NATIVE, STREAMS, UNQUEUED

VOXGATE, NGINX, BARE_NGINX, DIRECT = "voxgate", "nginx, same job", "nginx, bare", "direct"
STREAM = "20 chunks, 20 ms apart"
PIECED = [STREAM, "mp3 passed through, 20 chunks"]
"""Where the load looks for merged chunks."""


def side_by_side(cells, memory, end, recorded, rounds, seconds, steady_calls):
    parts = [
        "# Side by side",
        f"{rounds} interleaved rounds of {seconds} s per cell; medians over the rounds. CPU is user and system "
        "time of the proxy per 1,000 calls, also as the mean of its best quarter of rounds.",
    ]
    for workload, ways in cells.items():
        parts += [f"## {workload}", _workload_table(workload, ways)]
    parts += ["## CPU of voxgate, as a share of nginx's", _ratio_table(cells)]
    parts += ["## Resident memory, MiB", _memory_table(memory, end, steady_calls)]
    parts += ["## Record", ", ".join(f"{count:,} {result}" for result, count in recorded.items()) or "no figures"]
    parts += ["## Aims", _aims(cells, memory)]
    return "\n\n".join(parts) + "\n"


def cost_of_unified(cells, memory, rounds, seconds):
    parts = [
        "# What /v1 costs",
        f"{rounds} interleaved rounds of {seconds} s per cell; medians over the rounds.",
    ]
    for comparison, ways in cells.items():
        parts += [f"## {comparison}", _workload_table(comparison, ways)]
    parts += ["## /v1 beside native", _beside_native(cells)]
    parts += [f"## Memory of {STREAMS} open streams", _stream_memory_table(memory)]
    parts += ["## Aims", _unified_aims(cells, memory)]
    return "\n\n".join(parts) + "\n"


def cost_of_sockets(latency, memory, crowd, rounds, seconds, crowd_seconds):
    parts = [
        "# WebSockets",
        f"{rounds} interleaved rounds of {seconds} s per cell, one connection, a message as soon as the one before is "
        "back; medians over the rounds, in microseconds from departure to return.",
    ]
    for size, ways in latency.items():
        parts += [f"## Messages of {size} bytes", _latency_table(ways)]
    parts += [f"## {MANY:,} idle connections, a message each before", _idle_table(memory)]
    parts += [f"## {MANY:,} connections, {1000 // EVERY_MS} messages a second each, {crowd_seconds} s",
              _crowd_table(crowd, crowd_seconds)]
    parts += ["## Aims", _sockets_aims(latency, memory, crowd)]
    return "\n\n".join(parts) + "\n"


def _latency_table(ways):
    head = ["", "messages/s", "p50 µs", "added p50 µs", "p99 µs", "added p99 µs"]
    rows = [
        [way, f"{median(r['back'] / r['seconds'] for r in results):,.0f}",
         *(f"{figure:.1f}" for name in ("p50_us", "p99_us") for figure in (_median(results, name), _added(ways, way, name)))]
        for way, results in ways.items()
    ]
    return _table(head, rows)


def _idle_table(memory):
    rows = [[way, f"{mib['before']:.1f}", f"{mib['open']:.1f}", f"{_per_connection(mib):.1f}"]
            for way, mib in memory.items()]
    return _table(["", "before MiB", "open MiB", "KiB per connection"], rows)


def _per_connection(mib):
    return (mib["open"] - mib["before"]) * 1024 / MANY


def _crowd_table(crowd, seconds):
    planned = MANY * seconds * 1000 // EVERY_MS
    head = ["", "sent", "of those planned", "lost", "p50 ms", "p99 ms", "cores", f"MiB after {SETTLES} s", "MiB at the end"]
    rows = [
        [way, f"{r['sent']:,}", f"{r['sent'] / planned:.0%}", r["sent"] - r["back"],
         _ms(r["p50_us"]), _ms(r["p99_us"]), f"{r['cores']:.2f}",
         f"{_settled(r):.1f}", f"{r['memory'][-1]:.1f}"]
        for way, r in crowd.items()
    ]
    return _table(head, rows)


def _settled(result):
    return result["memory"][SETTLES - 1]


def _sockets_aims(latency, memory, crowd):
    aims = []
    for size, ways in latency.items():
        for way in ways:
            if way.startswith(VOXGATE):
                more = _beyond(ways, way, BARE_NGINX, "p50_us")
                aims.append((f"p50 within 30 µs of bare nginx's: {way}, {size} bytes", f"{more:+.1f} µs", more <= 30))
    for way, mib in memory.items():
        if way.startswith(VOXGATE):
            kib = _per_connection(mib)
            aims.append((f"below 40 KiB per idle connection: {way}", f"{kib:.1f} KiB", kib < 40))
    for way, result in crowd.items():
        lost, more = result["sent"] - result["back"], result["memory"][-1] - _settled(result)
        aims += [(f"no lost message: {way}", f"{lost}", lost == 0),
                 (f"at most 1 MiB more at the end: {way}", f"{more:+.1f} MiB", more <= 1)]
    return _aims_table(aims)


def _beside_native(cells):
    head = ["", "", "CPU of native's", "best quarter", "first byte later by, ms"]
    rows = [
        [comparison, way, f"{_ratio(ways, way, NATIVE):.2f}", f"{_best_cpu(ways[way]) / _best_cpu(ways[NATIVE]):.2f}",
         _ms(_beyond(ways, way, NATIVE, "first_byte_p50_us"))]
        for comparison, ways in cells.items() for way in _translated(ways)
    ]
    return _table(head, rows)


def _translated(ways):
    return [way for way in ways if way not in (DIRECT, NATIVE)]


def _stream_memory_table(memory):
    head = ["", "idle MiB", "all open MiB", "highest MiB", "KiB per stream", "at the highest"]
    rows = []
    for kind, mib in memory.items():
        row = [kind] + [f"{mib[reading]:.1f}" for reading in ("idle", "steady", "peak")]
        rows.append(row + [f"{_per_stream(mib, reading):.0f}" for reading in ("steady", "peak")])
    return _table(head, rows)


def _per_stream(mib, reading):
    """In KiB, beyond what was resident before."""
    return (mib[reading] - mib["idle"]) * 1024 / STREAMS


def _unified_aims(cells, memory):
    pairs = [(comparison, way) for comparison, ways in cells.items() for way in _translated(ways)]
    later = max((_beyond(cells[at], way, NATIVE, "first_byte_p50_us"), f"{way}: {at}")
                for at, way in pairs if at in UNQUEUED)
    cpu = max((_ratio(cells[at], way, NATIVE), f"{way}: {at}") for at, way in pairs)
    aims = [
        ("first byte less than 0.3 ms after native's", f"{_ms(later[0])} ms at worst ({later[1]})", later[0] < 300),
        ("CPU per call at most 1.5 × that of native", f"{cpu[0]:.2f} × at worst ({cpu[1]})", cpu[0] <= 1.5),
    ]
    for kind, mib in memory.items():
        if not kind.startswith(NATIVE):
            kib = _per_stream(mib, "peak")
            aims.append((f"memory below 200 KiB a stream: {kind}", f"{kib:.0f} KiB", kib < 200))
    return _aims_table(aims)


def _table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _workload_table(workload, ways):
    streams = workload in PIECED
    head = ["", "calls/s", "p50 ms", "added p50 ms", "p99 ms", "first byte p50 ms",
            "CPU s per 1,000", "best quarter"] + (["merged chunks"] if streams else [])
    rows = []
    for way, results in ways.items():
        row = [way, f"{median(r['calls'] / r['seconds'] for r in results):,.0f}"]
        row += [_ms(_median(results, "p50_us")), _ms(_added(ways, way, "p50_us")), _ms(_median(results, "p99_us")),
                _ms(_median(results, "first_byte_p50_us"))]
        row += ["", ""] if way == DIRECT else [f"{_cpu(results):.4f}", f"{_best_cpu(results):.4f}"]
        row += [sum(r["merged"] for r in results)] if streams else []
        rows.append(row)
    return _table(head, rows)


def _ratio_table(cells):
    rows = []
    for workload, ways in cells.items():
        row = [workload]
        for other in (NGINX, BARE_NGINX):
            row += [f"{_ratio(ways, VOXGATE, other):.2f}", f"{_best_cpu(ways[VOXGATE]) / _best_cpu(ways[other]):.2f}"]
        rows.append(row)
    return _table(["", "same job", "best quarter", "bare", "best quarter"], rows)


def _memory_table(memory, end, steady_calls):
    head = ["", "fresh", f"after {steady_calls:,} calls", f"after {2 * steady_calls:,}", "after all rounds"]
    return _table(head, [[name, *(f"{mib:.1f}" for mib in (*readings, end[name]))]
                         for name, readings in memory.items()])


def _aims(cells, memory):
    cpu, cpu_at = _worst(cells, lambda ways: _ratio(ways, VOXGATE, NGINX))
    bare, bare_at = _worst(cells, lambda ways: _ratio(ways, VOXGATE, BARE_NGINX))
    p50, p50_at = _worst(cells, lambda ways: _added(ways, VOXGATE, "p50_us") - _added(ways, NGINX, "p50_us"))
    first, first_at = _worst(cells, lambda ways: _later(ways, "first_byte_p50_us"))
    merged = {way: sum(r["merged"] for r in results) for way, results in cells[STREAM].items()}
    _, middle, last = memory[VOXGATE]
    aims = [
        ("CPU per call at most that of nginx, same job", f"{cpu:.2f} × at worst ({cpu_at})", cpu <= 1),
        ("… stretch: 0.75 ×", f"{cpu:.2f} × at worst ({cpu_at})", cpu <= 0.75),
        ("CPU per call at most 1.5 × that of bare nginx", f"{bare:.2f} × at worst ({bare_at})", bare <= 1.5),
        ("added p50 no worse than nginx's, same job", f"{_ms(p50)} ms more at worst ({p50_at})", p50 <= 0),
        ("first byte no later than nginx's, same job", f"{_ms(first)} ms later at worst ({first_at})", first <= 0),
        ("no merged chunks", f"{merged[VOXGATE]}, and {merged[DIRECT]} direct", merged[VOXGATE] <= merged[DIRECT]),
        ("memory below 45 MiB after the first half of the steady calls", f"{middle:.1f} MiB", middle < 45),
        ("flat from there: at most 1 MiB more after the second half", f"{last - middle:+.1f} MiB", last - middle <= 1),
    ]
    return _aims_table(aims)


def _aims_table(aims):
    return _table(["aim", "measured", "met"], [[aim, figure, "yes" if met else "no"] for aim, figure, met in aims])


def _worst(cells, figure):
    """The highest of a figure over all workloads, and where it was."""
    return max((figure(ways), workload) for workload, ways in cells.items())


def _later(ways, name):
    return _median(ways[VOXGATE], name) - _median(ways[NGINX], name)


def _median(results, name):
    return median(result[name] for result in results)


def _added(ways, way, name):
    """The median over rounds of what a way took beyond the direct call of the same round."""
    return _beyond(ways, way, DIRECT, name)


def _beyond(ways, way, other, name):
    return median(ours[name] - theirs[name] for ours, theirs in zip(ways[way], ways[other], strict=True))


def _cpu(results):
    return _median(results, "cpu_per_1000")


def _best_cpu(results):
    """The mean of the cheapest quarter: what is left when the machine disturbs least."""
    costs = sorted(result["cpu_per_1000"] for result in results)
    return fmean(costs[:max(1, len(costs) // 4)])


def _ratio(ways, way, other):
    """The median over rounds of one's CPU per call over another's in the same round."""
    pairs = zip(ways[way], ways[other], strict=True)
    return median(ours["cpu_per_1000"] / theirs["cpu_per_1000"] for ours, theirs in pairs)


def _ms(micros):
    return f"{micros / 1000:.2f}"
