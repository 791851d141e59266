"""Azure's Speech SDK for Python. It takes an endpoint exactly as given, so speech and recognition have one each, or a
host, which may have no path.

In place of a base URL: both endpoints, then both hosts, separated by commas.
"""

import base64
import threading

import azure.cognitiveservices.speech as speech

from report import BASE_URL, KEY, RECORDING, run

SPEAKS_AT, LISTENS_AT, SPEAKING_HOST, LISTENING_HOST = BASE_URL.split(",")
WORDS = "One two three four five."
VOICE = "en-US-JennyNeural"


class Canceled(Exception):
    """The SDK reports failures as results."""

    def __init__(self, details):
        code = getattr(details, "error_code", None) or details.code
        super().__init__(f"{code} {details.error_details}")
        self.code, self.details = code.name, details.error_details


def synthesizer(config):
    config.speech_synthesis_voice_name = VOICE
    config.set_speech_synthesis_output_format(speech.SpeechSynthesisOutputFormat.Audio24Khz96KBitRateMonoMp3)
    return speech.SpeechSynthesizer(speech_config=config, audio_config=None)


def audio(result, sound):
    if result.reason == speech.ResultReason.Canceled:
        raise Canceled(result.cancellation_details)
    return {"audio": base64.b64encode(sound).decode(), "reason": result.reason.name}


def speak(config):
    speaker = synthesizer(config)
    result = speaker.speak_text_async(WORDS).get()
    return audio(result, result.audio_data)


def start_speaking(config):
    speaker, places = synthesizer(config), []
    speaker.synthesis_word_boundary.connect(lambda place: places.append(place.text))
    result = speaker.start_speaking_text_async(WORDS).get()
    stream, sound, block = speech.AudioDataStream(result), bytearray(), bytes(4_096)
    while size := stream.read_data(block):
        sound += block[:size]
    if stream.status == speech.StreamStatus.Canceled:
        raise Canceled(stream.cancellation_details)
    return {**audio(result, sound), "words": places}


def recognizer(config):
    config.speech_recognition_language = "en-US"
    return speech.SpeechRecognizer(config, speech.audio.AudioConfig(filename=RECORDING))


def recognize_once(config):
    # Held until it has ended: a recognizer that nobody holds gives up.
    listener = recognizer(config)
    result = listener.recognize_once_async().get()
    if result.reason == speech.ResultReason.Canceled:
        raise Canceled(result.cancellation_details)
    return {"text": result.text, "reason": result.reason.name, "seconds": result.duration / 10_000_000}


def recognize_continuously(config):
    listener, stopped = recognizer(config), threading.Event()
    phrases, guesses, failures = [], [], []
    listener.recognizing.connect(lambda event: guesses.append(event.result.text))
    listener.recognized.connect(lambda event: phrases.append(event.result.text))

    def canceled(event):
        if event.cancellation_details.reason == speech.CancellationReason.Error:
            failures.append(event.cancellation_details)
        stopped.set()

    listener.canceled.connect(canceled)
    listener.session_stopped.connect(lambda _: stopped.set())
    listener.start_continuous_recognition_async().get()
    stopped.wait(60)
    listener.stop_continuous_recognition_async().get()
    if failures:
        raise Canceled(failures[0])
    return {"phrases": [text for text in phrases if text], "guesses": len(guesses)}


def speaking_endpoint():
    return speech.SpeechConfig(endpoint=SPEAKS_AT, subscription=KEY)


def listening_endpoint():
    return speech.SpeechConfig(endpoint=LISTENS_AT, subscription=KEY)


run(
    {
        "speak": lambda: speak(speaking_endpoint()),
        "start_speaking": lambda: start_speaking(speaking_endpoint()),
        "recognize_once": lambda: recognize_once(listening_endpoint()),
        "recognize_continuously": lambda: recognize_continuously(listening_endpoint()),
        "speak_by_host": lambda: speak(speech.SpeechConfig(host=SPEAKING_HOST, subscription=KEY)),
        "recognize_once_by_host": lambda: recognize_once(speech.SpeechConfig(host=LISTENING_HOST, subscription=KEY)),
    },
    lambda error: {"code": getattr(error, "code", None), "body": getattr(error, "details", str(error))},
)
