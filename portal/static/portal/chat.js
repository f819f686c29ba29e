// <model-chat>: the playground. Streams from the public API; files, tools, two models side by side.

import { apiHeaders, errorText, showInDialog, toast } from "./app.js";
import { check, fill, parameters, shareAddress } from "./asking.js";

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const make = (name, fields = {}, ...inner) => {
  const node = Object.assign(document.createElement(name), fields);
  node.append(...inner);
  return node;
};

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

const partsOf = (message) => (Array.isArray(message.content) ? message.content : [{ type: "text", text: message.content ?? "" }]);
const wordsOf = (message) => partsOf(message).map((part) => part.text ?? "").join("\n").trim();
const filesOf = (message) => partsOf(message).map((part) => part.file?.file_id).filter(Boolean);
// Bytes that stood inline in a kept request are only described, so they cannot be sent again.
const isDescribed = (part) => JSON.stringify(part).includes('"sha256"') && part.type !== "text";

function dollars(cost) {
  if (cost === null) return "price unknown";
  return cost >= 0.01 || cost === 0 ? `$${cost.toFixed(2)}` : `$${cost.toFixed(7).replace(/0+$/, "")}`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

class ModelChat extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.log = this.querySelector(".log");
    this.message = this.form.elements.message;
    this.live = document.getElementById("chat-news");
    this.note = this.querySelector("[data-problems]");
    // One conversation for each model; the second only while two are compared.
    this.offerSecond();
    this.lanes = [this.form.elements.model, this.form.elements.second].map((select) => ({ select, history: [], open: null }));
    this.carried = [];
    this.abort = null;
    this.listen();
    if (this.dataset.seed) this.replay(JSON.parse(this.dataset.seed));
    this.look();
    // Not on a phone, where its keyboard would cover the choice of the model.
    if (matchMedia("(pointer: fine)").matches) this.message.focus({ preventScroll: true });
  }

  // The second list is the first once more, so the page brings it along once.
  offerSecond() {
    const { model, second } = this.form.elements;
    const known = new Set([...second.options].map(({ value }) => value));
    second.append(...[...model.options].filter(({ value }) => !known.has(value)).map(({ text, value }) => new Option(text, value)));
  }

  listen() {
    const on = (mark, act) => this.querySelector(`[data-${mark}]`).addEventListener("click", act);
    on("stop", () => this.abort?.abort());
    on("code", () => this.showCode());
    on("clear", () => this.clear());
    on("share", () => this.share());
    on("wait", () => this.wait());
    on("force", () => this.send(true));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.abort) this.send();
    });
    this.form.addEventListener("keydown", (event) => this.press(event));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.abort && !document.querySelector("dialog[open]")) this.abort.abort();
    });
    this.form.addEventListener("change", (event) => this.changed(event.target));
    this.form.addEventListener("input", ({ target }) => {
      if ("json" in target.dataset) target.setCustomValidity("");
      if (target.name === "schema" && target.value.trim() && !this.form.elements.format.value) this.form.elements.format.value = "json_schema";
    });
    const input = this.querySelector("[data-attach-input]");
    on("attach", () => input.click());
    input.addEventListener("change", () => this.attach([...input.files]).finally(() => (input.value = "")));
    let timer;
    this.querySelector("[data-seek-file]").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.pick(), 250);
    });
  }

  press(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    if (event.target.matches("[data-seek-file]")) return event.preventDefault();
    const withControl = event.ctrlKey || event.metaKey;
    if (!withControl && (event.target !== this.message || event.shiftKey)) return;
    event.preventDefault();
    const tools = event.target.closest(".tools");
    if (tools) tools.querySelector("button")?.click();
    else this.form.requestSubmit();
  }

  changed(field) {
    if (field.name === "second") this.lanes[1].history = [...this.lanes[0].history];
    if (["model", "second", "file"].includes(field.name)) this.look();
  }

  get activeLanes() {
    return this.lanes.filter((lane) => lane.select.value);
  }

  get ticked() {
    return [...this.form.querySelectorAll("[name=file]:checked")].map((box) => box.value);
  }

  // ---- what stands in the way --------------------------------------------------------------

  // Asks what stands in the way of the chosen models and files, and shows it before anything is sent.
  look() {
    const query = new URLSearchParams([...this.activeLanes.map((lane) => ["model", lane.select.value]), ...this.ticked.map((id) => ["file", id])]);
    const asked = fetch(`${this.dataset.check}?${query}`)
      .then((response) => (response.ok ? response.json() : { problems: [] }))
      .catch(() => ({ problems: [] }))
      .then(({ problems }) => {
        if (this.ready === asked) this.showProblems(problems);
        return problems;
      });
    return (this.ready = asked);
  }

  showProblems(problems) {
    this.note.hidden = !problems.length;
    if (!problems.length) this.note.querySelector("[data-anyway]").hidden = true;
    const lines = problems.map(({ text, place }) => make("li", {}, text, ...(place ? [" ", make("a", { className: "link", href: place, textContent: "See" })] : [])));
    this.note.querySelector("ul").replaceChildren(...lines);
    this.note.querySelector("[data-wait]").hidden = !problems.some(({ waits }) => waits);
  }

  ask() {
    this.note.querySelector("[data-anyway]").hidden = false;
    this.note.querySelector("button:not([hidden])").focus();
    this.live.textContent = this.note.querySelector("ul").textContent;
  }

  async wait() {
    this.begin();
    const { signal } = this.abort;
    let problems = await this.look();
    for (let pause = 1000; !signal.aborted && problems.some(({ waits }) => waits); pause = Math.min(pause * 1.5, 5000)) {
      await sleep(pause);
      if (!document.hidden) problems = await this.look();
    }
    this.end();
    if (signal.aborted) return;
    if (problems.length) this.ask();
    else this.send(true);
  }

  // ---- files ---------------------------------------------------------------------------------

  async attach(files) {
    const news = this.querySelector("[data-attach-news]");
    const targets = this.activeLanes.map((lane) => lane.select.value).join(",");
    const added = [];
    const { transferOf } = await import("./transfers.js");
    for (const file of files) {
      const tell = (loaded) => (news.textContent = `${file.name}: ${file.size ? Math.floor((loaded / file.size) * 100) : 100} %`);
      try {
        added.push((await transferOf(file, [["purpose", "user_data"], ["target_model_names", targets]], tell).run()).id);
        news.textContent = `${file.name} is uploaded.`;
      } catch (error) {
        news.textContent = `${file.name}: ${error.message}`;
      }
    }
    if (!added.length) return;
    this.querySelector("[data-seek-file]").value = "";
    await this.pick(added);
    this.look();
  }

  async pick(added = []) {
    const query = new URLSearchParams([["q", this.querySelector("[data-seek-file]").value], ...[...added, ...this.ticked].map((id) => ["file", id])]);
    const response = await fetch(`${this.dataset.files}?${query}`).catch(() => null);
    if (!response?.ok) return;
    const list = make("template");
    list.innerHTML = await response.text();
    document.getElementById("picker").replaceWith(list.content);
  }

  // ---- the request ---------------------------------------------------------------------------

  // Ticked files travel with the first message they are ticked for, later turns keep them in the history.
  turn() {
    const text = this.message.value.trim();
    const known = new Set(this.lanes[0].history.flatMap(filesOf));
    const files = this.ticked.filter((id) => !known.has(id));
    if (!files.length && !this.carried.length) return text ? { role: "user", content: text } : null;
    const parts = [...this.carried, ...files.map((id) => ({ type: "file", file: { file_id: id } }))];
    return text ? { role: "user", content: [{ type: "text", text }, ...parts] } : null;
  }

  body(lane, history = lane.history) {
    const system = this.form.elements.system.value;
    const messages = system.trim() ? [{ role: "system", content: system }, ...history] : history;
    return { model: lane.select.value, messages, ...parameters(this.form), stream: true, stream_options: { include_usage: true } };
  }

  async showCode() {
    if (!check(this.form)) return;
    const { curlOf, pythonOf, scriptOf } = await import("./code.js");
    const [lane] = this.lanes;
    const next = this.turn() ?? (lane.history.at(-1)?.role === "tool" ? null : { role: "user", content: "Hello!" });
    const body = this.body(lane, next ? [...lane.history, next] : lane.history);
    const view = document.getElementById("code-view").content.cloneNode(true);
    view.getElementById("code-curl").textContent = curlOf(this.dataset.base, body);
    view.getElementById("code-openai").textContent = pythonOf(this.dataset.base, body);
    view.getElementById("code-js").textContent = scriptOf(this.dataset.base, body);
    showInDialog(view);
  }

  async share() {
    const address = shareAddress(this.form);
    history.replaceState(null, "", address);
    try {
      await navigator.clipboard.writeText(address);
      toast("Link copied: model, settings and files, nothing that was said.");
    } catch {
      toast("The link stands in the address bar.");
    }
  }

  replay(body) {
    fill(this.form, body);
    const messages = [...(body.messages ?? [])];
    if (["system", "developer"].includes(messages[0]?.role)) this.form.elements.system.value = wordsOf(messages.shift());
    const last = messages.at(-1)?.role === "user" ? messages.pop() : null;
    if (last) {
      this.message.value = wordsOf(last);
      const others = partsOf(last).filter((part) => part.type !== "text" && !this.form.querySelector(`[name=file][value="${CSS.escape(part.file?.file_id ?? "")}"]`));
      this.carried = others.filter((part) => !isDescribed(part));
      const lost = others.length - this.carried.length;
      const said = [this.carried.length && `With it go: ${this.carried.map((part) => part.type).join(", ")}`, lost && `${lost} inline file${lost > 1 ? "s were" : " was"} not kept; attach again`];
      this.querySelector("[data-carried]").textContent = said.filter(Boolean).join(". ");
      this.querySelector("[data-carried]").hidden = !others.length;
    }
    this.lanes[0].history = messages.map((message) => (Array.isArray(message.content) ? { ...message, content: message.content.filter((part) => !isDescribed(part)) } : message));
    this.lanes[1].history = [...this.lanes[0].history];
    for (const message of messages) this.add(message.role === "user" ? "user" : "assistant", wordsOf(message) || JSON.stringify(message.tool_calls ?? ""), this.log, message.role);
    this.log.querySelector("[data-welcome]").hidden = messages.length > 0;
  }

  // ---- the conversation ----------------------------------------------------------------------

  clear() {
    this.abort?.abort();
    for (const lane of this.lanes) Object.assign(lane, { history: [], open: null });
    this.carried = [];
    this.querySelector("[data-carried]").hidden = true;
    for (const message of this.log.querySelectorAll(".message, .answers")) message.remove();
    this.log.querySelector("[data-welcome]").hidden = false;
    this.message.focus();
  }

  add(role, text, box = this.log, name = "Model") {
    const body = make("div", { className: "text", textContent: text });
    const meta = make("div", { className: "meta" });
    const node = make("article", { className: `message ${role}` }, body, meta);
    node.setAttribute("aria-label", role === "user" ? "You" : name);
    box.append(node);
    this.log.scrollTop = this.log.scrollHeight;
    return { node, body, meta, box };
  }

  begin() {
    this.abort = new AbortController();
    this.working(true);
  }

  end() {
    this.abort = null;
    this.working(false);
  }

  working(on) {
    this.form.querySelector("[type=submit]").disabled = on;
    this.querySelector("[data-stop]").hidden = !on;
    this.log.setAttribute("aria-busy", String(on));
  }

  async send(force = false) {
    if (!check(this.form)) return;
    const lanes = this.activeLanes;
    const unanswered = lanes.find((lane) => lane.open);
    if (unanswered) return unanswered.open.querySelector("textarea").focus();
    const turn = this.turn();
    if (!turn && lanes[0].history.at(-1)?.role !== "tool") return this.message.focus();
    if (!force && (await this.ready).length) return this.ask();
    this.note.querySelector("[data-anyway]").hidden = true;
    this.log.querySelector("[data-welcome]").hidden = true;
    if (turn) {
      for (const lane of lanes) lane.history.push(turn);
      const names = filesOf(turn).map((id) => this.form.querySelector(`[value="${CSS.escape(id)}"]`)?.dataset.name ?? id);
      this.add("user", wordsOf(turn)).meta.textContent = names.join(", ");
    }
    this.message.value = "";
    this.carried = [];
    this.querySelector("[data-carried]").hidden = true;
    const boxes = lanes.length > 1 ? this.columns(lanes.length) : [this.log];
    await this.run(lanes, boxes, lanes.length > 1);
  }

  async run(lanes, boxes, isNamed) {
    this.begin();
    await Promise.all(lanes.map((lane, number) => this.answer(lane, boxes[number], isNamed)));
    this.end();
    (lanes.find((lane) => lane.open)?.open.querySelector("textarea") ?? this.message).focus();
  }

  // Two answers stand side by side, each above what follows it.
  columns(count) {
    const columns = Array.from({ length: count }, () => make("div", { className: "lane" }));
    this.log.append(make("div", { className: "answers" }, ...columns));
    return columns;
  }

  async answer(lane, box, isNamed) {
    const name = lane.select.value;
    const shown = this.add("assistant", "", box, isNamed ? name : "Model");
    if (isNamed) shown.node.prepend(make("b", { textContent: name }));
    const result = { text: "", calls: [], usage: null, first: null, request: "", startedAt: performance.now() };
    let problem = "";
    try {
      await this.stream(lane, result, shown);
    } catch (error) {
      problem = error.name === "AbortError" ? "Stopped" : error.message;
    }
    this.settle(lane, result, shown, problem);
  }

  async stream(lane, result, shown) {
    const key = this.form.elements.key?.value;
    const response = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...apiHeaders(), ...(key ? { "X-Portico-Key": key } : {}) },
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
      if (delta.reasoning_content) this.think(result, shown, delta.reasoning_content);
      if (delta.content) this.grow(result, shown, delta.content);
      for (const call of delta.tool_calls ?? []) this.collect(result, call);
    }
    throw new Error("The answer broke off.");
  }

  think(result, shown, text) {
    result.first ??= performance.now() - result.startedAt;
    if (!shown.thought) {
      shown.thought = make("div", { className: "words" });
      shown.node.insertBefore(make("details", { className: "thought" }, make("summary", { textContent: "Thinking" }), shown.thought), shown.body);
    }
    shown.thought.append(text);
  }

  grow(result, shown, text) {
    result.first ??= performance.now() - result.startedAt;
    result.text += text;
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
    shown.body.append(text);
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  collect(result, { index = 0, id, function: said = {}, ...others }) {
    result.first ??= performance.now() - result.startedAt;
    const call = (result.calls[index] ??= { ...others, type: "function", id: "", function: { name: "", arguments: "" } });
    if (id) call.id = id;
    if (said.name) call.function.name = said.name;
    call.function.arguments += said.arguments ?? "";
  }

  settle(lane, result, shown, problem) {
    this.showFigures(result, shown);
    if (problem) shown.body.after(make("p", { className: problem === "Stopped" ? "muted" : "errorlist", textContent: problem }));
    if (result.calls.length && !problem) {
      lane.history.push({ role: "assistant", content: result.text || null, tool_calls: result.calls });
      this.showCalls(lane, result.calls, shown);
    } else if (result.text) lane.history.push({ role: "assistant", content: result.text });
    // A turn without an answer leaves the history, so that the next attempt starts clean.
    else if (lane.history.at(-1)?.role === "user") lane.history.pop();
    const names = result.calls.map((call) => call.function.name).join(", ");
    this.live.textContent = problem || (names ? `The model calls ${names}.` : `Answer complete: ${result.text}`);
    if (problem && problem !== "Stopped") this.look();
  }

  showFigures({ startedAt, first, usage, request }, { meta }) {
    const parts = [];
    if (first !== null) parts.push(`First token ${Math.round(first)} ms`);
    parts.push(`total ${Math.round(performance.now() - startedAt)} ms`);
    if (usage) parts.push(`${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`);
    const cost = make("span");
    meta.append(parts.join(" · "), cost);
    if (!request) return;
    meta.append(" · ", make("a", { className: "link", href: `/requests/${request}/`, textContent: "Details" }));
    if (usage) this.showCost(request, cost);
  }

  // The ledger knows a moment after the answer.
  async showCost(request, place) {
    for (const pause of [400, 600, 1000, 2000]) {
      await sleep(pause);
      const response = await fetch(this.dataset.calls.replace("/0/", `/${request}/`)).catch(() => null);
      const found = response?.ok ? await response.json() : {};
      if (found.is_known) return void (place.textContent = ` · ${dollars(found.cost)}`);
    }
  }

  // ---- tools ---------------------------------------------------------------------------------

  // Whoever asks plays the tool: types what it gives back, and the model goes on.
  showCalls(lane, calls, shown) {
    const box = make("div", { className: "tools" });
    for (const call of calls) {
      const node = document.getElementById("tool-call").content.cloneNode(true);
      node.querySelector("[data-name]").textContent = call.function.name;
      const given = node.querySelector("[data-arguments]");
      given.textContent = pretty(call.function.arguments);
      given.setAttribute("aria-label", `Arguments of ${call.function.name}`);
      const field = node.querySelector("textarea");
      field.dataset.call = call.id;
      field.setAttribute("aria-label", `Result of ${call.function.name}`);
      box.append(node);
    }
    const button = make("button", { type: "button", className: "button small", textContent: calls.length > 1 ? "Send results" : "Send result" });
    button.addEventListener("click", () => this.giveResults(lane, box, shown));
    box.append(button);
    shown.body.after(box);
    lane.open = box;
    this.log.scrollTop = this.log.scrollHeight;
  }

  async giveResults(lane, box, shown) {
    if (this.abort || !check(this.form)) return;
    for (const field of box.querySelectorAll("textarea")) {
      lane.history.push({ role: "tool", tool_call_id: field.dataset.call, content: field.value });
      field.readOnly = true;
    }
    box.querySelector("button").remove();
    lane.open = null;
    await this.run([lane], [shown.box], shown.box !== this.log);
  }
}

customElements.define("model-chat", ModelChat);
