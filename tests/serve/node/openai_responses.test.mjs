// The Responses client of the openai package for Node.

import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { client, collect, model, QUESTION, waitForRunning } from "./server.mjs";

const brief = { model, input: QUESTION, temperature: 0, max_output_tokens: 30 };
const City = z.object({ city: z.enum(["Paris", "Oslo"]), days: z.number().int() });
const weather = zodResponsesFunction({
  name: "weather",
  description: "Tells the weather of a city.",
  parameters: City,
});

test("a response has text and usage", async () => {
  const response = await client.responses.create(brief);
  assert.equal(response.status, "incomplete");
  assert.equal(response.incomplete_details.reason, "max_output_tokens");
  assert.ok(response.output_text.trim());
  assert.equal(response.usage.output_tokens, 30);
});

test("the stream helper finds every event in order", async () => {
  const whole = await client.responses.create(brief);
  const stream = client.responses.stream(brief);
  const events = await collect(stream);
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  );
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.incomplete");
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), whole.output_text);
  const final = await stream.finalResponse();
  assert.equal(final.output_text, whole.output_text);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test("a stream that is left frees its sequence", async () => {
  await waitForRunning(0);
  const stream = await client.responses.create({
    ...brief,
    max_output_tokens: 1500,
    ignore_eos: true,
    stream: true,
  });
  for await (const event of stream) if (event.type === "response.output_text.delta") break;
  await waitForRunning(0);
});

test("a format by zod is parsed, whole and streamed", async () => {
  const options = { ...brief, max_output_tokens: 100, text: { format: zodTextFormat(City, "city") } };
  const whole = await client.responses.parse(options);
  City.parse(whole.output_parsed);
  const streamed = await client.responses.stream(options).finalResponse();
  assert.deepEqual(streamed.output_parsed, whole.output_parsed);
});

test("a function makes its round trip", async () => {
  const options = { ...brief, max_output_tokens: 120, tools: [weather] };
  const first = await client.responses.parse({ ...options, tool_choice: "required" });
  const call = first.output.find((item) => item.type === "function_call");
  assert.equal(call.name, "weather");
  City.parse(call.parsed_arguments);
  const output = { type: "function_call_output", call_id: call.call_id, output: "Sunny, 20 degrees." };
  const byId = await client.responses.create({
    ...options,
    tool_choice: "none",
    previous_response_id: first.id,
    input: [output],
  });
  assert.ok(byId.output_text.trim());
  const items = first.output.map(({ parsed_arguments, ...item }) => item);
  const byItems = await client.responses.create({
    ...options,
    tool_choice: "none",
    input: [{ role: "user", content: QUESTION }, ...items, output],
  });
  assert.equal(byItems.output_text, byId.output_text);
});

test("responses are kept, listed and deleted", async () => {
  const first = await client.responses.create(brief);
  const second = await client.responses.create({ ...brief, previous_response_id: first.id });
  assert.deepEqual((await client.responses.retrieve(first.id)).output, first.output);
  const items = await collect(client.responses.inputItems.list(second.id, { order: "asc", limit: 1 }));
  assert.deepEqual(
    items.map((item) => item.role),
    ["user", "assistant", "user"],
  );
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test("a background response is polled, another cancelled", async () => {
  const made = await client.responses.create({ ...brief, background: true });
  assert.equal(made.status, "queued");
  let polled = made;
  for (let i = 0; i < 600 && ["queued", "in_progress"].includes(polled.status); ++i) {
    await sleep(50);
    polled = await client.responses.retrieve(made.id);
  }
  assert.equal(polled.output_text, (await client.responses.create(brief)).output_text);
  const endless = await client.responses.create({
    ...brief,
    background: true,
    max_output_tokens: 1500,
    ignore_eos: true,
  });
  assert.equal((await client.responses.cancel(endless.id)).status, "cancelled");
  await waitForRunning(0);
});

test("errors name the field", async () => {
  await assert.rejects(client.responses.create({ ...brief, input: [] }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "input");
    return true;
  });
});
