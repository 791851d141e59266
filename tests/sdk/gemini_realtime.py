"""Gemini's Live API through google-genai, its official Python SDK, which takes it over TLS only."""

import asyncio
import base64
import wave

from google import genai
from google.genai import types

from report import BASE_URL, KEY, RECORDING, run

MODEL = "gemini-3.8-live"
WORDS = "One two three four five."

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=BASE_URL))
config = types.LiveConnectConfig(
    response_modalities=["AUDIO"],
    input_audio_transcription=types.AudioTranscriptionConfig(),
    output_audio_transcription=types.AudioTranscriptionConfig(),
    speech_config=types.SpeechConfig(
        voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
    ),
)


async def turn(session):
    """What one turn of the model's gave."""
    sound, heard, said, tokens = b"", "", "", None
    async for message in session.receive():
        content = message.server_content
        if message.usage_metadata:
            tokens = message.usage_metadata.total_token_count
        if not content:
            continue
        if content.model_turn:
            sound += b"".join(part.inline_data.data for part in content.model_turn.parts if part.inline_data)
        if content.input_transcription:
            heard += content.input_transcription.text or ""
        if content.output_transcription:
            said += content.output_transcription.text or ""
    return {"audio": base64.b64encode(sound).decode(), "heard": heard, "said": said, "tokens": tokens}


async def converse(model, send):
    async with client.aio.live.connect(model=model, config=config) as session:
        await send(session)
        return await asyncio.wait_for(turn(session), 30)


async def text(session):
    content = types.Content(role="user", parts=[types.Part(text=WORDS)])
    await session.send_client_content(turns=content, turn_complete=True)


async def sound(session):
    with wave.open(RECORDING) as recording:
        while block := recording.readframes(4_000):
            await session.send_realtime_input(audio=types.Blob(data=block, mime_type="audio/pcm;rate=16000"))
            await asyncio.sleep(0.01)
    await session.send_realtime_input(audio_stream_end=True)


def describe(error):
    response = getattr(error, "response", None)
    if response is not None and hasattr(response, "status_code"):
        return {"status": response.status_code, "body": bytes(response.body or b"").decode()}
    return {"status": getattr(error, "code", None), "body": str(error)}


run(
    {
        "text": lambda: asyncio.run(converse(MODEL, text)),
        "sound": lambda: asyncio.run(converse(MODEL, sound)),
        "chat_model": lambda: asyncio.run(converse("gemini-3.8-flash", text)),
    },
    describe,
)
