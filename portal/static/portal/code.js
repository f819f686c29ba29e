// The playground's next request as a program: curl, and OpenAI's SDKs for Python and JavaScript.

const KEY = "PORTICO_KEY";
// What the SDK for Python takes by name; everything else travels in extra_body, which it merges into the request.
const NAMED = new Set("messages model audio frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty reasoning_effort response_format seed service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options".split(" "));

// Python's literals differ from JSON's in three words only.
function literal(value, indent = "") {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const [open, close, lines] = Array.isArray(value)
    ? ["[", "]", value.map((item) => literal(item, inner))]
    : ["{", "}", Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, inner)}`)];
  const short = `${open}${lines.join(", ")}${close}`;
  if (short.length + indent.length < 90 && !short.includes("\n")) return short;
  return `${open}\n${lines.map((line) => `${inner}${line},\n`).join("")}${indent}${close}`;
}

export function curlOf(base, body) {
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl -N ${base}/chat/completions \\\n  -H "Authorization: Bearer $${KEY}" \\\n  -H "Content-Type: application/json" \\\n  -d '${quoted}'`;
}

export function pythonOf(base, body) {
  const named = Object.entries(body).filter(([name]) => NAMED.has(name));
  const others = Object.entries(body).filter(([name]) => !NAMED.has(name));
  if (others.length) named.push(["extra_body", Object.fromEntries(others)]);
  const lines = named.map(([name, value]) => `    ${name}=${literal(value, "    ")},\n`).join("");
  return `import os

from openai import OpenAI

client = OpenAI(base_url="${base}", api_key=os.environ["${KEY}"])
stream = client.chat.completions.create(
${lines})
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()`;
}

export function scriptOf(base, body) {
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: process.env.${KEY} });
const stream = await client.chat.completions.create(${JSON.stringify(body, null, 2)});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}`;
}
