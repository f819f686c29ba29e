// What must stand before the first paint: the chosen theme (without a choice the system decides), and quiet ends of
// the transitions between pages.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; then the system's theme stands.
  }
})();

// A page that is left or comes back in mid-transition shows all the same, and is no failure to be told of.
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof DOMException && event.reason.message.startsWith("Transition was ")) event.preventDefault();
});
