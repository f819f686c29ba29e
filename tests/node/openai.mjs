// The openai package for JavaScript. Prints what each part of the job gave, as one JSON object.
// Asked with BASE_URL, API_KEY, MODEL and the FILE to upload in the environment.

import fs from "node:fs";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { TOOLS, run } from "./scenarios.mjs";

const { BASE_URL, API_KEY, MODEL: model, FILE } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });
const user = (content) => ({ role: "user", content });
const tools = Object.entries(TOOLS).map(([name, { field }]) => ({
  type: "function",
  function: {
    name,
    description: `Tells ${name}.`,
    parameters: { type: "object", properties: { [field]: { type: "string" } }, required: [field] },
  },
}));
const both = user('Please call get_weather {"city": "Rome"} and get_time {"zone": "Europe/Rome"}');

async function goAround(message) {
  const results = message.tool_calls.map((call) => ({
    role: "tool",
    tool_call_id: call.id,
    content: TOOLS[call.function.name].run(JSON.parse(call.function.arguments)),
  }));
  const answer = await client.chat.completions.create({ model, messages: [both, message, ...results], tools });
  return {
    called: message.tool_calls.map((call) => call.function.name),
    text: answer.choices[0].message.content,
  };
}

await run({
  async chat() {
    const answer = await client.chat.completions.create({ model, messages: [user("Good morning")] });
    return { text: answer.choices[0].message.content, finish: answer.choices[0].finish_reason, usage: answer.usage };
  },
  async stream() {
    const stream = await client.chat.completions.create({
      model,
      messages: [user("Tell a story @long 400")],
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces = [];
    let usage;
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta?.content;
      if (text) pieces.push(text);
      usage = chunk.usage ?? usage;
    }
    return { text: pieces.join(""), pieces: pieces.length, usage };
  },
  async tools() {
    const first = await client.chat.completions.create({ model, messages: [both], tools });
    return goAround(first.choices[0].message);
  },
  async tools_of_a_stream() {
    const stream = client.chat.completions.stream({ model, messages: [both], tools });
    return goAround((await stream.finalChatCompletion()).choices[0].message);
  },
  async schema() {
    const Dish = z.object({ name: z.string(), kind: z.enum(["soup", "cake"]) });
    const answer = await client.chat.completions.parse({
      model,
      messages: [user("A dish")],
      response_format: zodResponseFormat(Dish, "dish"),
    });
    return answer.choices[0].message.parsed;
  },
  async files() {
    const made = await client.files.create({ file: fs.createReadStream(FILE), purpose: "user_data" });
    const answer = await client.chat.completions.create({
      model,
      messages: [user([{ type: "text", text: "What is this?" }, { type: "file", file: { file_id: made.id } }])],
    });
    const content = await (await client.files.content(made.id)).arrayBuffer();
    const listed = [];
    for await (const file of client.files.list({ limit: 1 })) listed.push(file.id);
    const { deleted } = await client.files.delete(made.id);
    return {
      text: answer.choices[0].message.content,
      bytes: content.byteLength,
      listed: listed.includes(made.id),
      deleted,
    };
  },
  async refusal() {
    try {
      await client.chat.completions.create({ model: "gpt-0", messages: [user("Hello")] });
    } catch (error) {
      return { kind: error.constructor.name, status: error.status, code: error.code, id: error.requestID };
    }
  },
});
