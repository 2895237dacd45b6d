// The gates of each layer at the moment of an alarm: a strip of units for each.
import { sentence } from "./alarms.js";
import { make, short } from "./parts.js";

const GATED = /gate$/;  // between 0 and 1; all else is signed

export class Gates {
  constructor(place) {
    this.place = place;
    this.strips = [];
  }

  hide() {
    this.place.hidden = true;
    this.alarm = null;
  }

  async show(alarm, why) {
    this.alarm = alarm;
    const head = make("div", "head"), close = make("button", "", "×");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => this.hide());
    head.append(make("h2", "", "Gates at the alarm"), make("span", "kind", alarm.kind || "alarm"), close);
    const p = alarm.p_value == null ? "" : `; so unusual ${alarm.p_value >= 1e-4 ? `once in ${Math.round(1 / alarm.p_value).toLocaleString("en")} rows` : "less than once in 10,000 rows"}`;
    const said = make("p", "said", `${new Date(alarm.arrived * 1000).toLocaleString("en-GB")}: ${sentence(alarm)}${p}.`);
    this.place.replaceChildren(head, said);
    this.place.hidden = false;
    this.strips = [];
    if (!alarm.has_gates) {
      this.place.append(make("p", "", why || "Its state was not known here yet: gates of streams are followed from some moments after their first observation."));
      return;
    }
    const answer = await fetch(`alarms/${alarm.number}`);
    const found = await answer.json();
    if (this.alarm !== alarm) return;
    if (!answer.ok) { this.place.append(make("p", "", found.title)); return; }
    for (const layer of found.layers) this.place.append(this.layer(layer));
    const scale = make("p", "scale");
    scale.innerHTML = '<span class="gated">0<i></i>1: shut, open</span><span class="signed">below 0<i></i>above</span>';
    this.place.append(scale);
    this.paint();
    this.place.scrollIntoView({ block: "nearest" });
  }

  layer({ layer, kind, values }) {
    const part = make("div"), names = Object.keys(values);
    part.append(make("h3", "", `Layer ${layer}: ${kind.toUpperCase()}, ${values[names[0]].length} units`));
    const order = values[names[0]].map((_, n) => n);
    const by = values.forget_gate || values.update_gate || values[names[0]];
    order.sort((a, b) => by[a] - by[b]);
    for (const name of names) part.append(this.strip(name, values[name], order));
    return part;
  }

  strip(name, values, order) {
    const row = make("div", "gate"), canvas = make("canvas"), mean = make("output");
    canvas.width = values.length;
    canvas.height = 1;
    const gated = GATED.test(name);
    const size = gated ? values.reduce((a, b) => a + b, 0) : values.reduce((a, b) => a + Math.abs(b), 0);
    const usual = short(size / values.length, 2);
    mean.textContent = usual;
    mean.title = gated ? "mean of the units" : "mean size of the units";
    canvas.addEventListener("pointermove", (event) => {
      const n = order[Math.min(Math.floor(event.offsetX / canvas.clientWidth * values.length), values.length - 1)];
      mean.textContent = `#${n} ${short(values[n], 2)}`;
    });
    canvas.addEventListener("pointerleave", () => { mean.textContent = usual; });
    row.append(make("span", "", name.replace("_", " ")), canvas, mean);
    this.strips.push({ canvas, values, order, gated });
    return row;
  }

  paint() {
    for (const { canvas, values, order, gated } of this.strips) {
      const context = canvas.getContext("2d"), picture = context.createImageData(values.length, 1);
      const most = gated ? 1 : Math.max(...values.map(Math.abs), 1);
      order.forEach((unit, n) => picture.data.set([...(gated ? warm(values[unit]) : signed(values[unit] / most)), 255], 4 * n));
      context.putImageData(picture, 0, 0);
    }
  }
}

const mix = (a, b, part) => a.map((value, n) => Math.round(value + (b[n] - value) * part));
const warm = (share) => (share < 0.5 ? mix([30, 60, 140], [70, 130, 140], 2 * share) : mix([70, 130, 140], [250, 220, 60], 2 * share - 1));
const signed = (value) => mix([128, 136, 150], value < 0 ? [45, 100, 200] : [210, 50, 50], Math.min(Math.abs(value), 1));
