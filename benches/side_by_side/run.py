#!/usr/bin/env python3
"""Voxgate beside nginx and HAProxy: starts them all, measures them in turns, writes the report.

In each round every proxy gets each workload once, so whatever else disturbs the machine disturbs all
of them alike. The proxies have one core; the upstream and the load share another.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import callers
import proxies
import report

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
QUICK = os.environ.get("BENCH_QUICK") == "1"
ROUNDS, SECONDS = (3, 0.7) if QUICK else (8, 1.5)
STEADY_CALLS = 100_000


class Bench:
    def __init__(self, root, proxy_core, load_core):
        self.proxy_core = proxy_core
        self.load_core = load_core
        self.load_binary = TARGET / "release" / "side_by_side"
        self.upstream = proxies.Upstream(self.load_binary, load_core)
        self.proxies = proxies.compared(TARGET / "release" / "voxgate", root)
        self.requests = {
            (workload.name, direct): callers.write_requests(root, workload, direct)
            for workload in callers.WORKLOADS for direct in (False, True)
        }
        self.calls = {proxy.name: 0 for proxy in self.proxies}

    def start(self):
        for proxy in self.proxies:
            proxy.start(self.upstream, self.proxy_core)
            proxy.prove()

    def load(self, way, workload, limit):
        """One run of the load generator, through a proxy or straight to the upstream."""
        arguments = [f"address=127.0.0.1:{way.port}", *self.requests[workload.name, way.direct], limit]
        command = ["taskset", "-c", str(self.load_core), str(self.load_binary), "load", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if ran.returncode != 0:
            words = "" if way.direct else way.last_words()
            raise RuntimeError(f"{workload.name} through {way.name}: {ran.stderr.strip()}\n{words}")
        result = json.loads(ran.stdout)
        if not way.direct:
            self.calls[way.name] += result["calls"]
        return result

    def measure(self, way, workload):
        """One cell of one round: what the callers saw, and what it cost the proxy."""
        if way.direct:
            return self.load(way, workload, f"seconds={SECONDS}")
        before = way.gauge.cpu_seconds_once_quiet()
        result = self.load(way, workload, f"seconds={SECONDS}")
        spent = way.gauge.cpu_seconds_once_quiet() - before
        return result | {"cpu_per_1000": spent / result["calls"] * 1000}

    def memory(self, proxy):
        """Resident memory of a fresh proxy, and after each of two equal loads by all users."""
        readings = [proxy.gauge.resident_mib()]
        for _ in range(2):
            self.load(proxy, callers.WORKLOADS[0], f"calls={STEADY_CALLS}")
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
                    cells[workload.name][way.name].append(self.measure(way, workload))
        return cells

    def check_logs(self):
        """Each proxy that must log has a line of JSON for every call."""
        for proxy in self.proxies:
            if proxy.checks_callers:
                logged = proxy.logged()
                if logged < self.calls[proxy.name]:
                    raise RuntimeError(f"{proxy.name} logged {logged} of {self.calls[proxy.name]} calls")

    def stop(self):
        for way in (self.upstream, *self.proxies):
            way.stop()


def main():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the proxy, one for the load")
    os.sched_setaffinity(0, {cores[-1]})
    scratch = TARGET / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch) as root:
        bench = Bench(root, cores[0], cores[-1])
        try:
            bench.start()
            memory = {proxy.name: bench.memory(proxy) for proxy in bench.proxies}
            cells = bench.rounds()
            end = {proxy.name: proxy.gauge.resident_mib() for proxy in bench.proxies}
            recorded = bench.proxies[0].recorded()
        finally:
            bench.stop()
        bench.check_logs()
    text = report.markdown(cells, memory, end, recorded, ROUNDS, SECONDS, STEADY_CALLS)
    (scratch / "report.md").write_text(text)
    (scratch / "cells.json").write_text(json.dumps(cells))
    print(text)


if __name__ == "__main__":
    main()
