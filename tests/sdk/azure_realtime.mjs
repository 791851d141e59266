// Azure's Speech SDK for JavaScript, with endpoints that have a path, and with hosts. In place of a base URL: both
// endpoints, then both hosts, separated by commas.

import { readFile } from "node:fs/promises";
import * as speech from "microsoft-cognitiveservices-speech-sdk";
import { BASE_URL, KEY, RECORDING, run } from "./report.mjs";

const [SPEAKS_AT, LISTENS_AT, SPEAKING_HOST, LISTENING_HOST] = BASE_URL.split(",").map((url) => new URL(url));
const WORDS = "One two three four five.";

/** The SDK reports failures as results. */
class Canceled extends Error {
  constructor({ ErrorCode, errorCode, errorDetails }) {
    super(errorDetails);
    this.code = speech.CancellationErrorCode[ErrorCode ?? errorCode];
    this.body = errorDetails;
  }
}

const endpoint = (url) => speech.SpeechConfig.fromEndpoint(url, KEY);
const host = (url) => speech.SpeechConfig.fromHost(url, KEY);

async function speak(config, method) {
  config.speechSynthesisVoiceName = "en-US-JennyNeural";
  config.speechSynthesisOutputFormat = speech.SpeechSynthesisOutputFormat.Audio24Khz96KBitRateMonoMp3;
  const synthesizer = new speech.SpeechSynthesizer(config, null);
  const words = [];
  synthesizer.wordBoundary = (_, place) => words.push(place.text);
  try {
    const result = await new Promise((resolve, reject) => synthesizer[method](WORDS, resolve, reject));
    if (result.reason === speech.ResultReason.Canceled) throw new Canceled(result);
    return { audio: Buffer.from(result.audioData).toString("base64"), words };
  } finally {
    synthesizer.close();
  }
}

/** This SDK has no `startSpeakingTextAsync`; the sound of its events comes while it is spoken. */
async function startSpeaking(config) {
  config.speechSynthesisVoiceName = "en-US-JennyNeural";
  config.speechSynthesisOutputFormat = speech.SpeechSynthesisOutputFormat.Audio24Khz96KBitRateMonoMp3;
  const synthesizer = new speech.SpeechSynthesizer(config, null);
  const pieces = [];
  try {
    await new Promise((resolve, reject) => {
      synthesizer.synthesizing = (_, event) => pieces.push(Buffer.from(event.result.audioData));
      synthesizer.synthesisCompleted = resolve;
      synthesizer.SynthesisCanceled = (_, event) => reject(new Canceled(speech.CancellationDetails.fromResult(event.result)));
      synthesizer.speakTextAsync(WORDS, undefined, reject);
    });
    return { audio: Buffer.concat(pieces).toString("base64"), pieces: pieces.length };
  } finally {
    synthesizer.close();
  }
}

async function recognizer(config) {
  config.speechRecognitionLanguage = "en-US";
  return new speech.SpeechRecognizer(config, speech.AudioConfig.fromWavFileInput(await readFile(RECORDING), "a.wav"));
}

async function recognizeOnce(config) {
  const listener = await recognizer(config);
  try {
    const result = await new Promise((resolve, reject) => listener.recognizeOnceAsync(resolve, reject));
    if (result.reason === speech.ResultReason.Canceled) throw new Canceled(speech.CancellationDetails.fromResult(result));
    return { text: result.text, seconds: result.duration / 10_000_000 };
  } finally {
    listener.close();
  }
}

async function recognizeContinuously(config) {
  const listener = await recognizer(config);
  const phrases = [];
  let guesses = 0;
  try {
    await new Promise((resolve, reject) => {
      listener.recognizing = () => (guesses += 1);
      listener.recognized = (_, event) => event.result.text && phrases.push(event.result.text);
      listener.canceled = (_, event) =>
        event.reason === speech.CancellationReason.Error ? reject(new Canceled(event)) : resolve();
      listener.sessionStopped = () => resolve();
      listener.startContinuousRecognitionAsync(undefined, reject);
    });
    return { phrases, guesses };
  } finally {
    listener.close();
  }
}

await run(
  {
    speak: () => speak(endpoint(SPEAKS_AT), "speakTextAsync"),
    start_speaking: () => startSpeaking(endpoint(SPEAKS_AT)),
    recognize_once: () => recognizeOnce(endpoint(LISTENS_AT)),
    recognize_continuously: () => recognizeContinuously(endpoint(LISTENS_AT)),
    speak_by_host: () => speak(host(SPEAKING_HOST), "speakTextAsync"),
    recognize_once_by_host: () => recognizeOnce(host(LISTENING_HOST)),
  },
  (error) => ({ code: error.code ?? null, body: error.body ?? String(error) }),
);
