"""What `/v1` costs beside the native call of the same work: the provider is sent the same request and gives the same answer.

Memory is measured with many streams that the provider holds open, in a fresh process for each kind.
"""

import http.client
import json
import time
from dataclasses import dataclass
from statistics import median

import callers
from callers import UNIFIED, Workload
from measuring import check_log
from proxies import Voxgate

NATIVE = "native"
STREAMS = 500
_ALL_OPEN = 3
"""Seconds after which the last stream of a run is open."""

_TEXT = json.loads(callers.SPEECH)["text"]


@dataclass(frozen=True)
class Comparison:
    name: str
    native: Workload
    unified: dict
    """`{way: workload}`"""


def _elevenlabs(name, voice, *load):
    path = f"/v1/text-to-speech/{voice}/stream?output_format=mp3_44100_128"
    body = json.dumps({"text": _TEXT, "model_id": "eleven_flash_v2_5"}).encode()
    return Workload(f"{name}, native", path, body, "application/json", load)


def _gemini(name, model, *load):
    config = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
    body = json.dumps({
        "contents": [{"role": "user", "parts": [{"text": _TEXT}]}],
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": config},
    }).encode()
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    return Workload(f"{name}, native", path, body, "application/json", load, "gemini")


def _unified(name, model, voice, form, *load):
    body = {"model": model, "voice": voice, "input": _TEXT, "response_format": form}
    path = "/v1/audio/speech"
    return Workload(f"{name}, {form}", path, json.dumps(body).encode(), "application/json", load, UNIFIED)


def _mp3(name, pace, *load):
    mp3 = _unified(name, "elevenlabs/eleven_flash_v2_5", pace, "mp3", *load)
    return Comparison(name, _elevenlabs(name, pace, *load), {"/v1, mp3": mp3})


def _samples(name, pace, *load):
    ways = {f"/v1, {form}": _unified(name, f"gemini/{pace}-tts", "Kore", form, *load) for form in ("pcm", "wav")}
    return Comparison(name, _gemini(name, f"{pace}-tts", *load), ways)


COMPARISONS = [
    _mp3("mp3 passed through", "at-once"),
    _mp3("mp3 passed through, one caller at a time", "at-once", "connections=1"),
    _mp3("mp3 passed through, 20 chunks", "paced", "stagger_ms=12", "piece=640"),
    _samples("samples out of events", "at-once"),
    _samples("samples out of events, one caller at a time", "at-once", "connections=1"),
    _samples("samples out of events, 20 chunks", "paced", "stagger_ms=12"),
]

UNQUEUED = [each.name for each in COMPARISONS[1:3] + COMPARISONS[4:6]]
"""Where the first byte is not one that waited behind other calls."""

_HELD = ["stagger_ms=4", f"connections={STREAMS}"]
HELD = {
    "native, mp3": _elevenlabs("held mp3", "held", *_HELD),
    "native, events": _gemini("held events", "held-tts", *_HELD),
    "/v1, mp3 passed through": _unified("held elevenlabs", "elevenlabs/eleven_flash_v2_5", "held", "mp3", *_HELD),
    "/v1, pcm out of events": _unified("held gemini", "gemini/held-tts", "Kore", "pcm", *_HELD),
    "/v1, pcm out of long events": _unified("held-long gemini", "gemini/held-long-tts", "Kore", "pcm", *_HELD),
    "/v1, mp3 made here": _unified("held gemini", "gemini/held-tts", "Kore", "mp3", *_HELD),
    "/v1, mp3 made of long events": _unified("held-long gemini", "gemini/held-long-tts", "Kore", "mp3", *_HELD),
    "/v1, opus made here": _unified("held gemini", "gemini/held-tts", "Kore", "opus", *_HELD),
}


class Unified:
    def __init__(self, binary, root, upstream, core, load):
        self._binary, self._root, self._upstream, self._core, self._load = binary, root, upstream, core, load

    def _gateway(self, name):
        gateway = Voxgate(self._binary, self._root, name, ["elevenlabs", "gemini"])
        try:
            gateway.start(self._upstream, self._core)
            gateway.prove()
        except BaseException:
            gateway.stop()
            raise
        return gateway

    def rounds(self, rounds, seconds):
        """`{comparison: {way: [result per round]}}`; each round begins with another way."""
        gateway = self._gateway("voxgate, unified")
        try:
            prove(gateway)
            return self._rounds(gateway, rounds, seconds)
        finally:
            gateway.stop()
            check_log(gateway)

    def _rounds(self, gateway, rounds, seconds):
        cells = {}
        for number in range(rounds):
            for comparison in COMPARISONS:
                ways = [(self._upstream.name, self._upstream, comparison.native), (NATIVE, gateway, comparison.native)]
                ways += [(name, gateway, workload) for name, workload in comparison.unified.items()]
                cell = cells.setdefault(comparison.name, {name: [] for name, _, _ in ways})
                turn = number % len(ways)
                for name, way, workload in ways[turn:] + ways[:turn]:
                    cell[name].append(self._load.measure(way, workload, seconds))
        return cells

    def memory(self):
        """`{kind of stream: readings in MiB}`"""
        return {kind: self._memory_of(kind, workload) for kind, workload in HELD.items()}

    def _memory_of(self, kind, workload):
        gateway = self._gateway(f"voxgate with {kind.replace('/', '')}")
        try:
            self._fill_caches(gateway)
            idle = gateway.gauge.resident_mib()
            run = self._load.start(gateway, workload, f"calls={STREAMS}")
            began, readings = time.monotonic(), []
            while run.poll() is None:
                readings.append((time.monotonic() - began, gateway.gauge.resident_mib()))
                time.sleep(0.1)
            self._load.result(gateway, workload, run)
            steady = median(mib for at, mib in readings if at >= _ALL_OPEN)
            return {"idle": idle, "steady": steady, "peak": max(mib for _, mib in readings)}
        finally:
            gateway.stop()

    def _fill_caches(self, gateway):
        """Every user calls both providers once, one at a time: what is kept per user is not a stream's."""
        for comparison in COMPARISONS:
            if comparison.native.load == ("connections=1",):
                for workload in (comparison.native, *comparison.unified.values()):
                    self._load.run(gateway, workload, f"calls={len(callers.USERS)}")
        gateway.gauge.cpu_seconds_once_quiet()


def prove(gateway):
    """Each translated call once: it has all of the audio."""
    for comparison in COMPARISONS:
        for workload in comparison.unified.values():
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
            headers = {"authorization": f"Bearer {callers.token_of(callers.USERS[0])}",
                       "content-type": workload.content_type}
            connection.request("POST", workload.path, body=workload.body, headers=headers)
            answer = connection.getresponse()
            audio = answer.read()
            connection.close()
            gateway.calls += 1
            expected = _audio_bytes(workload)
            if answer.status != 200 or len(audio) != expected:
                raise RuntimeError(f"{workload.name}: {answer.status} with {len(audio)} bytes, {expected} expected")


def _audio_bytes(workload):
    """How much audio the upstream's patterns hold."""
    at_once, paced = b"at-once" in workload.body, {"mp3": 640, "pcm": 960, "wav": 960}
    form = json.loads(workload.body)["response_format"]
    return (8 * 4096 if at_once else 20 * paced[form]) + (44 if form == "wav" else 0)
