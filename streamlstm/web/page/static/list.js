// The list of streams: only the rows in sight exist, whatever the number of streams.
import { colour, duration, make, sharp, short } from "./parts.js";

const FRESH = 10;  // seconds for which the dot of an alarm beats
const SILENT = 30;  // seconds after which a stream counts as silent
const BEYOND = 6;  // rows asked for above and below those in sight

export class List {
  constructor(place, spacer, count, { ask, select }) {
    Object.assign(this, { place, spacer, count, send: ask, choose: select });
    this.rows = [];
    this.shown = [];
    this.first = 0;
    this.marked = null;
    this.paint();
    let due = 0;
    place.addEventListener("scroll", () => { cancelAnimationFrame(due); due = requestAnimationFrame(() => this.ask()); });
    place.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(row.dataset.stream);
    });
    place.addEventListener("keydown", (event) => { if (event.key === "Enter" && this.marked) this.choose(this.marked); });
    new ResizeObserver(() => this.ask()).observe(place);
  }

  get height() { return innerWidth <= 720 ? 52 : 48; }

  paint() {
    this.ink = colour("soft");
    this.red = colour("alarm");
    if (this.last) this.draw(this.last);
  }

  top() {
    this.place.scrollTop = 0;
    this.ask();
  }

  ask() {
    const first = Math.max(Math.floor(this.place.scrollTop / this.height) - BEYOND, 0);
    this.send(first, Math.min(Math.ceil(this.place.clientHeight / this.height) + 2 * BEYOND, 200));
  }

  draw(found) {
    this.last = found;
    this.first = found.first;
    this.shown = found.rows.map((row) => row.stream);
    this.spacer.style.height = `${found.found * this.height}px`;
    while (this.rows.length < found.rows.length) this.rows.push(this.newRow());
    while (this.rows.length > found.rows.length) this.rows.pop().remove();
    this.rows.forEach((row, n) => this.fill(row, found.rows[n], found.first + n));
    const all = found.streams.toLocaleString("en");
    this.count.textContent = found.found === found.streams
      ? `${all} stream${found.streams === 1 ? "" : "s"}` : `${found.found.toLocaleString("en")} of ${all} streams`;
  }

  newRow() {
    const row = make("div", "row");
    row.setAttribute("role", "option");
    row.append(make("i"), make("span", "id"), make("canvas"), make("span", "value"), make("span", "sub"), make("span", "bar"));
    row.lastChild.append(make("b"));
    this.place.append(row);
    return row;
  }

  fill(row, said, place) {
    row.style.transform = `translateY(${place * this.height}px)`;
    row.dataset.stream = said.stream;
    row.id = `row-${place}`;
    const [, id, canvas, value, sub, bar] = row.children;
    const fresh = said.alarm !== null && said.alarm < FRESH, silent = said.silent > SILENT;
    row.className = `row${fresh ? " alarm" : said.kind ? " standing" : silent ? " silent" : ""}`;
    row.setAttribute("aria-selected", said.stream === this.marked);
    if (said.stream === this.marked) this.place.setAttribute("aria-activedescendant", row.id);
    id.textContent = said.stream.slice(1);
    value.textContent = short(said.value);
    const words = [];
    if (said.kind) words.push(said.kind);
    if (said.alarm !== null) words.push(`${said.kind ? "" : "alarm "}${duration(Math.max(said.alarm, 1))} ago`);
    if (silent) words.push(`silent ${duration(said.silent)}`);
    if (!words.length && said.error !== null) words.push(`error ${short(said.error, 2)}`);
    sub.textContent = words.join(" · ");
    bar.firstChild.style.width = `${Math.min((said.score || 0) * 10, 100)}%`;
    bar.title = said.score === null ? "" : `score ${short(said.score, 3)}`;
    this.spark(canvas, said.line, fresh || said.kind ? this.red : this.ink);
  }

  spark(canvas, line, ink) {
    const width = 84, height = 30, context = sharp(canvas, width, height);
    const known = line.filter((value) => value !== null);
    if (known.length < 2) return;
    const low = Math.min(...known), range = Math.max(...known) - low || 1;
    context.strokeStyle = ink;
    context.lineWidth = 1.25;
    context.lineJoin = "round";
    context.beginPath();
    let down = false;
    line.forEach((value, n) => {
      if (value === null) { down = false; return; }
      const x = width - 1 - (line.length - 1 - n) * (width - 2) / 47;
      const y = height - 3 - (value - low) / range * (height - 6);
      if (down) context.lineTo(x, y); else context.moveTo(x, y);
      down = true;
    });
    context.stroke();
  }

  mark(stream) {
    this.marked = stream;
    for (const row of this.rows) row.setAttribute("aria-selected", row.dataset.stream === stream);
  }

  step(by) {
    const place = this.shown.indexOf(this.marked);
    const next = this.shown[Math.min(Math.max(place + by, 0), this.shown.length - 1)];
    if (!next) return;
    const at = (this.first + this.shown.indexOf(next)) * this.height;
    if (at < this.place.scrollTop) this.place.scrollTop = at;
    if (at + this.height > this.place.scrollTop + this.place.clientHeight) this.place.scrollTop = at + this.height - this.place.clientHeight;
    this.choose(next);
  }
}
