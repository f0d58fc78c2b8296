// Tools that the model calls by itself, run by the clients' own loops. Needs a model that can: Qwen2.5-Coder-1.5B.

import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { isStepCount, ToolLoopAgent, tool } from "ai";
import { ResponsesToolRunner, runnerFunction } from "openai/helpers/responses-tool-runner";
import { zodFunction, zodResponsesFunction } from "openai/helpers/zod";
import { z } from "zod";
import { baseURL, client, model } from "./server.mjs";

// Without its second half this model, which is small, calls the tool again and again instead of answering.
const prompt = "What is the weather in Paris? Look it up, then tell me in one sentence of plain English.";
const description = "Tells the current weather of a city.";
const Where = z.object({ city: z.string() });

// Returns what to run as the tool, and the arguments that it was called with.
function weather() {
  const calls = [];
  const execute = (where) => {
    calls.push(where);
    return JSON.stringify({ temperature: 31, sky: "cloudless" });
  };
  return { calls, execute };
}

for (const stream of [false, true]) {
  test(`openai: runTools, ${stream ? "streamed" : "whole"}`, async () => {
    const { calls, execute } = weather();
    const runner = client.chat.completions.runTools({
      model,
      messages: [{ role: "user", content: prompt }],
      temperature: 0,
      max_tokens: 120,
      stream,
      tools: [zodFunction({ name: "get_weather", description, parameters: Where, function: execute })],
    });
    assert.match(await runner.finalContent(), /31/);
    assert.deepEqual(calls, [{ city: "Paris" }]);
    assert.deepEqual(
      runner.messages.map((message) => message.role),
      ["user", "assistant", "tool", "assistant"],
    );
  });

  test(`openai: ResponsesToolRunner, ${stream ? "streamed" : "whole"}`, async () => {
    const { calls, execute } = weather();
    const declared = zodResponsesFunction({
      name: "get_weather",
      description,
      parameters: Where,
      function: execute,
    });
    const runner = new ResponsesToolRunner({ functions: [runnerFunction(declared)] });
    const input = [{ role: "user", content: prompt }];
    const params = { model, input, temperature: 0, max_output_tokens: 120 };
    const response = await runner.run(client, params, { stream, maxSteps: 4 });
    assert.deepEqual(calls, [{ city: "Paris" }]);
    assert.match(response.output_text, /31/);
  });
}

const providers = {
  "openai.chat": createOpenAI({ baseURL, apiKey: "none" }).chat(model),
  "openai.responses": createOpenAI({ baseURL, apiKey: "none" }).responses(model),
  compatible: createOpenAICompatible({ name: "pippin", baseURL })(model),
};

for (const [name, languageModel] of Object.entries(providers)) {
  test(`ai: ToolLoopAgent by ${name}`, async () => {
    const { calls, execute } = weather();
    const agent = new ToolLoopAgent({
      model: languageModel,
      temperature: 0,
      maxOutputTokens: 120,
      stopWhen: isStepCount(4),
      tools: { get_weather: tool({ description, inputSchema: Where, execute }) },
    });
    const result = await agent.generate({ prompt });
    assert.deepEqual(calls, [{ city: "Paris" }]);
    assert.match(result.text, /31/);
    assert.equal(result.finishReason, "stop");
  });
}
