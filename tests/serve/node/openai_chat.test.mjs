// The chat and completions clients of the openai package for Node.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { client, collect, model, QUESTION, waitForRunning } from "./server.mjs";

const messages = [{ role: "user", content: QUESTION }];
const brief = { model, messages, temperature: 0, max_tokens: 30 };
const City = z.object({ city: z.enum(["Paris", "Oslo"]), days: z.number().int() });

function weatherTool(calls) {
  return zodFunction({
    name: "weather",
    description: "Tells the weather of a city.",
    parameters: City,
    function: (where) => {
      calls.push(where);
      return "Sunny, 20 degrees.";
    },
  });
}

const namedWeather = { type: "function", function: { name: "weather" } };

test("models are listed and retrieved", async () => {
  const models = await collect(client.models.list());
  assert.equal(models.length, 1);
  assert.equal((await client.models.retrieve(models[0].id)).id, models[0].id);
  await assert.rejects(client.models.retrieve("no/such-model"), OpenAI.NotFoundError);
});

test("a chat answers with text and usage", async () => {
  const { data, response } = await client.chat.completions
    .create(brief, { headers: { "x-request-id": "node-1" } })
    .withResponse();
  assert.equal(response.headers.get("x-request-id"), "node-1");
  assert.equal(data.choices[0].finish_reason, "length");
  assert.equal(data.usage.completion_tokens, 30);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + 30);
  assert.ok(data.choices[0].message.content.trim());
});

test("a stream's chunks are the whole answer", async () => {
  const whole = await client.chat.completions.create(brief);
  const stream = await client.chat.completions.create({
    ...brief,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await collect(stream);
  assert.deepEqual(chunks.at(-1).choices, []);
  const usage = chunks.pop().usage;
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal(usage.prompt_tokens, whole.usage.prompt_tokens);
  const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
});

test("the stream helper builds the same completion", async () => {
  const options = { ...brief, logprobs: true, top_logprobs: 2, n: 2, seed: 5, temperature: 1 };
  const whole = await client.chat.completions.create(options);
  const deltas = [];
  const stream = client.chat.completions
    .stream({ ...options, stream_options: { include_usage: true } })
    .on("logprobs.content.delta", ({ content }) => deltas.push(...content));
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices.length, 2);
  for (const [i, choice] of final.choices.entries()) {
    assert.equal(choice.message.content, whole.choices[i].message.content);
    assert.equal(choice.finish_reason, whole.choices[i].finish_reason);
    assert.deepEqual(choice.logprobs.content, whole.choices[i].logprobs.content);
  }
  assert.ok(deltas.length >= 30);
  assert.deepEqual((await stream.totalUsage()).completion_tokens, whole.usage.completion_tokens);
});

test("a stream that is aborted frees its sequence", async () => {
  await waitForRunning(0);
  const stream = client.chat.completions.stream({ ...brief, max_tokens: 1500, ignore_eos: true });
  await stream.emitted("content");
  await waitForRunning(1);
  stream.abort();
  await assert.rejects(stream.done(), OpenAI.APIUserAbortError);
  await waitForRunning(0);
});

test("a format by zod is parsed", async () => {
  const options = { ...brief, max_tokens: 100, response_format: zodResponseFormat(City, "city") };
  const whole = (await client.chat.completions.parse(options)).choices[0].message;
  City.parse(whole.parsed);
  const partial = [];
  const stream = client.chat.completions
    .stream(options)
    .on("content.delta", ({ parsed }) => partial.push(parsed));
  const streamed = (await stream.finalChatCompletion()).choices[0].message;
  assert.deepEqual(streamed.parsed, whole.parsed);
  assert.deepEqual(partial.at(-1), whole.parsed);
});

test("a tool by zod is called with parsed arguments", async () => {
  const options = { ...brief, max_tokens: 120, tools: [weatherTool([])], tool_choice: namedWeather };
  const { message, finish_reason } = (await client.chat.completions.parse(options)).choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.tool_calls.length, 1);
  City.parse(message.tool_calls[0].function.parsed_arguments);
});

test("a required call streams its arguments", async () => {
  const options = { ...brief, max_tokens: 120, tools: [weatherTool([])], tool_choice: "required" };
  const pieces = [];
  const done = [];
  const stream = client.chat.completions
    .stream({ ...options, parallel_tool_calls: false })
    .on("tool_calls.function.arguments.delta", ({ arguments_delta }) => pieces.push(arguments_delta))
    .on("tool_calls.function.arguments.done", (event) => done.push(event));
  const final = await stream.finalChatCompletion();
  assert.equal(done.length, 1);
  assert.equal(done[0].name, "weather");
  City.parse(done[0].parsed_arguments);
  assert.equal(pieces.join(""), final.choices[0].message.tool_calls[0].function.arguments);
});

for (const stream of [false, true]) {
  test(`runTools runs a named tool, ${stream ? "streamed" : "whole"}`, async () => {
    const calls = [];
    const runner = client.chat.completions.runTools({
      ...brief,
      max_tokens: 120,
      stream,
      tools: [weatherTool(calls)],
      tool_choice: namedWeather,
    });
    assert.equal(await runner.finalFunctionToolCallResult(), "Sunny, 20 degrees.");
    assert.equal(calls.length, 1);
    City.parse(calls[0]);
  });
}

test("completions answer, whole and streamed", async () => {
  const options = { model, prompt: "The capital of France is", temperature: 0, max_tokens: 12 };
  const whole = await client.completions.create({ ...options, logprobs: 1 });
  assert.equal(whole.choices[0].logprobs.tokens.length, 12);
  const chunks = await collect(await client.completions.create({ ...options, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), whole.choices[0].text);
});

test("errors have their class, code and field", async () => {
  await assert.rejects(client.chat.completions.create({ ...brief, model: "none" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
    return true;
  });
  const wrong = { ...brief, messages: [{ role: "nobody", content: "x" }] };
  await assert.rejects(client.chat.completions.create(wrong), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.type, error.param], ["invalid_request_error", "messages[0].role"]);
    return true;
  });
});
