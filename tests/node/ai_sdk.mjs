// The Vercel AI SDK with its OpenAI-compatible provider. Prints what each part of the job gave, as one JSON
// object. Asked with BASE_URL, API_KEY, MODEL and the FILE to show in the environment.

import fs from "node:fs";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { TOOLS, run } from "./scenarios.mjs";

const { BASE_URL, API_KEY, MODEL, EMBEDDER, FILE } = process.env;
const provider = createOpenAICompatible({
  name: "portico",
  baseURL: BASE_URL,
  apiKey: API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(MODEL);
const tools = Object.fromEntries(
  Object.entries(TOOLS).map(([name, { field, run }]) => [
    name,
    tool({ description: `Tells ${name}.`, inputSchema: z.object({ [field]: z.string() }), execute: async (input) => run(input) }),
  ]),
);
const both = 'Please call get_weather {"city": "Rome"} and get_time {"zone": "Europe/Rome"}';
const called = (steps) => steps.flatMap((step) => step.toolCalls.map((call) => call.toolName));

await run({
  async chat() {
    const { text, finishReason, usage } = await generateText({ model, prompt: "Good morning", maxRetries: 0 });
    return { text, finish: finishReason, usage };
  },
  async stream() {
    const result = streamText({ model, prompt: "Tell a story @long 400", maxRetries: 0 });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    return { text: pieces.join(""), pieces: pieces.length, usage: await result.usage };
  },
  async tools() {
    const { text, steps } = await generateText({ model, prompt: both, tools, stopWhen: stepCountIs(3), maxRetries: 0 });
    return { text, called: called(steps) };
  },
  async tools_of_a_stream() {
    const result = streamText({ model, prompt: both, tools, stopWhen: stepCountIs(3), maxRetries: 0 });
    await result.consumeStream();
    return { text: await result.text, called: called(await result.steps) };
  },
  async schema() {
    const schema = z.object({ name: z.string(), kind: z.enum(["soup", "cake"]) });
    const result = await generateText({ model, prompt: "A dish", output: Output.object({ schema }), maxRetries: 0 });
    return result.output;
  },
  async files() {
    const content = [
      { type: "text", text: "What is this?" },
      { type: "file", data: fs.readFileSync(FILE), mediaType: "application/pdf", filename: "report.pdf" },
    ];
    const { text } = await generateText({ model, messages: [{ role: "user", content }], maxRetries: 0 });
    return { text };
  },
  async embeddings() {
    const { embeddings } = await embedMany({ model: provider.embeddingModel(EMBEDDER), values: ["one", "two"], maxRetries: 0 });
    return { count: embeddings.length, length: embeddings[0].length };
  },
  async refusal() {
    try {
      await generateText({ model: provider("gpt-0"), prompt: "Hello", maxRetries: 0 });
    } catch (error) {
      return { status: error.statusCode, message: error.message };
    }
  },
});
