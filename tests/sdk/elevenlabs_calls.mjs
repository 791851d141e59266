// ElevenLabs through its official JavaScript SDK.

import { createReadStream } from "node:fs";
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";
import { BASE_URL, KEY, RECORDING, audio, run } from "./report.mjs";

const VOICE = "21m00Tcm4TlvDq8ikWAM";
const TEXT = "Grüße aus dem Rechenzentrum, 你好.";

const client = new ElevenLabsClient({ baseUrl: BASE_URL, apiKey: KEY });

await run(
  {
    tts: async () => audio(await client.textToSpeech.convert(VOICE, { text: TEXT, modelId: "eleven_multilingual_v2" })),
    tts_stream: async () =>
      audio(
        await client.textToSpeech.stream(VOICE, {
          text: TEXT,
          modelId: "eleven_flash_v2_5",
          outputFormat: "pcm_24000",
        }),
      ),
    stt: async () => {
      const answer = await client.speechToText.convert({ modelId: "scribe_v2", file: createReadStream(RECORDING) });
      return { text: answer.text, language: answer.languageCode, words: answer.words.length };
    },
    voices: async () => (await client.voices.search()).voices.map((voice) => voice.voiceId),
    models: async () => (await client.models.list()).map((model) => model.modelId),
  },
  (error) => ({ status: error.statusCode ?? null, body: error.body ?? String(error) }),
);
