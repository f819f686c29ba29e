// What every page shares: theme switch, copy buttons, dialogs, shortcuts, toasts, polite polling.

const THEMES = ["system", "light", "dark"];

function currentTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // Storage may be forbidden; the choice then lasts for this page.
  }
  labelThemeSwitch();
}

function labelThemeSwitch() {
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    button.hidden = false;
    button.setAttribute("aria-label", `Theme: ${currentTheme()}. Switch`);
    button.title = `Theme: ${currentTheme()}`;
  }
}

export function toast(text) {
  const box = document.querySelector(".toasts");
  const item = document.createElement("div");
  item.className = "toast";
  item.textContent = text;
  box.append(item);
  setTimeout(() => item.remove(), 6000);
}

// How scripts of a page talk to the public API as the signed-in person.
export function apiHeaders() {
  const token = document.cookie.split("; ").find((pair) => pair.startsWith("portico_csrf="))?.split("=")[1] ?? "";
  return { "X-CSRFToken": token, "X-Portico-Team": document.body.dataset.team ?? "" };
}

export function errorText(status, body) {
  try {
    const error = JSON.parse(body).error;
    if (error?.message) return error.message;
  } catch {
    // Not JSON: a proxy on the way answered, and the status has to speak.
  }
  return status ? `The server answered with status ${status}.` : "The connection was lost.";
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source.dataset.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without the right to the clipboard, the text is at least selected.
    getSelection().selectAllChildren(source);
    toast("Press Ctrl C to copy the marked text");
    return;
  }
  const label = button.querySelector("[data-label]") ?? button;
  const before = label.textContent;
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = before), 1500);
}

// One dialog in the page shows whatever a link with hx-target="#dialog-body" fetches.
const dialog = document.getElementById("dialog");
let opener = null;

function openDialog() {
  if (!dialog.open) {
    opener = document.activeElement;
    dialog.showModal();
  }
  const first = dialog.querySelector("[autofocus]") ?? dialog.querySelector("input:not([type=hidden]), select, textarea, .button");
  first?.focus();
  const title = dialog.querySelector("h1, h2");
  if (title) dialog.setAttribute("aria-label", title.textContent.trim());
}

// Shows what a script of ours made, as if it had been fetched.
export function showInDialog(...nodes) {
  document.getElementById("dialog-body").replaceChildren(...nodes);
  openDialog();
}

function closeDialog() {
  dialog.close();
}

dialog?.addEventListener("close", () => {
  const showedSecret = dialog.querySelector("[data-reload]");
  document.getElementById("dialog-body").replaceChildren();
  if (showedSecret) location.reload();
  else if (opener?.isConnected) opener.focus();
});

// Forms that destroy something ask first; without JavaScript they act at once.
const question = document.getElementById("ask");
let asked = null;

function ask(form, submitter) {
  asked = { form, submitter };
  question.querySelector("[data-question]").textContent = form.dataset.confirm;
  question.querySelector("[data-yes]").textContent = form.dataset.confirmLabel ?? "Delete";
  question.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  ask(form, event.submitter);
}, true);

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, a, summary, [data-close]");
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  if (!target) return;
  if (target.dataset.copy) copy(target);
  else if ("themeSwitch" in target.dataset) setTheme(THEMES[(THEMES.indexOf(currentTheme()) + 1) % THEMES.length]);
  else if ("yes" in target.dataset) {
    question.close();
    asked.form.dataset.confirmed = "yes";
    asked.form.requestSubmit(asked.submitter);
    delete asked.form.dataset.confirmed;
  } else if ("no" in target.dataset) question.close();
  else if ("close" in target.dataset) {
    const box = target.closest("dialog, .toast");
    if (box?.tagName === "DIALOG") {
      event.preventDefault();
      closeDialog();
    } else box?.remove();
  }
});

document.addEventListener("change", (event) => {
  if ("submits" in event.target.dataset) event.target.form.requestSubmit();
});

// Lists with a box in each row: one box for all of them, and how many are chosen.
function showChosen(form) {
  const boxes = [...form.querySelectorAll("input[name=id]")];
  const chosen = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-choose-all]");
  if (!all) return;
  all.hidden = false;
  all.firstElementChild.checked = chosen > 0 && chosen === boxes.length;
  all.firstElementChild.indeterminate = chosen > 0 && chosen < boxes.length;
  form.querySelector("[data-chosen]").textContent = chosen ? `${chosen} chosen` : "";
  for (const button of form.querySelectorAll("button[name=job]")) button.disabled = !chosen;
}

