// Gemini through @google/genai, its official JavaScript SDK.

import { readFile } from "node:fs/promises";
import { GoogleGenAI } from "@google/genai";
import { BASE_URL, KEY, RECORDING, audio, run } from "./report.mjs";

const TTS = "gemini-3.8-flash-tts";
const STT = "gemini-3.5-transcribe";
const TEXT = "Grüße aus dem Rechenzentrum, 你好.";

const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: BASE_URL } });
const spoken = {
  model: TTS,
  contents: TEXT,
  config: {
    responseModalities: ["AUDIO"],
    speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: "Puck" } } },
  },
};

const sound = (answer) => Buffer.from(answer.candidates[0].content.parts[0].inlineData.data, "base64");

async function* sounds(stream) {
  for await (const answer of stream) yield sound(answer);
}

await run(
  {
    tts: async () => {
      const answer = await client.models.generateContent(spoken);
      return { ...(await audio([sound(answer)])), tokens: answer.usageMetadata.totalTokenCount };
    },
    tts_stream: async () => audio(sounds(await client.models.generateContentStream(spoken))),
    stt: async () => {
      const data = (await readFile(RECORDING)).toString("base64");
      const contents = [{ inlineData: { mimeType: "audio/wav", data } }];
      return { text: (await client.models.generateContent({ model: STT, contents })).text };
    },
    models: async () => {
      const names = [];
      for await (const model of await client.models.list()) names.push(model.name);
      return names.sort();
    },
  },
  (error) => ({ status: error.status ?? null, body: error.message }),
);
