// The server under test, as PIPPIN_URL names it, and what the suites here share.

import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

const url = process.env.PIPPIN_URL;
if (!url) throw new Error("PIPPIN_URL must name the running server");

export const baseURL = `${url}/v1`;
export const model = "default";
export const QUESTION = "Name three rivers of Europe and one fact about each.";

// No retries: a test must see each failure.
export const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0, timeout: 120_000 });

async function runningRequests() {
  const status = await (await fetch(`${baseURL}/status`)).json();
  return (status.models?.[0] ?? status).running;
}

// Waits until `count` requests run.
export async function waitForRunning(count, limitMs = 10_000) {
  const end = Date.now() + limitMs;
  while ((await runningRequests()) !== count) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${count} requests run`);
    await sleep(20);
  }
}

export async function collect(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}
