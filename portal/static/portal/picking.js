// Long lists of models: typing narrows them, arrows walk through what is left, what is chosen comes first.
const orders = new WeakMap();

function narrow(picks) {
  const words = picks.querySelector("[data-narrow]").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (node) => words.every((word) => node.textContent.toLowerCase().includes(word));
  for (const list of picks.querySelectorAll(".picker, select")) {
    if (!orders.has(list)) orders.set(list, [...list.children]);
    const all = orders.get(list);
    if (list.matches("select")) {
      const { value } = list;
      list.replaceChildren(...all.filter((option) => !option.value || option.value === value || fits(option)));
      list.value = value;
      continue;
    }
    const isChosen = (option) => option.querySelector("input").checked;
    for (const option of all) option.hidden = !fits(option);
    list.prepend(...all.filter(isChosen), ...all.filter((option) => !isChosen(option)));
    list.scrollTop = 0;
  }
  const none = picks.querySelector("[data-none]");
  if (none) none.hidden = shownIn(picks).length > 0;
}

// The boxes, or the options of the first select, that the typed words leave.
function shownIn(picks) {
  const boxes = [...picks.querySelectorAll(".picker .option:not([hidden]) input")];
  const select = picks.querySelector("select");
  if (!select) return boxes;
  const options = [...select.options].filter((option) => option.value);
  return options.length > 1 ? options.filter((option) => !option.selected) : options;
}

// Enter takes the first that is left.
function pickFirst(picks) {
  const [first] = shownIn(picks);
  if (!first) return;
  if (first.matches("option")) {
    first.selected = true;
    first.parentNode.dispatchEvent(new Event("change", { bubbles: true }));
  } else first.click();
  picks.querySelector("[data-narrow]").select();
}

function walkPicks(event, picks) {
  const field = picks.querySelector("[data-narrow]");
  const isField = event.target === field;
  if (isField && event.key === "Enter") pickFirst(picks);
  else if (isField && event.key === "Escape" && field.value) {
    field.value = "";
    narrow(picks);
  } else if (event.key === "ArrowDown" && isField && picks.querySelector("select")) picks.querySelector("select").focus();
  else {
    const steps = { ArrowDown: 1, ArrowUp: -1, ...(isField ? {} : { ArrowRight: 1, ArrowLeft: -1 }) };
    const boxes = shownIn(picks);
    const place = boxes.indexOf(event.target);
    if (!steps[event.key] || (place < 0 && !isField)) return;
    (boxes[place + steps[event.key]] ?? (place <= 0 ? field : null))?.focus();
  }
  event.preventDefault();
}

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-narrow]")) narrow(event.target.closest("[data-picks]"));
});

document.addEventListener("change", (event) => {
  const counted = event.target.closest("[data-picks]")?.querySelector("[data-picked]");
  const boxes = counted ? [...counted.closest("[data-picks]").querySelectorAll(".picker input")] : [];
  if (boxes.includes(event.target)) counted.textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length} chosen`;
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches("[data-narrow], [data-picks] .picker input")) walkPicks(event, event.target.closest("[data-picks]"));
});

// A list long enough to be narrowed is one stop of the Tab key.
function rove(target) {
  const list = target.closest("[data-picks]:has([data-narrow]) .picker");
  if (list) for (const box of list.querySelectorAll("input")) box.tabIndex = box === target ? 0 : -1;
}

document.addEventListener("focusin", ({ target }) => rove(target));

// What happened until this script was here.
rove(document.activeElement);
if (document.activeElement.matches("[data-narrow]")) narrow(document.activeElement.closest("[data-picks]"));
