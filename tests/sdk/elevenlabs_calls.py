"""ElevenLabs through its official Python SDK."""

import asyncio

from elevenlabs.client import AsyncElevenLabs, ElevenLabs

from report import BASE_URL, KEY, RECORDING, audio, run

VOICE = "21m00Tcm4TlvDq8ikWAM"
TEXT = "Grüße aus dem Rechenzentrum, 你好."

client = ElevenLabs(base_url=BASE_URL, api_key=KEY)


def speech():
    return audio(client.text_to_speech.convert(VOICE, text=TEXT, model_id="eleven_multilingual_v2"))


def streamed_speech():
    return audio(
        client.text_to_speech.stream(VOICE, text=TEXT, model_id="eleven_flash_v2_5", output_format="pcm_24000")
    )


def timed_speech():
    answer = client.text_to_speech.convert_with_timestamps(VOICE, text=TEXT)
    return {"audio": answer.audio_base_64, "characters": answer.alignment.characters}


def awaited_speech():
    async def pieces():
        client = AsyncElevenLabs(base_url=BASE_URL, api_key=KEY)
        return [piece async for piece in client.text_to_speech.convert(VOICE, text=TEXT)]

    return audio(asyncio.run(pieces()))


def transcript():
    with open(RECORDING, "rb") as recording:
        answer = client.speech_to_text.convert(model_id="scribe_v2", file=recording)
    return {"text": answer.text, "language": answer.language_code, "words": len(answer.words)}


def voices():
    return [voice.voice_id for voice in client.voices.search().voices]


def models():
    return [model.model_id for model in client.models.list()]


def quota():
    return client.user.subscription.get().character_limit


run(
    {
        "tts": speech,
        "tts_stream": streamed_speech,
        "tts_timed": timed_speech,
        "tts_async": awaited_speech,
        "stt": transcript,
        "voices": voices,
        "models": models,
        "quota": quota,
    },
    lambda error: {"status": getattr(error, "status_code", None), "body": getattr(error, "body", str(error))},
)
