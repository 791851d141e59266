// Voxgate's `/v1` through OpenAI's official JavaScript SDK.
// Arguments beside the usual: the model to speak with, its voice, the model to transcribe with, and, if not all calls
// are to be made, the names of those that are, separated by commas.

import { createReadStream } from "node:fs";
import OpenAI from "openai";
import { BASE_URL, KEY, RECORDING, audio, run } from "./report.mjs";

const [SPEAKS_WITH, VOICE, LISTENS_WITH, ONLY] = process.argv.slice(5, 9);
const TEXT = "One two three four five.";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: KEY, maxRetries: 0, timeout: 60_000 });

const speak = (more) => client.audio.speech.create({ model: SPEAKS_WITH, voice: VOICE, input: TEXT, ...more });

const speech = (format) => async () => {
  const answer = await speak({ response_format: format });
  return {
    audio: Buffer.from(await answer.arrayBuffer()).toString("base64"),
    content_type: answer.headers.get("content-type"),
    provider: answer.headers.get("x-voxgate-provider"),
  };
};

async function speechEvents() {
  const answer = await speak({ response_format: "pcm", stream_format: "sse" });
  const lines = (await answer.text()).split(/\r?\n/).filter((line) => line.startsWith("data:"));
  const data = lines.map((line) => line.slice("data:".length).trim()).filter((line) => line !== "[DONE]");
  const events = data.map((line) => JSON.parse(line));
  const deltas = events.filter((event) => event.type === "speech.audio.delta");
  const sound = Buffer.concat(deltas.map((event) => Buffer.from(event.audio, "base64")));
  return { audio: sound.toString("base64"), deltas: deltas.length, last: events.at(-1) };
}

const transcribe = (more) =>
  client.audio.transcriptions.create({ model: LISTENS_WITH, file: createReadStream(RECORDING), ...more });

const transcript =
  (format, more = {}) =>
  () =>
    transcribe({ response_format: format, ...more });

async function streamedTranscript() {
  const events = [];
  for await (const event of await transcribe({ stream: true })) events.push(event);
  return events;
}

async function models() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return ids;
}

const CALLS = {
  speech_mp3: speech("mp3"),
  speech_opus: speech("opus"),
  speech_flac: speech("flac"),
  speech_wav: speech("wav"),
  speech_pcm: speech("pcm"),
  speech_aac: speech("aac"),
  speech_stream: async () => audio((await speak({ response_format: "pcm" })).body),
  speech_events: speechEvents,
  transcript_json: transcript("json"),
  transcript_text: transcript("text"),
  transcript_srt: transcript("srt"),
  transcript_vtt: transcript("vtt"),
  transcript_verbose_json: transcript("verbose_json"),
  transcript_diarized_json: transcript("diarized_json"),
  transcript_words: transcript("verbose_json", { timestamp_granularities: ["word", "segment"] }),
  transcript_language: transcript("json", { language: "en" }),
  transcript_stream: streamedTranscript,
  translation: async () =>
    (await client.audio.translations.create({ model: LISTENS_WITH, file: createReadStream(RECORDING) })).text,
  models,
  model: () => client.models.retrieve(SPEAKS_WITH),
  unknown_provider: async () => {
    const request = { model: "nobody/nothing", voice: "default", input: TEXT };
    return (await client.audio.speech.create(request)).text();
  },
};

const names = ONLY ? ONLY.split(",") : Object.keys(CALLS);
await run(Object.fromEntries(names.map((name) => [name, CALLS[name]])), (error) => ({
  status: error.status ?? null,
  code: error.code ?? null,
  body: error.error ?? String(error),
}));
