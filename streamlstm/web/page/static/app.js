// The page: what it shows, what it asks for, and who draws which part.
import { Alarms } from "./alarms.js";
import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { Gates } from "./gates.js";
import { Health } from "./health.js";
import { List } from "./list.js";
import { by, segments } from "./parts.js";

const ORDERS = ["alarm", "score", "error", "silence", "name"];
const SPANS = [["1 min", 60], ["10 min", 600], ["1 h", 3600]];
const wanted = { search: "", order: "alarm", stream: null, signal: 0, span: 600 };
let model = null, streams = 0;

const connection = new Connection(take, (open) => {
  health.connected(open);
  if (open) { list.ask(); askChart(); }
});
const health = new Health();
const chart = new Chart(by("chart"), by("scores"), by("now"), askChart);
const gates = new Gates(by("gates"));
const list = new List(by("list"), by("spacer"), by("count"), {
  ask: (first, count) => connection.send({ search: wanted.search, order: wanted.order, first, count }),
  select: (stream) => select(stream, true),
});
const alarms = new Alarms(by("alarm-list"), by("quiet"), by("badge"), (alarm) => {
  select(alarm.stream, true);
  gates.show(alarm, health.noGates);
});

function take(update) {
  if (update.model !== undefined) follow(update.model);
  if (update.problem !== undefined) health.draw(update.health, update.problem, update.no_gates, update.followed);
  if (update.alarms) alarms.add(update.alarms, update.model !== undefined);
  if (update.list) {
    streams = update.list.streams;
    list.draw(update.list);
    if (wanted.stream === null && update.list.rows.length) select(update.list.rows[0].stream, false);
  }
  if (update.chart && update.chart.stream === wanted.stream) chart.begin(update.chart, wanted.span);
  if (update.points) chart.add(update.points);
  by("empty").hidden = streams > 0;
}

function follow(found) {
  model = found;
  chart.clear();
  const signals = model ? model.signals : [], select = by("signal");
  select.replaceChildren(...signals.map(([name], n) => new Option(name, n)));
  select.hidden = signals.length < 2;
  wanted.signal = 0;
  chart.follow(signals[0]);
  askChart();
}

function select(stream, byHand) {
  if (byHand) show("stream");
  if (stream === wanted.stream) return;
  wanted.stream = stream;
  by("name").textContent = stream.slice(1);
  document.title = `${stream.slice(1)} · streamlstm`;
  history.replaceState(null, "", `#${encodeURIComponent(stream)}`);
  list.mark(stream);
  gates.hide();
  askChart();
}

function askChart() {
  const { stream, signal, span } = wanted;
  chart.clear();
  if (stream !== null) connection.send({ stream, signal, span });
}

function show(tab) {
  document.body.dataset.tab = tab;
  for (const button of by("tabs").children) button.setAttribute("aria-current", button.dataset.tab === tab);
  if (tab === "alarms") alarms.seen();
  chart.fit();
  list.ask();
}

const orders = segments(by("orders"), ORDERS.map((order) => [order, order]), wanted.order, (order) => {
  wanted.order = order;
  list.top();
});
const spans = segments(by("spans"), SPANS, wanted.span, (span) => {
  wanted.span = span;
  askChart();
});

by("search").addEventListener("input", (event) => {
  wanted.search = event.target.value;
  list.top();
});
by("signal").addEventListener("change", (event) => {
  wanted.signal = Number(event.target.value);
  chart.follow(model.signals[wanted.signal]);
  askChart();
});
for (const button of by("tabs").children) button.addEventListener("click", () => show(button.dataset.tab));

function turnTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  setTheme(now === "dark" ? "light" : "dark");
}
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  try { if (theme) localStorage.setItem("theme", theme); } catch { /* a browser that keeps nothing */ }
  chart.paint();
  list.paint();
  gates.paint();
}
by("theme").addEventListener("click", turnTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(""));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select");
  if (event.key === "Escape") {
    by("search").value = wanted.search = "";
    event.target.blur?.();
    gates.hide();
    return list.top();
  }
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (event.target.matches("select")) return;
    event.preventDefault();
    return list.step(event.key === "ArrowDown" ? 1 : -1);
  }
  if (typing) return;
  const act = {
    "/": () => { show("streams"); by("search").focus(); },
    j: () => list.step(1),
    k: () => list.step(-1),
    m: () => spans.next(),
    t: turnTheme,
    a: () => alarms.openLast(),
    "?": () => by("help").showModal(),
  }[event.key] || (ORDERS[event.key - 1] && (() => orders.choose(ORDERS[event.key - 1])));
  if (act) { event.preventDefault(); act(); }
});

try { setTheme(localStorage.getItem("theme")); } catch { /* as above */ }
const linked = decodeURIComponent(location.hash.slice(1));
if (/^[ti]./.test(linked)) select(linked, false);
show(document.body.dataset.tab);
connection.open();
