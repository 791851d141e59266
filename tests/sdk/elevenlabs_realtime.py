"""ElevenLabs' WebSockets through its official Python SDK. It speaks over TLS only, whatever the base URL says."""

import asyncio
import base64
import wave

from elevenlabs import AudioFormat, CommitStrategy, RealtimeEvents
from elevenlabs.client import AsyncElevenLabs, ElevenLabs

from report import BASE_URL, KEY, RECORDING, run

VOICE = "21m00Tcm4TlvDq8ikWAM"
WORDS = ["One two ", "three four ", "five."]
FAILURES = (
    RealtimeEvents.AUTH_ERROR,
    RealtimeEvents.QUOTA_EXCEEDED,
    RealtimeEvents.RATE_LIMITED,
    RealtimeEvents.INPUT_ERROR,
)


class Ended(Exception):
    """The socket ended before the transcript was there; the SDK tells so by events."""

    def __init__(self, close, failure):
        super().__init__(f"{close} {failure}")
        self.status_code = close["code"]
        self.body = {"reason": close["reason"], "message": failure}


def speak():
    client = ElevenLabs(base_url=BASE_URL, api_key=KEY)
    pieces = client.text_to_speech.convert_realtime(
        VOICE, text=iter(WORDS), model_id="eleven_flash_v2_5", output_format="mp3_44100_128"
    )
    pieces = list(pieces)
    return {"audio": base64.b64encode(b"".join(pieces)).decode(), "pieces": len(pieces)}


def speech():
    try:
        return speak()
    except TimeoutError:
        # The websockets package reads and writes one TLS connection in two threads. About once in a thousand times the
        # handshake then hangs in the client, whoever serves, and the server never sees the request.
        return speak()


def blocks():
    with wave.open(RECORDING) as recording:
        assert recording.getframerate() == 16_000 and recording.getnchannels() == 1
        while block := recording.readframes(4_000):
            yield base64.b64encode(block).decode()


async def transcribe(strategy):
    client = AsyncElevenLabs(base_url=BASE_URL, api_key=KEY)
    connection = await client.speech_to_text.realtime.connect(
        {
            "model_id": "scribe_v2_realtime",
            "audio_format": AudioFormat.PCM_16000,
            "sample_rate": 16_000,
            "commit_strategy": strategy,
            "include_timestamps": True,
        }
    )
    committed, partials, failures = asyncio.get_running_loop().create_future(), [], []

    def closed(close):
        if not committed.done():
            committed.set_exception(Ended(close, failures[-1] if failures else None))

    def done(message):
        if not committed.done():
            committed.set_result(message)

    connection.on(RealtimeEvents.PARTIAL_TRANSCRIPT, lambda message: partials.append(message["text"]))
    connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT_WITH_TIMESTAMPS, done)
    connection.on(RealtimeEvents.CLOSE, closed)
    for event in FAILURES:
        connection.on(event, failures.append)
    try:
        for block in blocks():
            await connection.send({"audio_base_64": block})
            await asyncio.sleep(0.01)
        if strategy == CommitStrategy.MANUAL:
            await connection.commit()
        else:
            await connection.send({"audio_base_64": base64.b64encode(bytes(32_000)).decode()})
    except Exception:
        # The other side has closed; how, the event says.
        pass
    message = await asyncio.wait_for(committed, 30)
    await connection.close()
    return {"text": message["text"], "words": len(message["words"]), "partials": len(partials)}


calls = {
    "transcript": lambda: asyncio.run(transcribe(CommitStrategy.MANUAL)),
    "transcript_by_pauses": lambda: asyncio.run(transcribe(CommitStrategy.VAD)),
}
if BASE_URL.startswith("https://"):
    calls["speech"] = speech


def describe(error):
    response = getattr(error, "response", None)
    if response is not None:
        return {"status": response.status_code, "body": bytes(response.body or b"").decode()}
    return {"status": getattr(error, "status_code", None), "body": getattr(error, "body", str(error))}


run(calls, describe)
