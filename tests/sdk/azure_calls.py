"""Azure: fast transcription through its official Python SDK, the rest as its REST pages show it, by a plain client."""

import httpx
from azure.ai.transcription import TranscriptionClient
from azure.ai.transcription.models import TranscriptionContent, TranscriptionOptions
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

from report import BASE_URL, KEY, RECORDING, audio, run

# The SDK takes one endpoint; the REST pages name a host for each purpose. Both are given, separated by a comma,
# when the provider itself is called: api, tts, stt.
API, TTS, STT = (BASE_URL.split(",") * 3)[:3]
SSML = (
    "<speak version='1.0' xml:lang='en-US'><voice xml:lang='en-US' name='en-US-JennyNeural'>"
    "Tea &amp; biscuits, 你好.</voice></speak>"
)

key = {"Ocp-Apim-Subscription-Key": KEY}
rest = httpx.Client(headers=key, timeout=30)
client = TranscriptionClient(endpoint=API, credential=AzureKeyCredential(KEY))


def speech():
    headers = {
        "Content-Type": "application/ssml+xml",
        "X-Microsoft-OutputFormat": "audio-24khz-96kbitrate-mono-mp3",
        "User-Agent": "voxgate-tests",
    }
    with rest.stream("POST", f"{TTS}/cognitiveservices/v1", headers=headers, content=SSML.encode()) as answer:
        if answer.is_error:
            answer.read()
        answer.raise_for_status()
        return audio(answer.iter_bytes())


def transcript():
    with open(RECORDING, "rb") as recording:
        content = TranscriptionContent(definition=TranscriptionOptions(locales=["en-US"]), audio=recording)
        answer = client.transcribe(content)
    return {"text": answer.combined_phrases[0].text, "milliseconds": answer.duration_milliseconds}


def short_audio():
    with open(RECORDING, "rb") as recording:
        answer = rest.post(
            f"{STT}/speech/recognition/conversation/cognitiveservices/v1",
            params={"language": "en-US", "format": "detailed"},
            headers={"Content-Type": "audio/wav; codecs=audio/pcm; samplerate=16000"},
            content=recording.read(),
        )
    answer.raise_for_status()
    return answer.json()["NBest"][0]["Display"]


def voices():
    answer = rest.get(f"{TTS}/cognitiveservices/voices/list")
    answer.raise_for_status()
    return [voice["ShortName"] for voice in answer.json()]


def describe(error):
    if isinstance(error, HttpResponseError):
        return {"status": error.status_code, "code": error.error and error.error.code, "body": error.message}
    if isinstance(error, httpx.HTTPStatusError):
        return {"status": error.response.status_code, "body": error.response.text}
    return {"body": str(error)}


run({"tts": speech, "stt": transcript, "stt_short": short_audio, "voices": voices}, describe)
