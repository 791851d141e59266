"""CPU time and memory of a process, from outside."""

import time
from pathlib import Path

_QUIET = 0.003


class Gauge:
    def __init__(self, pid):
        self._status_file = Path("/proc", str(pid), "status")
        # How Linux names the CPU clock of another process; see clock_getcpuclockid(3). It counts what
        # /proc/PID/stat counts, threads that have ended included, but not in steps of 10 ms.
        self._clock = (~pid << 3) | 2

    def cpu_seconds(self):
        """User and system time of all its threads so far."""
        return time.clock_gettime(self._clock)

    def cpu_seconds_once_quiet(self):
        """The same when next to nothing has run for 150 ms, so that work put off until after a call counts."""
        deadline = time.monotonic() + 3
        used = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.15)
            before, used = used, self.cpu_seconds()
            if used - before <= _QUIET:
                break
        return used

    def resident_mib(self):
        for line in self._status_file.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"no VmRSS in {self._status_file}")
