// How one file travels: small ones in one request, large ones in parts that survive pauses and reloads.

import { apiHeaders, errorText } from "./app.js";

const PART_BYTES = 16 * 1024 * 1024;
const AT_ONCE = 2;
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

// Uploads that were begun in this browser and how far they got, under what the file is known by.
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
    else if (mark.startsWith(`${document.body.dataset.team}|`)) found.push({ mark, name: value.name, share: value.share ?? 0 });
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
    this.parts = []; // what the server has: {id, offset, bytes}
    this.coming = new Map(); // where a part begins: bytes of it that have left the browser
    this.isCompleted = false;
    this.reached = 0; // the most bytes that the server ever had
  }

  // Bytes that have left the browser may be lost on the way, and of a part that breaks off the server keeps what it
  // has. So after a failure it is asked what is missing, and only that is sent.
  async run() {
    this.abort = new AbortController();
    try {
      await this.open();
      for (this.tries = 0; !this.isCompleted; ) {
        try {
          await this.sendMissing();
          await this.complete();
        } catch (error) {
          await this.recover(error);
        }
      }
    } catch (error) {
      this.abort.abort();
      throw error;
    }
    keep(this.mark, null);
  }

  // Throws what cannot be mended by going on. 409: a part is there already, from another tab or later than it
  // seemed lost, or another tab is putting the parts together.
  async recover(error) {
    if (error instanceof Stopped) throw error;
    const isPassing = error.isPassing || error.status === 409;
    this.tries += 1;
    if (isPassing) await pause(Math.min(250 * 2 ** this.tries, 15_000), this.abort.signal);
    const before = this.reached;
    const isOpen = await this.look(this.id).catch((reason) => {
      if (reason instanceof Stopped) throw reason;
      return true;
    });
    if (this.reached > before) this.tries = 0;
    if (!this.isCompleted && !(isOpen && isPassing && this.tries < MOST_TRIES)) throw error;
  }

  // Goes on with an upload that the server still knows, else begins one.
  async open() {
    const kept = readKept()[this.mark];
    if (kept && (await this.look(kept.id))) {
      Object.assign(this, { id: kept.id, expiresAt: kept.expires_at });
      return this.report();
    }
    if (kept) await giveUp(this.mark);
    const values = Object.fromEntries(this.fields);
    const asked = { ...values, filename: this.file.name, bytes: this.file.size, mime_type: this.file.type || "application/octet-stream" };
    const upload = await sendJson("/v1/uploads", asked, { signal: this.abort.signal });
    Object.assign(this, { id: upload.id, expiresAt: upload.expires_at, parts: [] });
    this.remember();
  }

  // Learns what has arrived. False when the upload takes no more, or holds parts that somebody else put there.
  async look(id) {
    const response = await fetch(`/v1/uploads/${id}`, { headers: apiHeaders(), signal: this.abort.signal }).catch(() => null);
    if (this.abort.signal.aborted) throw new Stopped();
    if (!response || response.status >= 500 || response.status === 429) throw new Refused(response?.status ?? 0, "");
    const upload = response.ok ? await response.json() : {};
    this.isCompleted = upload.status === "completed";
    if (upload.status !== "pending") return this.isCompleted;
    this.parts = upload.parts;
    this.reached = Math.max(this.reached, this.arrived);
    return this.parts.every((part) => part.offset !== null);
  }

  // The ranges that the server does not have, none larger than a part.
  missing() {
    const ranges = [];
    let end = 0;
    for (const { offset, bytes } of [...this.sorted(), { offset: this.file.size, bytes: 0 }]) {
      for (; end < offset; end = ranges.at(-1)[1]) ranges.push([end, Math.min(end + PART_BYTES, offset)]);
      end = offset + bytes;
    }
    return ranges;
  }

  sorted() {
    return [...this.parts].sort((one, other) => one.offset - other.offset);
  }

  // Two at a time, in their order: while the server makes one part safe, the next is on its way.
  async sendMissing() {
    const ranges = this.missing();
    let failure;
    const sendNext = async () => {
      while (ranges.length && !failure) await this.sendPart(...ranges.shift()).catch((error) => (failure ??= error));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sendNext));
    if (failure) throw failure;
  }

  async sendPart(start, end) {
    const onProgress = (loaded) => this.report(start, Math.min(loaded, end - start));
    const headers = { "Content-Type": "application/octet-stream", "Upload-Offset": start };
    try {
      const part = await send(`/v1/uploads/${this.id}/parts`, this.file.slice(start, end), { onProgress, signal: this.abort.signal, headers });
      this.parts.push({ id: part.id, offset: start, bytes: end - start });
      this.reached = Math.max(this.reached, this.arrived);
    } finally {
      this.coming.delete(start);
      this.remember();
      this.report();
    }
  }

  async complete() {
    const ids = this.sorted().map((part) => part.id);
    await sendJson(`/v1/uploads/${this.id}/complete`, { part_ids: ids }, { signal: this.abort.signal });
    this.isCompleted = true;
  }

  get arrived() {
    return this.parts.reduce((sum, part) => sum + part.bytes, 0);
  }

  remember() {
    keep(this.mark, { id: this.id, name: this.file.name, expires_at: this.expiresAt, share: this.arrived / this.file.size });
  }

  report(start, loaded) {
    if (start !== undefined) this.coming.set(start, loaded);
    this.onProgress([...this.coming.values()].reduce((sum, count) => sum + count, this.arrived));
  }

  stop() {
    this.abort?.abort();
  }

  async cancel() {
    this.stop();
    await giveUp(this.mark);
  }
}