function showAllChosen() {
  for (const form of document.querySelectorAll("[data-chooses]")) showChosen(form);
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-chooses]");
  if (!form) return;
  if (event.target.closest("[data-choose-all]")) {
    for (const box of form.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  }
  showChosen(form);
});

// Rows that come anew, as they do while copies are made, stay chosen.
let chosenBefore = [];
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const form = detail.target.querySelector("[data-chooses]");
  if (form) chosenBefore = [...form.querySelectorAll("input[name=id]:checked")].map((box) => box.value);
});
document.addEventListener("htmx:afterSettle", () => {
  for (const box of document.querySelectorAll("[data-chooses] input[name=id]")) box.checked ||= chosenBefore.includes(box.value);
  chosenBefore = [];
  showAllChosen();
});
addEventListener("pageshow", showAllChosen);

// Long lists that can be narrowed bring their script along when somebody comes to one.
document.addEventListener("focusin", ({ target }) => {
  if (target.closest("[data-picks]")) import("./picking.js");
});

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (location.hash === "#side") location.hash = "";
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (!document.querySelector("dialog[open]")) document.querySelector("[data-seek]")?.click();
    return;
  }
  if (event.target.matches("[data-palette], [data-hit]")) walkHits(event);
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "j" || event.key === "k") return walkRows(event.key === "j" ? 1 : -1);
  const isGoing = performance.now() - goingSince < 1200;
  goingSince = event.key === "g" ? performance.now() : -Infinity;
  const wanted = isGoing ? PLACES[event.key] : { "/": "[data-search]", n: "[data-new]", "?": "[data-shortcuts]" }[event.key];
  const element = wanted && document.querySelector(wanted);
  if (!element) return;
  event.preventDefault();
  if (event.key === "/") element.focus();
  else element.click();
});

// After G a letter leads to a page.
const PLACES = { o: ".nav a[href='/']", f: ".nav a[href='/files/']", p: ".nav a[href='/playground/']", r: ".nav a[href='/requests/']", u: ".nav a[href='/usage/']" };
let goingSince = -Infinity;

function walkRows(step) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  const place = rows.indexOf(document.activeElement) + step;
  rows[Math.max(0, Math.min(place, rows.length - 1))]?.focus();
}

// In the palette the arrows walk through what was found; Enter in the field opens the first.
function walkHits(event) {
  const hits = [...document.querySelectorAll("[data-hit]")];
  const place = hits.indexOf(event.target);
  if (event.key === "Enter" && place < 0) {
    event.preventDefault();
    hits[0]?.click();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const next = place + (event.key === "ArrowDown" ? 1 : -1);
    (hits[next] ?? document.querySelector("[data-palette]"))?.focus();
  }
}

// What stands in the address now, not when the page was made: htmx filters lists in place.
document.addEventListener("submit", (event) => {
  if ("keepsQuery" in event.target.dataset) event.target.elements.query.value = location.search;
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-with-query]");
  if (link) link.search = location.search;
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "dialog-body") openDialog();
});

// The server sends the problems of a form alone; the fields they belong to are marked here.
document.addEventListener("htmx:oobAfterSwap", (event) => {
  const { id } = event.detail.target;
  if (!id.endsWith("_errors")) return;
  const field = document.getElementById(id.slice(0, -"_errors".length));
  const problem = document.getElementById(id)?.querySelector(".errorlist");
  if (!field) return;
  if (problem) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  const described = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((name) => name && !name.endsWith("_error"));
  if (problem) described.push(problem.id);
  field.setAttribute("aria-describedby", described.join(" "));
});

// A button that may not be pressed while its answer is under way loses the focus, and gets it back.
const focused = new WeakMap();

document.addEventListener("htmx:beforeRequest", (event) => focused.set(event.detail.xhr, document.activeElement));

document.addEventListener("htmx:afterRequest", (event) => {
  const before = focused.get(event.detail.xhr);
  if (document.activeElement === document.body && before?.isConnected) before.focus({ preventScroll: true });
  if (event.detail.xhr.status === 422) document.querySelector("[aria-invalid=true]")?.focus();
});

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  toast(status === 403 ? "You are not allowed to do that." : `That did not work (status ${status}). Please try again.`);
});

document.addEventListener("htmx:sendError", () => toast("The server did not answer. Check the connection and try again."));

// A hidden tab does not poll; it catches up when it is shown again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("[data-poll]")) event.preventDefault();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("[data-poll]")) window.htmx?.trigger(element, "poll");
});

labelThemeSwitch();
showAllChosen();
