"""WebSockets: what each message takes longer, what an open connection holds, and two thousand of them at work.

The echo and its callers are the same for every way; a message comes back byte for byte or the run ends.
"""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import callers
from proxies import OverTls, Proxy, Voxgate

SIZES = (64, 4096)
MANY = 2000
EVERY_MS = 100
SETTLES = 10
"""Seconds after which memory is held to be what it stays."""

_KEY = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
_SCRUBBED = "/v1/text-to-speech/voice/stream-input?model_id=eleven_flash_v2_5"
_UNREAD = "/v1/listen"


@dataclass(frozen=True)
class Way:
    name: str
    proxy: object
    path: str
    """As the caller asks for it."""


def ways(upstream, nginx, voxgate):
    return [
        Way("direct", upstream, _SCRUBBED),
        Way("nginx, bare", nginx, f"/elevenlabs{_SCRUBBED}"),
        Way("voxgate, unread", voxgate, f"/deepgram{_UNREAD}"),
        Way("voxgate, read and scrubbed", voxgate, f"/elevenlabs{_SCRUBBED}"),
    ]


class Sockets:
    def __init__(self, binary, load_binary, root, upstream, core, load_core):
        self._binary, self._root, self._upstream, self._core = binary, root, upstream, core
        self._load_core = load_core
        self._command = ["taskset", "-c", str(load_core), str(load_binary), "sockets"]

    def latency(self, rounds, seconds):
        """`{size: {way: [result per round]}}`; each round begins with another way."""
        nginx = Proxy("nginx sockets", ["nginx-sockets.conf"], ["nginx", "-c"], self._root, False)
        voxgate = Voxgate(self._binary, self._root, "voxgate sockets", ["elevenlabs", "deepgram"])
        cells = {}
        try:
            nginx.start(self._upstream, self._core)
            voxgate.start(self._upstream, self._core)
            all_ways = ways(self._upstream, nginx, voxgate)
            for number in range(rounds):
                turn = number % len(all_ways)
                for size in SIZES:
                    cell = cells.setdefault(size, {way.name: [] for way in all_ways})
                    for way in all_ways[turn:] + all_ways[:turn]:
                        cell[way.name].append(self._run(way, f"seconds={seconds}", f"size={size}"))
        finally:
            nginx.stop()
            voxgate.stop()
        return cells

    def memory(self):
        """`{way: readings in MiB}` before and while many connections are open and idle."""
        tls = OverTls(self._root)
        tls.start(self._upstream, self._load_core)
        nginx = Proxy("nginx idle", ["nginx-sockets.conf"], ["nginx", "-c"], self._root, False)
        plain = Voxgate(self._binary, self._root, "voxgate idle")
        over_tls = Voxgate(self._binary, self._root, "voxgate idle TLS", config="voxgate-tls.toml")
        readings = {}
        try:
            for name, proxy, upstream in [("nginx, bare", nginx, self._upstream), ("voxgate", plain, self._upstream),
                                          ("voxgate, TLS to the provider", over_tls, tls)]:
                try:
                    proxy.start(upstream, self._core)
                    readings[name] = self._memory_of(Way(name, proxy, f"/elevenlabs{_SCRUBBED}"))
                finally:
                    proxy.stop()
        finally:
            tls.stop()
        return readings

    def _memory_of(self, way):
        if isinstance(way.proxy, Voxgate):
            self._know_everyone(way)
        way.proxy.gauge.cpu_seconds_once_quiet()
        before = way.proxy.gauge.resident_mib()
        run = self._start(way, f"connections={MANY}", "idle=true", "seconds=8")
        self._wait_until_open(way, run)
        time.sleep(3)
        way.proxy.gauge.cpu_seconds_once_quiet()
        opened = way.proxy.gauge.resident_mib()
        self._result(way, run)
        return {"before": before, "open": opened}

    def _know_everyone(self, way):
        """What is kept of a user who has called is not a connection's. One connection at a time leaves nothing else."""
        heads = self._heads(way)
        each = Path(self._root, "one.head")
        for head in heads.read_text().split("\r\n\r\n")[:-1]:
            each.write_text(head + "\r\n\r\n", newline="")
            command = [*self._command, f"address=127.0.0.1:{way.proxy.port}", f"heads={each}", "seconds=0", "idle=true"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def crowd(self, seconds):
        """Many connections with a message each, ten times a second: what came back, memory by the second, CPU."""
        results = {}
        for name, path in [("voxgate, unread", f"/deepgram{_UNREAD}"),
                           ("voxgate, read and scrubbed", f"/elevenlabs{_SCRUBBED}")]:
            proxy = Voxgate(self._binary, self._root, f"{name} crowd", ["elevenlabs", "deepgram"])
            try:
                proxy.start(self._upstream, self._core)
                results[name] = self._crowd_through(Way(name, proxy, path), seconds)
            finally:
                proxy.stop()
        return results

    def _crowd_through(self, way, seconds):
        run = self._start(way, f"connections={MANY}", f"every_ms={EVERY_MS}", f"seconds={seconds}")
        self._wait_until_open(way, run)
        began, before, memory = time.monotonic(), way.proxy.gauge.cpu_seconds(), []
        while time.monotonic() - began < seconds - 1:
            time.sleep(1)
            memory.append(way.proxy.gauge.resident_mib())
        spent = (way.proxy.gauge.cpu_seconds() - before) / (time.monotonic() - began)
        return self._result(way, run) | {"cores": spent, "memory": memory}

    def _heads(self, way):
        """A file with the request of each user."""
        file = Path(self._root, f"{way.name.replace(' ', '-').replace(',', '')}.sockets")
        direct = getattr(way.proxy, "direct", False)
        heads = []
        for user in callers.USERS:
            proof = f"xi-api-key: {callers.key_of(user)}" if direct else f"authorization: Bearer {callers.token_of(user)}"
            heads.append("\r\n".join([f"GET {way.path} HTTP/1.1", "host: gateway.bench.test", "connection: upgrade",
                                      "upgrade: websocket", "sec-websocket-version: 13", _KEY, proof]) + "\r\n\r\n")
        file.write_text("".join(heads), newline="")
        return file

    def _start(self, way, *arguments):
        command = [*self._command, f"address=127.0.0.1:{way.proxy.port}", f"heads={self._heads(way)}", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _wait_until_open(self, way, run):
        if run.stdout.readline() != "open\n":
            self._result(way, run)

    def _result(self, way, run):
        out, err = run.communicate(timeout=300)
        if run.returncode != 0:
            words = "" if getattr(way.proxy, "direct", False) else way.proxy.last_words()
            raise RuntimeError(f"WebSockets through {way.name}: {err.strip()}\n{words}")
        return json.loads(out.splitlines()[-1])

    def _run(self, way, *arguments):
        return self._result(way, self._start(way, *arguments))
