// Small parts that several files use.
export const by = (id) => document.getElementById(id);

export function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A row of buttons of which one holds.
export function segments(place, choices, now, chosen) {
  const buttons = choices.map(([label, value]) => {
    const button = make("button", "", label);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.addEventListener("click", () => choose(value));
    return button;
  });
  place.replaceChildren(...buttons);
  const mark = () => buttons.forEach((button, n) => {
    const holds = choices[n][1] === now;
    button.setAttribute("aria-checked", holds);
    button.tabIndex = holds ? 0 : -1;
  });
  function choose(value) {
    now = value;
    mark();
    chosen(value);
  }
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const n = (choices.findIndex(([, value]) => value === now) + step + choices.length) % choices.length;
    choose(choices[n][1]);
    buttons[n].focus();
  });
  mark();
  const next = () => choose(choices[(choices.findIndex(([, v]) => v === now) + 1) % choices.length][1]);
  return { choose, next };
}

// Colours of the theme as a canvas takes them: the style sheet has them as light-dark(...).
export function colour(name) {
  const probe = by("top");
  const before = probe.style.borderTopColor;
  probe.style.borderTopColor = `var(--${name})`;
  const found = getComputedStyle(probe).borderTopColor;
  probe.style.borderTopColor = before;
  return found;
}

export function short(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 && size < 1e15) return Math.round(value).toLocaleString("en");
  if (size !== 0 && (size >= 1e15 || size < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(size >= 1000 ? Math.ceil(Math.log10(size)) + 1 : digits)));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return `${(seconds / 3600).toFixed(0)} h`;
}

export function sharp(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
