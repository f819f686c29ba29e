// <model-chat>: the playground. Streams from the public API, shows first token, tokens and time.

import { apiHeaders, errorText } from "./http.js";
import { showInDialog } from "./app.js";

// Yields the data of each server-sent event, wherever the network cut it.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const lines = rest.split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

function curlOf(base, body) {
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl ${base}/chat/completions \\\n  -H "Authorization: Bearer $PORTICO_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${quoted}'`;
}

// Python's literals differ from JSON's in three words only.
function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${literal(inner)}`).join(", ")}}`;
  return JSON.stringify(value);
}

function pythonOf(base, body) {
  const lines = Object.entries(body).map(([name, value]) => `    ${name}=${name === "messages" ? `[\n${value.map((message) => `        ${literal(message)},\n`).join("")}    ]` : literal(value)},`);
  return `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}", api_key="sk-your-key")\nanswer = client.chat.completions.create(\n${lines.join("\n")}\n)\nprint(answer.choices[0].message.content)`;
}

class ModelChat extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.log = this.querySelector(".log");
    this.live = document.getElementById("chat-news");
    // One conversation for each model; the second only while two are compared.
    this.lanes = [this.form.elements.model, this.form.elements.second].map((select) => ({ select, history: [] }));
    this.abort = null;
    this.form.elements.second.addEventListener("change", () => (this.lanes[1].history = [...this.lanes[0].history]));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.abort) this.send();
    });
    this.form.elements.message.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.querySelector("[data-stop]").addEventListener("click", () => this.abort?.abort());
    this.querySelector("[data-code]").addEventListener("click", () => this.showCode());
    this.querySelector("[data-clear]").addEventListener("click", () => this.clear());
  }

  clear() {
    this.abort?.abort();
    for (const lane of this.lanes) lane.history = [];
    for (const message of this.log.querySelectorAll(".message, .answers")) message.remove();
    this.log.querySelector("[data-welcome]").hidden = false;
    this.form.elements.message.focus();
  }

  // Ticked files travel with the first message they are ticked for, later turns keep them in the history.
  content(text) {
    const known = new Set(this.lanes[0].history.flatMap((turn) => turn.files ?? []));
    const files = [...this.form.querySelectorAll("[name=file]:checked")].map((box) => box.value).filter((id) => !known.has(id));
    if (!files.length) return { files, content: text };
    return { files, content: [{ type: "text", text }, ...files.map((id) => ({ type: "file", file: { file_id: id } }))] };
  }

  body(lane, history = lane.history) {
    const data = this.form.elements;
    const messages = history.map(({ role, content }) => ({ role, content }));
    if (data.system.value.trim()) messages.unshift({ role: "system", content: data.system.value });
    const body = { model: lane.select.value, messages, stream: true, stream_options: { include_usage: true } };
    if (data.temperature.value) body.temperature = Number(data.temperature.value);
    if (data.max_tokens.value) body.max_tokens = Number(data.max_tokens.value);
    if (data.schema.value.trim()) {
      body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(data.schema.value) } };
    }
    return body;
  }

  add(role, text, box = this.log, name = "Model") {
    const node = document.createElement("article");
    node.className = `message ${role}`;
    node.setAttribute("aria-label", role === "user" ? "You" : name);
    const body = document.createElement("div");
    body.className = "text";
    body.textContent = text;
    const meta = document.createElement("div");
    meta.className = "meta";
    node.append(body, meta);
    box.append(node);
    this.log.scrollTop = this.log.scrollHeight;
    return { node, body, meta };
  }

  working(on) {
    this.form.querySelector("[type=submit]").disabled = on;
    this.querySelector("[data-stop]").hidden = !on;
    this.log.setAttribute("aria-busy", String(on));
  }

  // A schema that is not JSON is told at its field before anything is sent.
  checkSchema() {
    const field = this.form.elements.schema;
    field.setCustomValidity("");
    try {
      if (field.value.trim()) JSON.parse(field.value);
    } catch {
      field.closest("details").open = true;
      field.setCustomValidity("This is not valid JSON.");
    }
    return field.reportValidity();
  }

  // The same request as code: what was said so far and what stands in the field.
  showCode() {
    if (!this.checkSchema()) return;
    const text = this.form.elements.message.value.trim() || "Hello!";
    const { stream, stream_options, ...body } = this.body(this.lanes[0], [...this.lanes[0].history, { role: "user", ...this.content(text) }]);
    const view = document.getElementById("code-view").content.cloneNode(true);
    view.getElementById("code-curl").textContent = curlOf(this.dataset.base, body);
    view.getElementById("code-openai").textContent = pythonOf(this.dataset.base, body);
    showInDialog(view);
  }

  async send() {
    const text = this.form.elements.message.value.trim();
    if (!text || !this.checkSchema()) return;
    this.log.querySelector("[data-welcome]").hidden = true;
    const turn = { role: "user", ...this.content(text) };
    const lanes = this.lanes.filter((lane) => lane.select.value);
    for (const lane of lanes) lane.history.push(turn);
    const names = turn.files.map((id) => this.form.querySelector(`[value="${CSS.escape(id)}"]`).dataset.name);
    this.add("user", text).meta.textContent = names.join(", ");
    this.form.elements.message.value = "";
    this.abort = new AbortController();
    this.working(true);
    const box = lanes.length > 1 ? this.side() : this.log;
    await Promise.all(lanes.map((lane) => this.answer(lane, box, lanes.length > 1)));
    this.abort = null;
    this.working(false);
    this.form.elements.message.focus();
  }

  // Two answers stand side by side.
  side() {
    const box = document.createElement("div");
    box.className = "answers";
    this.log.append(box);
    return box;
  }

  async answer(lane, box, isNamed) {
    const name = lane.select.value;
    const shown = this.add("assistant", "", box, isNamed ? name : "Model");
    if (isNamed) shown.node.prepend(Object.assign(document.createElement("b"), { textContent: name }));
    const result = { text: "", usage: null, first: null, request: "", startedAt: performance.now() };
    let problem = "";
    try {
      await this.stream(lane, result, shown);
    } catch (error) {
      problem = error.name === "AbortError" ? "Stopped" : error.message;
    }
    this.settle(lane, result, shown, problem);
  }

  async stream(lane, result, shown) {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...apiHeaders() },
      body: JSON.stringify(this.body(lane)),
      signal: this.abort.signal,
    });
    result.request = response.headers.get("x-request-id") ?? "";
    if (!response.ok) throw new Error(errorText(response.status, await response.text()));
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      result.usage = chunk.usage ?? result.usage;
      const delta = chunk.choices?.[0]?.delta ?? {};
      if (delta.reasoning_content) this.think(shown, delta.reasoning_content);
      if (delta.content) this.grow(result, shown, delta.content);
    }
    throw new Error("The answer broke off.");
  }

  think(shown, text) {
    shown.thought ??= shown.node.insertBefore(Object.assign(document.createElement("div"), { className: "thought" }), shown.body);
    shown.thought.append(text);
  }

  grow(result, shown, text) {
    result.first ??= performance.now() - result.startedAt;
    result.text += text;
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
    shown.body.append(text);
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  settle(lane, result, shown, problem) {
    const total = performance.now() - result.startedAt;
    const parts = [];
    if (result.first !== null) parts.push(`First token ${Math.round(result.first)} ms`);
    parts.push(`total ${Math.round(total)} ms`);
    if (result.usage) parts.push(`${result.usage.prompt_tokens} tokens in, ${result.usage.completion_tokens} out`);
    shown.meta.textContent = parts.join(" · ");
    if (result.request) {
      const link = Object.assign(document.createElement("a"), { className: "link", href: `/requests/${result.request}/`, textContent: "Cost and details" });
      shown.meta.append(" · ", link);
    }
    if (problem) {
      const note = document.createElement("p");
      note.className = problem === "Stopped" ? "muted" : "errorlist";
      note.textContent = problem;
      shown.body.after(note);
    }
    // A turn without an answer leaves the history, so that the next attempt starts clean.
    if (result.text) lane.history.push({ role: "assistant", content: result.text });
    else lane.history.pop();
    this.live.textContent = problem || `Answer complete: ${result.text}`;
  }
}

customElements.define("model-chat", ModelChat);
