"""Runs of the load generator, and what they cost the proxy that they go through."""

import json
import subprocess

import callers


class Load:
    """The load generator on its core. A way is a proxy, or the upstream itself."""

    def __init__(self, binary, core, directory):
        self.core = core
        self._command = ["taskset", "-c", str(core), str(binary), "load"]
        self._directory = directory
        self._requests = {}

    def start(self, way, workload, *limit):
        """A run under way, its report on standard output."""
        asked = (workload.name, way.direct)
        if asked not in self._requests:
            self._requests[asked] = callers.write_requests(self._directory, workload, way.direct)
        command = [*self._command, f"address=127.0.0.1:{way.port}", *self._requests[asked], *limit]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self, way, workload, run):
        """What the callers saw, once the run is over."""
        out, err = run.communicate(timeout=180)
        if run.returncode != 0:
            words = "" if way.direct else way.last_words()
            raise RuntimeError(f"{workload.name} through {way.name}: {err.strip()}\n{words}")
        result = json.loads(out)
        way.calls += result["calls"]
        return result

    def run(self, way, workload, *limit):
        return self.result(way, workload, self.start(way, workload, *limit))

    def measure(self, way, workload, seconds):
        """What the callers saw, and what it cost the proxy."""
        limit = f"seconds={seconds}"
        if way.direct:
            return self.run(way, workload, limit)
        before = way.gauge.cpu_seconds_once_quiet()
        result = self.run(way, workload, limit)
        spent = way.gauge.cpu_seconds_once_quiet() - before
        return result | {"cpu_per_1000": spent / result["calls"] * 1000}


def check_log(proxy):
    """There is a line of JSON for every call."""
    logged = proxy.logged()
    if logged < proxy.calls:
        raise RuntimeError(f"{proxy.name} logged {logged} of {proxy.calls} calls")
