"""Gemini through google-genai, its official Python SDK."""

from google import genai
from google.genai import types

from report import BASE_URL, KEY, RECORDING, audio, run

TTS = "gemini-3.8-flash-tts"
STT = "gemini-3.5-transcribe"
TEXT = "Grüße aus dem Rechenzentrum, 你好."

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=BASE_URL))
voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Puck"))
spoken = types.GenerateContentConfig(
    response_modalities=["AUDIO"], speech_config=types.SpeechConfig(voice_config=voice)
)


def sound(answer):
    return answer.candidates[0].content.parts[0].inline_data.data


def speech():
    answer = client.models.generate_content(model=TTS, contents=TEXT, config=spoken)
    return {**audio([sound(answer)]), "tokens": answer.usage_metadata.total_token_count}


def streamed_speech():
    stream = client.models.generate_content_stream(model=TTS, contents=TEXT, config=spoken)
    return audio(sound(answer) for answer in stream)


def transcript():
    with open(RECORDING, "rb") as recording:
        part = types.Part.from_bytes(data=recording.read(), mime_type="audio/wav")
    answer = client.models.generate_content(model=STT, contents=[part])
    return {"text": answer.text}


def models():
    return sorted(model.name for model in client.models.list())


run(
    {"tts": speech, "tts_stream": streamed_speech, "stt": transcript, "models": models},
    lambda error: {
        "status": getattr(error, "code", None),
        "code": getattr(error, "status", None),
        "body": getattr(error, "details", str(error)),
    },
)
