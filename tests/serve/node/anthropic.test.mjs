// The Messages API by Anthropic's package: its accumulator checks the order of events.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { QUESTION, collect, model, waitForRunning } from "./server.mjs";

// No retries: a test must see each failure.
const client = new Anthropic({
  baseURL: process.env.PIPPIN_URL, apiKey: "none", maxRetries: 0, timeout: 120_000,
});
const messages = [{ role: "user", content: QUESTION }];
const WEATHER = {
  name: "weather",
  description: "Tells the weather of a city.",
  input_schema: {
    type: "object",
    properties: { city: { type: "string", enum: ["Paris", "Oslo"] } },
    required: ["city"],
  },
};

function ask(fields = {}) {
  return { model, messages, max_tokens: 30, temperature: 0, ...fields };
}

test("a message, whole and streamed", async () => {
  const whole = await client.messages.create(ask());
  assert.equal(whole.type, "message");
  assert.equal(whole.stop_reason, "max_tokens");
  const stream = client.messages.stream(ask());
  const seen = [];
  stream.on("text", (text) => seen.push(text));
  const final = await stream.finalMessage();
  assert.equal(final.content[0].text, whole.content[0].text);
  assert.equal(seen.join(""), whole.content[0].text);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test("a call, streamed piece by piece", async () => {
  const stream = client.messages.stream(
    ask({ tools: [WEATHER], tool_choice: { type: "tool", name: "weather" }, max_tokens: 200 }),
  );
  const pieces = [];
  stream.on("inputJson", (piece) => pieces.push(piece));
  const final = await stream.finalMessage();
  assert.equal(final.stop_reason, "tool_use");
  assert.equal(final.content[0].type, "tool_use");
  assert.deepEqual(JSON.parse(pieces.join("")), final.content[0].input);
  assert.ok(["Paris", "Oslo"].includes(final.content[0].input.city));
});

test("tokens, models and errors", async () => {
  const counted = await client.messages.countTokens({ model, messages });
  assert.ok(counted.input_tokens > 10);
  const models = await collect(client.models.list());
  assert.equal(models.length, 1);
  await assert.rejects(client.messages.create(ask({ max_tokens: -1 })), (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError);
    assert.match(error.message, /max_tokens/);
    assert.ok(error.requestID);
    return true;
  });
});

test("a stream that is left ends its answer", async () => {
  const stream = await client.messages.create(ask({ max_tokens: 1500, stream: true }));
  for await (const event of stream) {
    assert.equal(event.type, "message_start");
    break;
  }
  await waitForRunning(0);
});

test("a batch", async () => {
  const made = await client.messages.batches.create({
    requests: [{ custom_id: "a", params: { model, messages, max_tokens: 3 } }],
  });
  for (let i = 0; i < 600; ++i) {
    const batch = await client.messages.batches.retrieve(made.id);
    if (batch.processing_status === "ended") break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const results = await collect(await client.messages.batches.results(made.id));
  assert.equal(results[0].custom_id, "a");
  assert.equal(results[0].result.type, "succeeded");
});
