// Gemini's Live API through @google/genai, its official JavaScript SDK, which puts the key into the query.

import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { GoogleGenAI } from "@google/genai";
import { BASE_URL, KEY, RECORDING, run } from "./report.mjs";

const MODEL = "gemini-3.8-live";
const WORDS = "One two three four five.";
const HEAD = 44;
const BLOCK = 8_000;

const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: BASE_URL } });

/** The socket ended before the turn did; the SDK tells so by callbacks, even of a handshake that failed. */
class Ended extends Error {
  constructor(status, body) {
    super(`${status} ${body}`);
    Object.assign(this, { status, body });
  }
}

async function converse(model, send) {
  const turn = { audio: [], heard: "", said: "", tokens: null };
  let session;
  const finished = new Promise((resolve, reject) => {
    const onmessage = ({ serverContent, usageMetadata }) => {
      for (const part of serverContent?.modelTurn?.parts ?? []) turn.audio.push(Buffer.from(part.inlineData.data, "base64"));
      turn.heard += serverContent?.inputTranscription?.text ?? "";
      turn.said += serverContent?.outputTranscription?.text ?? "";
      turn.tokens = usageMetadata?.totalTokenCount ?? turn.tokens;
      if (serverContent?.turnComplete) resolve();
    };
    const onerror = (event) => reject(new Ended(null, event.message));
    const onclose = (event) => reject(new Ended(event.code, event.reason));
    const config = {
      responseModalities: ["AUDIO"],
      inputAudioTranscription: {},
      outputAudioTranscription: {},
      speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: "Kore" } } },
    };
    client.live.connect({ model, config, callbacks: { onmessage, onerror, onclose } }).then(async (opened) => {
      session = opened;
      await send(opened);
    }, reject);
  });
  await Promise.race([finished, pause(30_000, undefined, { ref: false }).then(() => Promise.reject(new Ended(null, "it takes too long")))]);
  session.close();
  return { ...turn, audio: Buffer.concat(turn.audio).toString("base64") };
}

async function text(session) {
  session.sendClientContent({ turns: [{ role: "user", parts: [{ text: WORDS }] }], turnComplete: true });
}

async function sound(session) {
  const samples = (await readFile(RECORDING)).subarray(HEAD);
  for (let at = 0; at < samples.length; at += BLOCK) {
    const data = samples.subarray(at, at + BLOCK).toString("base64");
    session.sendRealtimeInput({ audio: { data, mimeType: "audio/pcm;rate=16000" } });
    await pause(10);
  }
  session.sendRealtimeInput({ audioStreamEnd: true });
}

await run(
  {
    text: () => converse(MODEL, text),
    sound: () => converse(MODEL, sound),
    chat_model: () => converse("gemini-3.8-flash", text),
  },
  (error) => ({ status: error.status ?? null, body: error.body ?? String(error) }),
);
