// The chart of a stream: value, forecast and interval, and below them the score.
import { colour, make, short } from "./parts.js";

const NAMES = ["time", "value", "forecast", "low", "high", "score", "alarm"];
const MOST = 6000;  // points; of more the server is asked for the whole again, thinned
const LIVE = 60;  // seconds: a last point so near to now is live, and the chart moves with the clock

export class Chart {
  constructor(place, below, now, ask) {
    Object.assign(this, { place, below, now, ask });
    this.clear();
    this.figures = {};
    new ResizeObserver(() => this.fit()).observe(place);
  }

  follow(signal) {
    [, this.input, this.output] = signal || [];
    const rows = [["value", "value", "ink"], ["forecast", "forecast", "accent"], ["between", "interval", "band"], ["score", "score", "score"], ["said", "", ""]];
    this.now.replaceChildren(...rows.map(([name, label, swatch]) => {
      const row = make("div"), term = make("dt", "", label), said = make("dd", "", name === "said" ? "" : "–");
      if (swatch) { const mark = make("i"); mark.style.setProperty("--swatch", `var(--${swatch})`); term.prepend(mark); }
      row.append(term, said);
      this.figures[name] = said;
      return row;
    }));
  }

  clear() {
    this.columns = Object.fromEntries(NAMES.map((name) => [name, []]));
    this.ahead = {};
    this.waits = true;
    this.draw();
  }

  begin(found, span) {
    this.span = span;
    this.waits = false;
    for (const name of NAMES) this.columns[name] = found[name];
    this.ahead = found.ahead;
    this.draw();
  }

  add(points) {
    if (this.waits) return;
    const goesBack = points.time[0] < this.columns.time.at(-1);
    for (const name of NAMES) this.columns[name].push(...points[name]);
    this.ahead = points.ahead;
    if (this.columns.time.length > MOST || goesBack) return this.ask();
    this.draw();
  }

  draw() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => { this.due = 0; this.paintNow(); });
  }

  paintNow() {
    const { time, value, forecast, low, high, score, alarm } = this.columns, ahead = this.ahead;
    const more = ahead.time || [], nothing = more.map(() => null);
    const marks = alarm.map((raised, n) => (raised > 0 ? value[n] ?? forecast[n] : null));
    const x = time.concat(more);
    if (!this.plots) this.build();
    const last = time.at(-1);
    const live = last !== undefined && Math.abs(Date.now() / 1000 - last) < LIVE;
    const first = live ? Math.max(last - this.span, time[0] ?? 0) : time[0];
    const scale = x.length > 1 ? { min: first, max: Math.max(x.at(-1), first + 1) } : null;
    const [main, below] = this.plots;
    main.setData([x, high.concat(ahead.high || nothing), low.concat(ahead.low || nothing),
      forecast.concat(ahead.forecast || nothing), value.concat(nothing), marks.concat(nothing)], false);
    below.setData([x, score.concat(nothing), alarm.map((raised, n) => (raised > 0 ? score[n] : null)).concat(nothing)], false);
    for (const plot of this.plots) plot.setScale("x", scale || { min: Date.now() / 1000 - 60, max: Date.now() / 1000 });
    this.say(time.length - 1);
  }

  say(n) {
    const { value, forecast, low, high, score, alarm } = this.columns, said = this.figures;
    if (!said.value) return;
    said.value.textContent = short(value[n], 5);
    said.forecast.textContent = short(forecast[n], 5);
    said.between.textContent = low[n] == null && high[n] == null ? "–" : `${short(low[n])} to ${short(high[n])}`;
    said.score.textContent = short(score[n], 3);
    said.said.textContent = alarm[n] > 0 ? "alarm" : "";
    said.said.className = alarm[n] > 0 ? "alarm" : "";
  }

  paint() {
    for (const plot of this.plots || []) plot.destroy();
    this.plots = null;
    this.draw();
  }

  fit() {
    const [main, below] = this.plots || [];
    main?.setSize(size(this.place));
    below?.setSize(size(this.below));
  }

  build() {
    const ink = colour("ink"), soft = colour("faint"), line = colour("line");
    const font = '11px system-ui, "DejaVu Sans", sans-serif';
    const axis = { stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const sync = { key: "stream" };
    const common = { legend: { show: false }, padding: [8, 10, 6, 0] };
    const looked = (plot) => this.say(plot.cursor.idx == null ? this.columns.time.length - 1 : Math.min(plot.cursor.idx, this.columns.time.length - 1));
    const marks = { stroke: colour("alarm"), paths: () => null, points: { show: true, size: 9, fill: colour("alarm"), stroke: colour("panel"), width: 1.5 } };
    const main = new uPlot({
      ...common, ...size(this.place),
      cursor: { sync, points: { size: 7 }, drag: { x: false, y: false } },
      hooks: { setCursor: [looked] },
      scales: { x: { time: true }, y: { range: (_, low, high) => spread(low, high) } },
      axes: [{ ...axis, space: 62, size: 26, values: clock }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => short(tick)) }],
      series: [{},
        { stroke: "transparent" }, { stroke: "transparent" },
        { stroke: colour("accent"), width: 1.5 }, { stroke: ink, width: 1.5 }, marks],
      bands: [{ series: [1, 2], fill: colour("band") }],
    }, [[]], this.place);
    const below = new uPlot({
      ...common, ...size(this.below),
      cursor: { sync, y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high || 0, 5)] } },
      axes: [{ ...axis, space: 62, size: 0, values: () => [] }, { ...axis, size: 58, space: 26 }],
      series: [{}, { stroke: colour("score"), width: 1.25, fill: colour("alarm-soft") }, marks],
    }, [[]], this.below);
    this.plots = [main, below];
  }
}

// Times of day; with the date where the chart is of days.
function clock(_, ticks, __, ___, step) {
  const form = step >= 86400 ? { month: "short", day: "numeric" } : step >= 60 ? { hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return ticks.map((tick) => new Date(tick * 1000).toLocaleString("en-GB", form));
}

function size(place) {
  return { width: Math.max(place.clientWidth, 80), height: Math.max(place.clientHeight, 60) };
}

function spread(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}
