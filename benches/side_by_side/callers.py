"""The thousand callers: their tokens, their keys, and the requests that the load generator sends for them."""

import base64
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

ISSUER = "https://id.bench.test"
AUDIENCE = "voxgate"
SECRET = "bench-secret-of-forty-eight-characters-0123456789"

USERS = [f"user-{number:04}" for number in range(1000)]
STATIC_KEY = "key-static"


def key_of(user):
    """The key that this user has stored; it differs from user to user."""
    return "key-" + hashlib.sha256(user.encode()).hexdigest()[:28]


def token_of(user, secret=SECRET, lifetime=86_400):
    """A JWT as the host application's sign-in would issue it."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": int(time.time()) + lifetime}
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(mac)}"


def _part(value):
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


SPEECH = json.dumps({
    "text": "The gateway reads this sentence aloud, as it would for anyone who brought a key of their own, "
            "and notes how many characters it had.",
    "model_id": "eleven_flash_v2_5",
    "voice_settings": {"stability": 0.5, "similarity_boost": 0.75, "speed": 1.0},
}).encode()

_BOUNDARY = "bench-boundary"


def _upload(size):
    """A multipart form with a WAV file, as the provider's SDK sends it, of exactly `size` bytes."""
    def field(disposition, content):
        return (f"--{_BOUNDARY}\r\ncontent-disposition: form-data; {disposition}\r\n\r\n").encode() + content + b"\r\n"

    model = field('name="model_id"', b"scribe_v2")
    end = f"--{_BOUNDARY}--\r\n".encode()
    samples = size - len(model) - len(end) - len(field('name="file"; filename="a.wav"', _wav(0)))
    form = model + field('name="file"; filename="a.wav"', _wav(samples)) + end
    assert len(form) == size
    return form


def _wav(samples):
    """16 kHz, mono, 16 bit; `samples` is in bytes."""
    riff = b"RIFF" + (36 + samples).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    form = b"\x01\0\x01\0" + (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little") + b"\x02\0\x10\0"
    return riff + form + b"data" + samples.to_bytes(4, "little") + bytes(samples)


UNIFIED = ""
"""In the place of a provider: the caller speaks to `/v1`."""

KEY_HEADERS = {"elevenlabs": "xi-api-key", "gemini": "x-goog-api-key"}


@dataclass(frozen=True)
class Workload:
    name: str
    path: str
    """As the provider has it."""
    body: bytes
    content_type: str
    load: tuple = ()
    """Further arguments of the load generator."""
    provider: str = "elevenlabs"


def _speech(name, path, *load):
    return Workload(name, path, SPEECH, "application/json", load)


WORKLOADS = [
    _speech("1 KiB JSON", "/v1/text-to-speech/voice/with-timestamps"),
    _speech("1 KiB JSON, one caller at a time", "/v1/text-to-speech/voice/with-timestamps", "connections=1"),
    _speech("32 KiB audio", "/v1/text-to-speech/voice?output_format=mp3_44100_128"),
    Workload("256 KiB upload", "/v1/speech-to-text", _upload(256 * 1024),
             f"multipart/form-data; boundary={_BOUNDARY}"),
    _speech("bursts of 32", "/v1/text-to-speech/voice/with-timestamps", "every_ms=25"),
    _speech("20 chunks, 20 ms apart", "/v1/text-to-speech/voice/stream", "stagger_ms=12", "piece=640"),
]


def write_requests(directory, workload, direct):
    """Writes heads and body for the load generator; returns the arguments that name them."""
    stem = "-".join(re.findall(r"\w+", f"{workload.name} {'direct' if direct else 'proxied'}"))
    heads, body = Path(directory, stem + ".heads"), Path(directory, stem + ".body")
    heads.write_text("".join(_head(workload, user, direct) for user in USERS), newline="")
    body.write_bytes(workload.body)
    return [f"heads={heads}", f"body={body}", *workload.load]


def _head(workload, user, direct):
    prefix = "" if direct or workload.provider == UNIFIED else f"/{workload.provider}"
    proof = f"authorization: Bearer {token_of(user)}"
    if direct:
        proof = f"{KEY_HEADERS[workload.provider]}: {key_of(user)}"
    fields = [
        f"POST {prefix}{workload.path} HTTP/1.1",
        "host: gateway.bench.test",
        "user-agent: side-by-side",
        "accept: */*",
        proof,
        f"content-type: {workload.content_type}",
        f"content-length: {len(workload.body)}",
    ]
    return "\r\n".join(fields) + "\r\n\r\n"
