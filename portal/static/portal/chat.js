// <model-chat>: the playground. Streams from the public API, shows first token, tokens and time.

import { apiHeaders, errorText } from "./http.js";

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

class ModelChat extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.log = this.querySelector(".log");
    this.live = document.getElementById("chat-news");
    this.history = [];
    this.abort = null;
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
    this.querySelector("[data-clear]").addEventListener("click", () => this.clear());
  }

  clear() {
    this.abort?.abort();
    this.history = [];
    for (const message of this.log.querySelectorAll(".message")) message.remove();
    this.log.querySelector("[data-welcome]").hidden = false;
    this.form.elements.message.focus();
  }

  // Ticked files travel with the first message they are ticked for, later turns keep them in the history.
  content(text) {
    const known = new Set(this.history.flatMap((turn) => turn.files ?? []));
    const files = [...this.form.querySelectorAll("[name=file]:checked")].map((box) => box.value).filter((id) => !known.has(id));
    if (!files.length) return { files, content: text };
    return { files, content: [{ type: "text", text }, ...files.map((id) => ({ type: "file", file: { file_id: id } }))] };
  }

  body() {
    const data = this.form.elements;
    const messages = this.history.map(({ role, content }) => ({ role, content }));
    if (data.system.value.trim()) messages.unshift({ role: "system", content: data.system.value });
    const body = { model: data.model.value, messages, stream: true, stream_options: { include_usage: true } };
    if (data.temperature.value) body.temperature = Number(data.temperature.value);
    if (data.max_tokens.value) body.max_tokens = Number(data.max_tokens.value);
    return body;
  }

  add(role, text) {
    const node = document.createElement("article");
    node.className = `message ${role}`;
    node.setAttribute("aria-label", role === "user" ? "You" : "Model");
    const body = document.createElement("div");
    body.className = "text";
    body.textContent = text;
    const meta = document.createElement("div");
    meta.className = "meta";
    node.append(body, meta);
    this.log.append(node);
    this.log.scrollTop = this.log.scrollHeight;
    return { node, body, meta };
  }

  working(on) {
    this.form.querySelector("[type=submit]").disabled = on;
    this.querySelector("[data-stop]").hidden = !on;
    this.log.setAttribute("aria-busy", String(on));
  }

  async send() {
    const text = this.form.elements.message.value.trim();
    if (!text) return;
    this.log.querySelector("[data-welcome]").hidden = true;
    const turn = { role: "user", ...this.content(text) };
    this.history.push(turn);
    const names = turn.files.map((id) => this.form.querySelector(`[value="${CSS.escape(id)}"]`).dataset.name);
    this.add("user", text).meta.textContent = names.join(", ");
    this.form.elements.message.value = "";
    this.abort = new AbortController();
    this.working(true);
    await this.answer();
    this.abort = null;
    this.working(false);
    this.form.elements.message.focus();
  }

  async answer() {
    const shown = this.add("assistant", "");
    const result = { text: "", usage: null, first: null, request: "", startedAt: performance.now() };
    let problem = "";
    try {
      await this.stream(result, shown);
    } catch (error) {
      problem = error.name === "AbortError" ? "Stopped" : error.message;
    }
    this.settle(result, shown, problem);
  }

  async stream(result, shown) {
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...apiHeaders() },
      body: JSON.stringify(this.body()),
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

  settle(result, shown, problem) {
    const total = performance.now() - result.startedAt;
    const parts = [];
    if (result.first !== null) parts.push(`First token ${Math.round(result.first)} ms`);
    parts.push(`total ${Math.round(total)} ms`);
    if (result.usage) parts.push(`${result.usage.prompt_tokens} tokens in, ${result.usage.completion_tokens} out`);
    if (result.request) parts.push(result.request);
    shown.meta.textContent = parts.join(" · ");
    if (problem) {
      const note = document.createElement("p");
      note.className = problem === "Stopped" ? "muted" : "errorlist";
      note.textContent = problem;
      shown.body.after(note);
    }
    // A turn without an answer leaves the history, so that the next attempt starts clean.
    if (result.text) this.history.push({ role: "assistant", content: result.text });
    else this.history.pop();
    this.live.textContent = problem || `Answer complete: ${result.text}`;
  }
}

customElements.define("model-chat", ModelChat);
