"""Voxgate's `/v1` through OpenAI's official Python SDK.

Arguments beside the usual: the model to speak with, its voice, the model to transcribe with, and, if not all calls are
to be made, the names of those that are, separated by commas.
"""

import base64
import json
import sys

from openai import APIStatusError, OpenAI

from report import BASE_URL, KEY, RECORDING, audio, run

SPEAKS_WITH, VOICE, LISTENS_WITH, *ONLY = sys.argv[4:8]
TEXT = "One two three four five."

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=60)


def speech(response_format):
    def call():
        answer = client.audio.speech.create(
            model=SPEAKS_WITH, voice=VOICE, input=TEXT, response_format=response_format
        )
        return {
            "audio": base64.b64encode(answer.content).decode(),
            "content_type": answer.response.headers["content-type"],
            "provider": answer.response.headers.get("x-voxgate-provider"),
        }

    return call


def streamed_speech():
    create = client.audio.speech.with_streaming_response.create
    with create(model=SPEAKS_WITH, voice=VOICE, input=TEXT, response_format="pcm") as answer:
        return audio(answer.iter_bytes())


def speech_events():
    create = client.audio.speech.with_streaming_response.create
    request = {"model": SPEAKS_WITH, "voice": VOICE, "input": TEXT, "response_format": "pcm", "stream_format": "sse"}
    with create(**request) as answer:
        lines = [line[len("data:") :].strip() for line in answer.iter_lines() if line.startswith("data:")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    deltas = [event["audio"] for event in events if event["type"] == "speech.audio.delta"]
    sound = b"".join(base64.b64decode(delta) for delta in deltas)
    return {"audio": base64.b64encode(sound).decode(), "deltas": len(deltas), "last": events[-1]}


def transcript(response_format, **more):
    def call():
        with open(RECORDING, "rb") as recording:
            answer = client.audio.transcriptions.create(
                model=LISTENS_WITH, file=recording, response_format=response_format, **more
            )
        return answer if isinstance(answer, str) else answer.model_dump(mode="json", exclude_unset=True)

    return call


def streamed_transcript():
    with open(RECORDING, "rb") as recording:
        stream = client.audio.transcriptions.create(model=LISTENS_WITH, file=recording, stream=True)
        return [event.model_dump(mode="json", exclude_unset=True) for event in stream]


def translation():
    with open(RECORDING, "rb") as recording:
        return client.audio.translations.create(model=LISTENS_WITH, file=recording).text


def models():
    return [model.id for model in client.models.list()]


def model():
    return client.models.retrieve(SPEAKS_WITH).model_dump(mode="json", exclude_unset=True)


def unknown_provider():
    return client.audio.speech.create(model="nobody/nothing", voice="default", input=TEXT).content


def describe(error):
    if isinstance(error, APIStatusError):
        return {"status": error.status_code, "code": error.code, "body": error.body}
    return {"status": None, "code": None, "body": str(error)}


CALLS = {
    "speech_mp3": speech("mp3"),
    "speech_opus": speech("opus"),
    "speech_flac": speech("flac"),
    "speech_wav": speech("wav"),
    "speech_pcm": speech("pcm"),
    "speech_aac": speech("aac"),
    "speech_stream": streamed_speech,
    "speech_events": speech_events,
    "transcript_json": transcript("json"),
    "transcript_text": transcript("text"),
    "transcript_srt": transcript("srt"),
    "transcript_vtt": transcript("vtt"),
    "transcript_verbose_json": transcript("verbose_json"),
    "transcript_diarized_json": transcript("diarized_json"),
    "transcript_words": transcript("verbose_json", timestamp_granularities=["word", "segment"]),
    "transcript_language": transcript("json", language="en"),
    "transcript_stream": streamed_transcript,
    "translation": translation,
    "models": models,
    "model": model,
    "unknown_provider": unknown_provider,
}

names = ONLY[0].split(",") if ONLY else CALLS
run({name: CALLS[name] for name in names}, describe)
