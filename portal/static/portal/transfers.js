// How one file travels: small ones in one request, large ones in parts that survive pauses and reloads.

import { apiHeaders, errorText } from "./http.js";

const PART_BYTES = 16 * 1024 * 1024;
const PARALLEL = 3;
const MOST_TRIES = 6;
const KEPT = "uploads";

export class Stopped extends Error {}

class Refused extends Error {
  constructor(status, body) {
    super(errorText(status, body));
    this.status = status;
  }

  // The line, the server or a limit: the same again may work a little later.
  get isPassing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

function send(address, body, { onProgress, signal, type } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Stopped());
    const request = new XMLHttpRequest();
    request.open("POST", address);
    for (const [name, value] of Object.entries(apiHeaders())) request.setRequestHeader(name, value);
    if (type) request.setRequestHeader("Content-Type", type);
    if (onProgress) request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(new Refused(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new Refused(0, "")));
    request.addEventListener("abort", () => reject(new Stopped()));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

const sendJson = (address, values, options) => send(address, JSON.stringify(values), { ...options, type: "application/json" });

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new Stopped());
    }, { once: true });
  });
}

// Uploads that were begun in this browser: which parts have arrived, under what the file is known by.
function readKept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function keep(mark, value) {
  const all = readKept();
  if (value) all[mark] = value;
  else delete all[mark];
  try {
    localStorage.setItem(KEPT, JSON.stringify(all));
  } catch {
    // Storage may be forbidden; then an upload does not survive a reload.
  }
}

const markOf = (file) => [document.body.dataset.team, file.name, file.size, file.lastModified].join("|");

// Uploads of this team that a reload or a closed tab has interrupted.
export function interrupted() {
  const now = Date.now() / 1000;
  const found = [];
  for (const [mark, value] of Object.entries(readKept())) {
    if (value.expires_at < now) keep(mark, null);
    else if (mark.startsWith(`${document.body.dataset.team}|`)) found.push({ mark, name: value.name, share: value.parts.filter(Boolean).length / value.parts.length });
  }
  return found;
}

export async function giveUp(mark) {
  const { id } = readKept()[mark] ?? {};
  keep(mark, null);
  if (id) await send(`/v1/uploads/${id}/cancel`, null).catch(() => {});
}

export function transferOf(file, fields, onProgress) {
  return file.size > PART_BYTES ? new InParts(file, fields, onProgress) : new Whole(file, fields, onProgress);
}

class Whole {
  canPause = false;

  constructor(file, fields, onProgress) {
    Object.assign(this, { file, fields, onProgress });
  }

  async run() {
    this.abort = new AbortController();
    // Fields stand before the file, so that the server can refuse before it reads the bytes.
    const body = new FormData();
    for (const [name, value] of this.fields) body.append(name, value);
    body.append("file", this.file, this.file.name);
    const onProgress = (loaded) => this.onProgress(Math.min(loaded, this.file.size));
    await send("/v1/files", body, { onProgress, signal: this.abort.signal });
  }

  stop() {
    this.abort?.abort();
  }

  async cancel() {
    this.stop();
  }
}

class InParts {
  canPause = true;

  constructor(file, fields, onProgress) {
    Object.assign(this, { file, fields, onProgress, mark: markOf(file) });
    this.loaded = [];
  }

  async run() {
    this.abort = new AbortController();
    const kept = await this.open();
    const missing = kept.parts.map((id, number) => (id ? -1 : number)).filter((number) => number >= 0);
    kept.parts.forEach((id, number) => (this.loaded[number] = id ? this.part(number).size : 0));
    this.report();
    const worker = async () => {
      while (missing.length) await this.sendPart(kept, missing.shift());
    };
    try {
      await Promise.all(Array.from({ length: PARALLEL }, worker));
    } catch (error) {
      this.abort.abort();
      throw error;
    }
    await sendJson(`/v1/uploads/${kept.id}/complete`, { part_ids: kept.parts }, { signal: this.abort.signal });
    keep(this.mark, null);
  }

  // Goes on with an upload that the server still knows, else begins one.
  async open() {
    const kept = readKept()[this.mark];
    if (kept) {
      const response = await fetch(`/v1/uploads/${kept.id}`, { headers: apiHeaders() }).catch(() => null);
      if (!response || response.status >= 500) throw new Refused(response?.status ?? 0, "");
      const upload = response.ok ? await response.json() : {};
      if (upload.status === "pending") {
        const there = new Set(upload.parts.map((part) => part.id));
        kept.parts = kept.parts.map((id) => (there.has(id) ? id : null));
        return kept;
      }
      keep(this.mark, null);
    }
    const values = Object.fromEntries(this.fields);
    const asked = { ...values, filename: this.file.name, bytes: this.file.size, mime_type: this.file.type || "application/octet-stream" };
    const upload = await sendJson("/v1/uploads", asked, { signal: this.abort.signal });
    const parts = Array(Math.ceil(this.file.size / PART_BYTES)).fill(null);
    const begun = { id: upload.id, name: this.file.name, expires_at: upload.expires_at, parts };
    keep(this.mark, begun);
    return begun;
  }

  part(number) {
    return this.file.slice(number * PART_BYTES, (number + 1) * PART_BYTES);
  }

  async sendPart(kept, number) {
    const bytes = this.part(number);
    for (let tries = 1; ; tries += 1) {
      const body = new FormData();
      body.append("data", bytes, "part");
      const onProgress = (loaded) => this.report(number, Math.min(loaded, bytes.size));
      try {
        const part = await send(`/v1/uploads/${kept.id}/parts`, body, { onProgress, signal: this.abort.signal });
        kept.parts[number] = part.id;
        keep(this.mark, kept);
        return this.report(number, bytes.size);
      } catch (error) {
        this.report(number, 0);
        if (error instanceof Stopped || !error.isPassing || tries >= MOST_TRIES) throw error;
        await pause(Math.min(500 * 2 ** tries, 15_000), this.abort.signal);
      }
    }
  }

  report(number, loaded) {
    if (number !== undefined) this.loaded[number] = loaded;
    this.onProgress(this.loaded.reduce((sum, count) => sum + count, 0));
  }

  stop() {
    this.abort?.abort();
  }

  async cancel() {
    this.stop();
    await giveUp(this.mark);
  }
}
