// <file-uploader>: drop files anywhere on the page; one card per upload with progress and Cancel.

import { apiHeaders, errorText, formatBytes, formatSeconds } from "./http.js";

const PARALLEL = 2;

// The transport: how one file travels. Gives {done, cancel}; `done` settles with the file object or an Error.
function send(file, fields, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", (event) => onProgress(Math.min(event.loaded, file.size)));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(new Error(errorText(request.status, request.responseText)));
    });
    request.addEventListener("error", () => reject(new Error(errorText(0, ""))));
    request.addEventListener("abort", () => reject(new DOMException("Cancelled", "AbortError")));
  });
  // Fields stand before the file, so that the server can refuse before it reads the bytes.
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  body.append("file", file, file.name);
  request.open("POST", "/v1/files");
  for (const [name, value] of Object.entries(apiHeaders())) request.setRequestHeader(name, value);
  request.send(body);
  return { done, cancel: () => request.abort() };
}

class Meter {
  // Speed over the last few seconds, so that the time left follows the line and not the past.
  constructor() {
    this.samples = [[performance.now(), 0]];
  }

  add(loaded) {
    const now = performance.now();
    this.samples.push([now, loaded]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 4000) this.samples.shift();
  }

  get bytesPerSecond() {
    const [[startedAt, first], [endedAt, last]] = [this.samples[0], this.samples.at(-1)];
    return endedAt > startedAt ? ((last - first) / (endedAt - startedAt)) * 1000 : 0;
  }
}

class FileUploader extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form");
    this.input = this.querySelector("input[type=file]");
    this.cards = document.getElementById("uploads");
    this.live = document.getElementById("upload-news");
    this.waiting = [];
    this.running = 0;
    this.depth = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.input.click();
    });
    this.input.addEventListener("change", () => {
      this.add(this.input.files);
      this.input.value = "";
    });
    this.listenForDrops();
    this.restoreTargets();
    addEventListener("beforeunload", (event) => {
      if (this.running) event.preventDefault();
    });
  }

  listenForDrops() {
    const mark = (on) => this.firstElementChild.classList.toggle("over", on);
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragenter", (event) => {
      if (carriesFiles(event) && ++this.depth) mark(true);
    });
    document.addEventListener("dragleave", (event) => {
      if (carriesFiles(event) && --this.depth <= 0) mark((this.depth = 0) > 0);
    });
    document.addEventListener("dragover", (event) => {
      if (carriesFiles(event)) event.preventDefault();
    });
    document.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      mark((this.depth = 0) > 0);
      this.add(event.dataTransfer.files);
    });
  }

  // The last choice of targets is kept in this browser.
  restoreTargets() {
    const boxes = [...this.querySelectorAll("[name=target_model_names]")];
    try {
      const kept = JSON.parse(localStorage.getItem("targets"));
      if (Array.isArray(kept)) for (const box of boxes) box.checked = kept.includes(box.value);
    } catch {
      // Nothing kept, or storage forbidden.
    }
    this.addEventListener("change", () => {
      try {
        localStorage.setItem("targets", JSON.stringify(boxes.filter((box) => box.checked).map((box) => box.value)));
      } catch {
        // Storage may be forbidden.
      }
    });
  }

  fields() {
    const data = new FormData(this.form);
    const targets = data.getAll("target_model_names");
    const fields = [["purpose", data.get("purpose")]];
    if (targets.length) fields.push(["target_model_names", targets.join(",")]);
    return fields;
  }

  add(files) {
    for (const file of files) this.waiting.push(this.card(file));
    this.next();
  }

  card(file) {
    const node = document.getElementById("upload-card").content.firstElementChild.cloneNode(true);
    const card = { file, node, fields: this.fields(), upload: null, meter: null };
    node.querySelector(".title").textContent = file.name;
    node.querySelector("progress").setAttribute("aria-label", `Upload of ${file.name}`);
    node.querySelector("[data-cancel]").addEventListener("click", () => this.cancel(card));
    node.querySelector("[data-retry]").addEventListener("click", () => this.retry(card));
    this.show(card, "Waiting");
    this.cards.append(node);
    this.cards.hidden = false;
    return card;
  }

  show(card, text) {
    card.node.querySelector(".state").textContent = text;
  }

  next() {
    while (this.running < PARALLEL && this.waiting.length) this.start(this.waiting.shift());
  }

  async start(card) {
    const limit = Number(this.dataset.maxBytes);
    this.running += 1;
    card.meter = new Meter();
    try {
      if (card.file.size > limit) throw new Error(`This file is larger than the limit of ${formatBytes(limit)}.`);
      card.upload = send(card.file, card.fields, (loaded) => this.progress(card, loaded));
      await card.upload.done;
      this.finish(card);
    } catch (error) {
      if (error.name === "AbortError") this.drop(card);
      else this.fail(card, error.message);
    } finally {
      this.running -= 1;
      this.next();
    }
  }

  progress(card, loaded) {
    const { file, meter, node } = card;
    meter.add(loaded);
    const share = file.size ? loaded / file.size : 1;
    const bar = node.querySelector("progress");
    bar.value = share;
    if (loaded >= file.size) return this.show(card, "Sent, being stored…");
    const speed = meter.bytesPerSecond;
    const parts = [`${Math.floor(share * 100)} %`, `${formatBytes(loaded)} of ${formatBytes(file.size)}`];
    if (speed > 0) parts.push(`${formatBytes(speed)}/s`, `${formatSeconds((file.size - loaded) / speed)} left`);
    this.show(card, parts.join(" · "));
  }

  finish(card) {
    this.live.textContent = `${card.file.name} is uploaded.`;
    this.drop(card);
    document.body.dispatchEvent(new CustomEvent("uploaded"));
  }

  fail(card, text) {
    card.node.classList.add("failed");
    card.node.querySelector("[data-retry]").hidden = false;
    this.show(card, text);
    this.live.textContent = `${card.file.name} was not uploaded: ${text}`;
  }

  retry(card) {
    card.node.classList.remove("failed");
    card.node.querySelector("[data-retry]").hidden = true;
    card.node.querySelector("progress").value = 0;
    card.fields = this.fields();
    this.show(card, "Waiting");
    this.waiting.push(card);
    this.next();
  }

  cancel(card) {
    const place = this.waiting.indexOf(card);
    if (place >= 0) this.waiting.splice(place, 1);
    if (card.upload && !card.node.classList.contains("failed")) card.upload.cancel();
    else this.drop(card);
  }

  drop(card) {
    card.node.remove();
    this.cards.hidden = !this.cards.children.length;
  }
}

customElements.define("file-uploader", FileUploader);
