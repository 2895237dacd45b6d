// The list of alarms, the newest first.
import { make, short } from "./parts.js";

const KEPT = 500;

export class Alarms {
  constructor(place, quiet, badge, open) {
    Object.assign(this, { place, quiet, badge, open });
    this.unseen = 0;
    this.list = [];
  }

  add(found, anew) {
    if (anew) { this.place.replaceChildren(); this.list = []; }
    const arrived = Date.now() / 1000;
    const items = found.map((alarm) => this.item(alarm, !anew && arrived - alarm.arrived < 5));
    this.place.prepend(...items);
    this.list = found.concat(this.list).slice(0, KEPT);
    while (this.place.children.length > KEPT) this.place.lastChild.remove();
    this.quiet.hidden = this.list.length > 0;
    if (!anew && document.body.dataset.tab !== "alarms") this.unseen += found.length;
    this.mark();
  }

  seen() {
    this.unseen = 0;
    this.mark();
  }

  mark() {
    this.badge.hidden = !this.unseen;
    this.badge.textContent = this.unseen > 99 ? "99+" : this.unseen;
  }

  openLast() {
    this.place.querySelector("button")?.click();
  }

  item(alarm, isNew) {
    const item = make("li", isNew ? "new" : ""), button = make("button"), first = make("div", "first");
    button.type = "button";
    const when = new Date(alarm.arrived * 1000), time = make("time", "", when.toLocaleTimeString("en-GB"));
    time.dateTime = when.toISOString();
    first.append(make("span", "kind", alarm.kind || "alarm"), make("span", "id", alarm.stream.slice(1)), time);
    button.append(first, make("p", "", sentence(alarm)));
    button.addEventListener("click", () => {
      for (const other of this.place.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
      button.setAttribute("aria-pressed", "true");
      this.open(alarm);
    });
    item.append(button);
    return item;
  }
}

// What came and what had been expected, of the signal that was furthest off.
export function sentence(alarm) {
  const off = ({ value, Y, low, high }) => (value == null || Y == null ? -1 : Math.abs(value - Y) / ((high - low) || 1));
  const signal = [...alarm.signals].sort((a, b) => off(b) - off(a))[0];
  if (!signal || signal.value == null) return `score ${short(alarm.score, 3)}`;
  const name = alarm.signals.length > 1 ? `${signal.name} ` : "";
  if (signal.Y == null) return `${name}came ${short(signal.value)}`;
  const expected = signal.low == null ? short(signal.Y) : `${short(signal.low)} to ${short(signal.high)}`;
  return `${name}came ${short(signal.value)}, expected ${expected}`;
}
