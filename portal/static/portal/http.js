// How the page talks to the public API as the signed-in person.

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

const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function formatBytes(count) {
  let unit = 0;
  while (count >= 1000 && unit < UNITS.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${UNITS[unit]}`;
}

export function formatSeconds(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
