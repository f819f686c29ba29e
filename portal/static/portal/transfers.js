// How one file travels: small ones in one request, large ones in parts that survive pauses and reloads.

import { apiHeaders, errorText } from "./app.js";

const PART_BYTES = 16 * 1024 * 1024;
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

function send(address, body, { onProgress, signal, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Stopped());
    const request = new XMLHttpRequest();
    request.open("POST", address);
    for (const [name, value] of Object.entries({ ...apiHeaders(), ...headers })) request.setRequestHeader(name, value);
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

const sendJson = (address, values, options) => send(address, JSON.stringify(values), { ...options, headers: { "Content-Type": "application/json" } });

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
    return send("/v1/files", body, { onProgress, signal: this.abort.signal });
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

  // One part after the other, each begun when the one before it is safe, so that a broken line costs at most one:
  // bytes that have left the browser may still be lost on the way.
  async run() {
    this.abort = new AbortController();
    try {
      this.kept = await this.open();
      this.kept.parts.forEach((id, number) => (this.loaded[number] = id ? this.part(number).size : 0));
      this.report();
      for (const number of this.kept.parts.keys()) await this.sendPart(number);
    } catch (error) {
      this.abort.abort();
      throw error;
    }
    await sendJson(`/v1/uploads/${this.kept.id}/complete`, { part_ids: this.kept.parts }, { signal: this.abort.signal });
    keep(this.mark, null);
  }

  // Goes on with an upload that the server still knows, else begins one.
  async open() {
    const kept = readKept()[this.mark];
    const count = Math.ceil(this.file.size / PART_BYTES);
    const arrived = kept?.parts.length === count && (await this.look(kept.id));
    if (arrived) {
      kept.parts = kept.parts.map((_, number) => arrived.get(number) ?? null);
      keep(this.mark, kept);
      return kept;
    }
    if (kept) await giveUp(this.mark);
    const values = Object.fromEntries(this.fields);
    const asked = { ...values, filename: this.file.name, bytes: this.file.size, mime_type: this.file.type || "application/octet-stream" };
    const upload = await sendJson("/v1/uploads", asked, { signal: this.abort.signal });
    const begun = { id: upload.id, name: this.file.name, expires_at: upload.expires_at, parts: Array(count).fill(null) };
    keep(this.mark, begun);
    return begun;
  }

  // The server says which parts have arrived, those among them whose answer was lost: number to id. Nothing when
  // the upload takes no more.
  async look(id) {
    const response = await fetch(`/v1/uploads/${id}`, { headers: apiHeaders(), signal: this.abort.signal }).catch(() => null);
    if (this.abort.signal.aborted) throw new Stopped();
    if (!response || response.status >= 500) throw new Refused(response?.status ?? 0, "");
    const upload = response.ok ? await response.json() : {};
    if (upload.status !== "pending") return null;
    const whole = upload.parts.filter((part) => part.offset !== null && part.bytes === this.part(part.offset / PART_BYTES).size);
    return new Map(whole.map((part) => [part.offset / PART_BYTES, part.id]));
  }

  part(number) {
    return this.file.slice(number * PART_BYTES, (number + 1) * PART_BYTES);
  }

  async sendPart(number) {
    const { kept } = this;
    const bytes = this.part(number);
    const onProgress = (loaded) => this.report(number, Math.min(loaded, bytes.size));
    const headers = { "Content-Type": "application/octet-stream", "Upload-Offset": number * PART_BYTES };
    const options = { onProgress, signal: this.abort.signal, headers };
    for (let tries = 1; !kept.parts[number]; tries += 1) {
      try {
        const part = await send(`/v1/uploads/${kept.id}/parts`, bytes, options);
        kept.parts[number] = part.id;
        keep(this.mark, kept);
      } catch (error) {
        const isThere = error.status === 409;
        if (error instanceof Stopped || tries >= MOST_TRIES || !(isThere || error.isPassing)) throw error;
        this.report(number, 0);
        await pause(Math.min(500 * 2 ** tries, 15_000), this.abort.signal);
        kept.parts[number] = await this.find(number);
        keep(this.mark, kept);
      }
    }
    this.report(number, bytes.size);
  }

  // The id of a part that arrived although its answer did not.
  async find(number) {
    try {
      return (await this.look(this.kept.id))?.get(number) ?? null;
    } catch (error) {
      if (error instanceof Stopped) throw error;
      return null;
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
