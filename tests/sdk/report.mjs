// Runs named SDK calls and prints one JSON object of what each gave: its result, or the SDK's own typed error.
// Arguments: base URL, key, a WAV file to transcribe.

import { createHash } from "node:crypto";

export const [BASE_URL, KEY, RECORDING] = process.argv.slice(2, 5);

/** Digest of streamed audio, and when its first and last piece came. */
export async function audio(pieces) {
  const digest = createHash("sha256");
  const arrivals = [];
  let bytes = 0;
  for await (const piece of pieces) {
    arrivals.push(Date.now() / 1000);
    digest.update(piece);
    bytes += piece.length;
  }
  return { sha256: digest.digest("hex"), bytes, first_at: arrivals.at(0) ?? null, last_at: arrivals.at(-1) ?? null };
}

function classes(error) {
  const names = [];
  for (let kind = error?.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) names.push(kind.name);
  return names;
}

/** Prints `{name: result}`; an error becomes its class, the classes above it, and what `describeError` reads. */
export async function run(calls, describeError) {
  const report = {};
  for (const [name, call] of Object.entries(calls)) {
    try {
      report[name] = { result: await call() };
    } catch (error) {
      const names = classes(error);
      report[name] = { error: { class: names[0], classes: names, ...describeError(error) } };
    }
  }
  process.stdout.write(JSON.stringify(report));
}
