// How the workers are: the dot and the tiles above, and a line for each worker of a fleet.
import { by, duration, make, short } from "./parts.js";

const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(1)} %`);

export class Health {
  connected(open) {
    if (!open) this.state("bad", "the page's server does not answer");
    this.open = open;
  }

  state(how, words) {
    by("state").className = how;
    by("state").lastChild.textContent = words;
    by("state").title = words;
  }

  draw(health, problem, noGates, followed) {
    this.noGates = noGates;
    if (problem || !health) this.state("bad", problem || "waiting for a worker");
    else this.state("good", health.workers.length > 1 ? `${health.workers.length} workers` : "live");
    if (!health) { by("workers").replaceChildren(); return; }
    const tiles = [
      ["streams", health.streams.toLocaleString("en"), ""],
      ["points / s", health.steps == null ? "–" : Math.round(health.steps).toLocaleString("en"), ""],
      ["p99 reply", duration(health.p99), ""],
      ["alarms", health.alarms.toLocaleString("en"), ""],
      ["in interval", percent(health.coverage), "less"],
      ["error / naive", short(health.error_ratio, 2), "less"],
    ];
    by("tiles").replaceChildren(...tiles.map(([name, value, how]) => {
      const tile = make("div", how);
      tile.append(make("dt", "", name), make("dd", "", value));
      return tile;
    }));
    by("workers").replaceChildren(...health.workers.map(line), gates(followed, noGates));
  }
}

// Of how many streams the gates at an alarm would be known.
function gates(followed, why) {
  const place = make("div", "worker");
  const said = followed == null ? why || "not yet" : `of ${followed.toLocaleString("en")} stream${followed === 1 ? "" : "s"}`;
  place.append(make("b", "", "gates"), make("span", why ? "why" : "", said));
  return place;
}

function line(worker) {
  const place = make("div", "worker");
  place.append(make("b", "", worker.name ? `worker ${worker.name}` : `worker, process ${worker.pid}`), make("span", "", `up ${duration(worker.uptime)}`));
  const rate = worker.steps == null ? "–" : Math.round(worker.steps).toLocaleString("en");
  place.append(make("span", "", `${rate}/s · p99 ${duration(worker.p99)} · CPU ${worker.cpu == null ? "–" : percent(worker.cpu)}`));
  place.append(make("span", "", `${(worker.memory / 2 ** 20).toFixed(0)} MiB`));
  const wrong = [];
  if (worker.busy > 0) wrong.push(`busy ${short(worker.busy, 2)}/s`);
  if (worker.errors > 0) wrong.push(`${short(worker.errors, 2)} refused/s`);
  if (worker.overflows > 0) wrong.push(`a subscriber's queue was full ${worker.overflows} times`);
  if (worker.store_error) wrong.push(`store: ${worker.store_error}`);
  if (wrong.length) place.append(make("span", "bad", wrong.join(" · ")));
  return place;
}
