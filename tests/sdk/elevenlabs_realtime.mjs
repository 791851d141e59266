// ElevenLabs' realtime transcription through its official JavaScript SDK, which has no other WebSocket for speech.

import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { AudioFormat, CommitStrategy, ElevenLabsClient, RealtimeEvents } from "@elevenlabs/elevenlabs-js";
import { BASE_URL, KEY, RECORDING, run } from "./report.mjs";

const HEAD = 44;
const BLOCK = 8_000;

const client = new ElevenLabsClient({ baseUrl: BASE_URL, apiKey: KEY });

/** The socket ended before the transcript was there; the SDK tells so by events. */
class Ended extends Error {
  constructor(body) {
    super(JSON.stringify(body));
    this.body = body;
  }
}

async function transcribe(commitStrategy) {
  const connection = await client.speechToText.realtime.connect({
    modelId: "scribe_v2_realtime",
    audioFormat: AudioFormat.PCM_16000,
    sampleRate: 16_000,
    commitStrategy,
    includeTimestamps: true,
  });
  let partials = 0;
  let failure = null;
  const opened = new Promise((resolve) => connection.on(RealtimeEvents.OPEN, resolve));
  const committed = new Promise((resolve, reject) => {
    connection.on(RealtimeEvents.PARTIAL_TRANSCRIPT, () => (partials += 1));
    connection.on(RealtimeEvents.COMMITTED_TRANSCRIPT_WITH_TIMESTAMPS, resolve);
    connection.on(RealtimeEvents.ERROR, (error) => (failure = error?.message ?? error));
    // This SDK keeps the code and the reason to itself.
    connection.on(RealtimeEvents.CLOSE, () => reject(new Ended(failure)));
  });
  const sent = (async () => {
    await opened;
    const samples = (await readFile(RECORDING)).subarray(HEAD);
    for (let at = 0; at < samples.length; at += BLOCK) {
      connection.send({ audioBase64: samples.subarray(at, at + BLOCK).toString("base64") });
      await pause(10);
    }
    if (commitStrategy === CommitStrategy.MANUAL) connection.commit();
    else connection.send({ audioBase64: Buffer.alloc(32_000).toString("base64") });
  })();
  // The other side may have closed meanwhile; how, the event says.
  sent.catch(() => {});
  const message = await Promise.race([committed, pause(30_000, undefined, { ref: false }).then(() => Promise.reject(new Ended(failure)))]);
  connection.close();
  return { text: message.text, words: message.words.length, partials };
}

await run(
  {
    transcript: () => transcribe(CommitStrategy.MANUAL),
    transcript_by_pauses: () => transcribe(CommitStrategy.VAD),
  },
  (error) => ({ body: error.body ?? String(error) }),
);
