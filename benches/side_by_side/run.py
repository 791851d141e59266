#!/usr/bin/env python3
"""Voxgate beside nginx and HAProxy, its `/v1` beside native calls, and WebSockets: starts them, measures them in turns,
writes the report. Arguments choose parts.

In each round every proxy gets each workload once, so whatever else disturbs the machine disturbs all
of them alike. The proxies have one core; the upstream and the load share another.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import callers
import proxies
import report
import sockets
import unified
from measuring import Load, check_log

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
VOXGATE, LOAD = TARGET / "release" / "voxgate", TARGET / "release" / "side_by_side"
QUICK = os.environ.get("BENCH_QUICK") == "1"
ROUNDS, SECONDS = (3, 0.7) if QUICK else (8, 1.5)
STEADY_CALLS = 100_000
CROWD_SECONDS = 15 if QUICK else 60


class Bench:
    def __init__(self, root, upstream, proxy_core, load):
        self.proxy_core = proxy_core
        self.upstream = upstream
        self.load = load
        self.proxies = proxies.compared(VOXGATE, root)

    def start(self):
        for proxy in self.proxies:
            proxy.start(self.upstream, self.proxy_core)
            proxy.prove()

    def memory(self, proxy):
        """Resident memory of a fresh proxy, and after each of two equal loads by all users."""
        readings = [proxy.gauge.resident_mib()]
        for _ in range(2):
            self.load.run(proxy, callers.WORKLOADS[0], f"calls={STEADY_CALLS}")
            proxy.gauge.cpu_seconds_once_quiet()
            readings.append(proxy.gauge.resident_mib())
        return readings

    def rounds(self):
        """`{workload: {way: [result per round]}}`; each round begins with another way."""
        ways = [self.upstream, *self.proxies]
        cells = {workload.name: {way.name: [] for way in ways} for workload in callers.WORKLOADS}
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            turn = number % len(ways)
            for workload in callers.WORKLOADS:
                for way in ways[turn:] + ways[:turn]:
                    cells[workload.name][way.name].append(self.load.measure(way, workload, SECONDS))
        return cells

    def check_logs(self):
        """Each proxy that must log has a line of JSON for every call."""
        for proxy in self.proxies:
            if proxy.checks_callers:
                check_log(proxy)

    def stop(self):
        for proxy in self.proxies:
            proxy.stop()


def side_by_side(root, upstream, proxy_core, load):
    """The part of the report that compares voxgate with others, and its figures."""
    bench = Bench(root, upstream, proxy_core, load)
    try:
        bench.start()
        memory = {proxy.name: bench.memory(proxy) for proxy in bench.proxies}
        cells = bench.rounds()
        end = {proxy.name: proxy.gauge.resident_mib() for proxy in bench.proxies}
        recorded = bench.proxies[0].recorded()
    finally:
        bench.stop()
    bench.check_logs()
    return report.side_by_side(cells, memory, end, recorded, ROUNDS, SECONDS, STEADY_CALLS), cells


def cost_of_unified(root, upstream, proxy_core, load):
    """The part of the report that compares `/v1` with native calls, and its figures."""
    bench = unified.Unified(VOXGATE, root, upstream, proxy_core, load)
    memory = bench.memory()
    cells = bench.rounds(ROUNDS, SECONDS)
    return report.cost_of_unified(cells, memory, ROUNDS, SECONDS), cells


def cost_of_sockets(root, upstream, proxy_core, load):
    """The part of the report about WebSockets, and its figures."""
    bench = sockets.Sockets(VOXGATE, LOAD, root, upstream, proxy_core, load.core)
    latency = bench.latency(ROUNDS, SECONDS)
    memory = bench.memory()
    crowd = bench.crowd(CROWD_SECONDS)
    text = report.cost_of_sockets(latency, memory, crowd, ROUNDS, SECONDS, CROWD_SECONDS)
    return text, {"sockets": {"latency": latency, "memory": memory, "crowd": crowd}}


PARTS = {"side_by_side": side_by_side, "unified": cost_of_unified, "sockets": cost_of_sockets}


def main():
    chosen = sys.argv[1:] or list(PARTS)
    if not set(chosen) <= set(PARTS):
        sys.exit(f"usage: run.py [{' | '.join(PARTS)}]")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the proxy, one for the load")
    proxy_core, load_core = cores[0], cores[-1]
    os.sched_setaffinity(0, {load_core})
    scratch = TARGET / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    texts, cells = [], {}
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch) as root:
        upstream = proxies.Upstream(LOAD, load_core)
        try:
            load = Load(LOAD, load_core, root)
            for part in chosen:
                text, figures = PARTS[part](root, upstream, proxy_core, load)
                texts.append(text)
                cells |= figures
        finally:
            upstream.stop()
    text = "\n".join(texts)
    (scratch / "report.md").write_text(text)
    (scratch / "cells.json").write_text(json.dumps(cells))
    print(text)


if __name__ == "__main__":
    main()
