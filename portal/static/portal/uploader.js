// <file-uploader>: drop files anywhere on the page; one card per upload with progress, Pause and Cancel.

// Comes along when there is something to send.
const transfers = () => import("./transfers.js");

const PARALLEL = 2;
const UNITS = ["B", "KB", "MB", "GB", "TB"];

function formatBytes(count) {
  let unit = 0;
  while (count >= 1000 && unit < UNITS.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
}

function formatSeconds(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function mayBeInterrupted() {
  try {
    return (localStorage.getItem("uploads") ?? "{}") !== "{}";
  } catch {
    return false; // Storage may be forbidden.
  }
}

class Meter {
  // Speed over the last few seconds, so that the time left follows the line and not the past.
  constructor(loaded = 0) {
    this.samples = [[performance.now(), loaded]];
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
    this.showInterrupted();
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
    for (const file of files) {
      this.reminders?.get(file.name)?.remove();
      this.waiting.push(this.card(file));
    }
    this.next();
  }

  // A reload forgets the file but not how far it got: choosing it again goes on from there.
  async showInterrupted() {
    this.reminders = new Map();
    if (!mayBeInterrupted()) return;
    const { giveUp, interrupted } = await transfers();
    for (const { mark, name, share } of interrupted()) {
      const node = this.blank(name);
      node.querySelector("progress").value = share;
      node.querySelector(".state").textContent = `Interrupted at ${Math.floor(share * 100)} %. Choose the file again to go on.`;
      node.querySelector("[data-cancel]").addEventListener("click", () => {
        giveUp(mark);
        this.drop({ node });
      });
      this.reminders.set(name, node);
    }
  }

  blank(name) {
    const node = document.getElementById("upload-card").content.firstElementChild.cloneNode(true);
    node.querySelector(".title").textContent = name;
    node.querySelector("progress").setAttribute("aria-label", `Upload of ${name}`);
    this.cards.append(node);
    this.cards.hidden = false;
    return node;
  }

  card(file) {
    const node = this.blank(file.name);
    const card = { file, node, fields: this.fields(), transfer: null, meter: null, isPaused: false, isGone: false };
    node.querySelector("[data-cancel]").addEventListener("click", () => this.cancel(card));
    node.querySelector("[data-retry]").addEventListener("click", () => this.again(card));
    node.querySelector("[data-pause]").addEventListener("click", () => this.pause(card));
    this.show(card, "Waiting");
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
    card.meter = null;
    const { Stopped, transferOf } = await transfers();
    try {
      if (card.file.size > limit) throw new Error(`This file is larger than the limit of ${formatBytes(limit)}.`);
      card.transfer ??= transferOf(card.file, card.fields, (loaded) => this.progress(card, loaded));
      card.node.querySelector("[data-pause]").hidden = !card.transfer.canPause;
      await card.transfer.run();
      this.finish(card);
    } catch (error) {
      if (!(error instanceof Stopped)) this.fail(card, error.message);
      else if (!card.isGone) this.show(card, "Paused");
    } finally {
      this.running -= 1;
      this.next();
    }
  }

  pause(card) {
    card.isPaused = true;
    card.transfer.stop();
    card.node.querySelector("[data-pause]").hidden = true;
    const button = card.node.querySelector("[data-retry]");
    button.hidden = false;
    button.textContent = "Resume";
    button.focus();
  }

  progress(card, loaded) {
    const { file, node } = card;
    if (card.isPaused || card.isGone) return;
    const meter = (card.meter ??= new Meter(loaded));
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
    card.node.querySelector("[data-pause]").hidden = true;
    card.node.querySelector("[data-retry]").hidden = false;
    card.node.querySelector("[data-retry]").textContent = "Try again";
    this.show(card, text);
    this.live.textContent = `${card.file.name} was not uploaded: ${text}`;
  }

  // After a pause or a failure; a large file goes on where it stopped.
  again(card) {
    card.isPaused = false;
    card.node.classList.remove("failed");
    card.node.querySelector("[data-retry]").hidden = true;
    this.show(card, "Waiting");
    this.waiting.push(card);
    this.next();
  }

  cancel(card) {
    const place = this.waiting.indexOf(card);
    if (place >= 0) this.waiting.splice(place, 1);
    card.isGone = true;
    card.transfer?.cancel();
    this.drop(card);
  }

  drop(card) {
    card.node.remove();
    this.cards.hidden = !this.cards.children.length;
  }
}

customElements.define("file-uploader", FileUploader);
