// Vercel's AI SDK, by each of its providers that speak OpenAI's API.

import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  generateObject,
  generateText,
  isStepCount,
  Output,
  streamObject,
  streamText,
  tool,
} from "ai";
import { z } from "zod";
import { baseURL, collect, model, QUESTION, waitForRunning } from "./server.mjs";

const openai = createOpenAI({ baseURL, apiKey: "none" });
const compatible = createOpenAICompatible({
  name: "pippin",
  baseURL,
  includeUsage: true,
  supportsStructuredOutputs: true,
});

const chats = {
  "openai.chat": openai.chat(model),
  "openai.responses": openai.responses(model),
  compatible: compatible(model),
};
// These continue a text; after a question they would soon be at the end.
const completions = {
  "openai.completion": openai.completion(model),
  "compatible.completionModel": compatible.completionModel(model),
};
const BEGINNING = "Once upon a time, in a small village by the sea,";

const City = z.object({ city: z.enum(["Paris", "Oslo"]), days: z.number().int() });
const brief = { prompt: QUESTION, temperature: 0, maxOutputTokens: 30, maxRetries: 0 };

for (const [name, languageModel] of Object.entries({ ...chats, ...completions })) {
  test(`${name}: streamText is generateText`, async () => {
    const prompt = name in chats ? QUESTION : BEGINNING;
    const options = { ...brief, prompt, model: languageModel };
    const whole = await generateText(options);
    assert.ok(whole.text.trim());
    assert.equal(whole.finishReason, "length");
    assert.equal(whole.usage.outputTokens, 30);
    const stream = streamText(options);
    assert.equal((await collect(stream.textStream)).join(""), whole.text);
    assert.equal(await stream.finishReason, "length");
    assert.equal((await stream.usage).inputTokens, whole.usage.inputTokens);
    assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
  });
}

for (const [name, languageModel] of Object.entries(chats)) {
  test(`${name}: an object by schema, whole and streamed`, async () => {
    const options = {
      ...brief,
      model: languageModel,
      maxOutputTokens: 120,
      output: Output.object({ schema: City }),
    };
    const whole = await generateText(options);
    City.parse(whole.output);
    assert.deepEqual(whole.warnings ?? [], []);
    const stream = streamText(options);
    const partial = await collect(stream.partialOutputStream);
    assert.deepEqual(partial.at(-1), whole.output);
    assert.deepEqual(await stream.output, whole.output);
  });

  test(`${name}: a choice, and the older functions for objects`, async () => {
    const options = { ...brief, model: languageModel, maxOutputTokens: 100 };
    const choice = Output.choice({ options: ["river", "mountain"] });
    assert.ok(["river", "mountain"].includes((await generateText({ ...options, output: choice })).output));
    const { object } = await generateObject({ ...options, schema: City });
    City.parse(object);
    const stream = streamObject({ ...options, schema: City });
    assert.deepEqual((await collect(stream.partialObjectStream)).at(-1), object);
  });

  for (const streamed of [false, true]) {
    test(`${name}: tools in several steps, ${streamed ? "streamed" : "whole"}`, async () => {
      const calls = [];
      const options = {
        ...brief,
        model: languageModel,
        maxOutputTokens: 120,
        stopWhen: isStepCount(3),
        tools: {
          weather: tool({
            description: "Tells the weather of a city.",
            inputSchema: City,
            strict: true,
            execute: async (where) => {
              calls.push(where);
              return { sky: "sunny", degrees: 20 };
            },
          }),
        },
        prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber < 2 ? "required" : "none" }),
      };
      const result = streamed ? streamText(options) : await generateText(options);
      const parts = streamed ? await collect(result.fullStream) : [];
      assert.deepEqual(
        parts.filter((part) => part.type === "error"),
        [],
      );
      const steps = await result.steps;
      assert.equal(steps.length, 3);
      assert.ok(calls.length >= 2);
      for (const where of calls) City.parse(where);
      assert.equal(steps[0].finishReason, "tool-calls");
      assert.equal(steps[0].toolResults[0].output.degrees, 20);
      assert.ok(steps[2].text.trim());
      assert.equal(steps[2].toolCalls.length, 0);
      if (streamed) {
        const deltas = parts.filter((part) => part.type === "tool-input-delta").map((part) => part.delta);
        const inputs = calls.map((where) => where.city);
        for (const city of inputs) assert.ok(deltas.join("").includes(city));
      }
    });
  }

  test(`${name}: a named tool`, async () => {
    const result = await generateText({
      ...brief,
      model: languageModel,
      maxOutputTokens: 120,
      tools: {
        weather: tool({ inputSchema: City }),
        nothing: tool({ inputSchema: z.object({}) }),
      },
      toolChoice: { type: "tool", toolName: "weather" },
    });
    assert.deepEqual(
      result.toolCalls.map((call) => call.toolName),
      ["weather"],
    );
    City.parse(result.toolCalls[0].input);
  });

  test(`${name}: an aborted stream frees its sequence`, async () => {
    await waitForRunning(0);
    const abort = new AbortController();
    const stream = streamText({
      ...brief,
      model: languageModel,
      maxOutputTokens: 1500,
      abortSignal: abort.signal,
      onError: () => {},
    });
    const kinds = [];
    for await (const part of stream.fullStream) {
      kinds.push(part.type);
      if (part.type === "text-delta") abort.abort();
    }
    assert.ok(kinds.includes("abort"), kinds.join(" "));
    await waitForRunning(0);
  });

  test(`${name}: a wrong field is an error with our words`, async () => {
    const wrong = generateText({ ...brief, model: languageModel, topP: 7 });
    await assert.rejects(wrong, (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.equal(error.statusCode, 400);
      assert.match(error.message, /top_p/);
      assert.equal(error.isRetryable, false);
      return true;
    });
  });
}
