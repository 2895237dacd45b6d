// Draws openapi.json as a page on which each request can be tried.
const make = (tag, text = "", className = "") => Object.assign(document.createElement(tag), { textContent: text, className });
const SHOWN = 50;  // events of a listener

const api = await (await fetch("openapi.json")).json();
document.getElementById("about").textContent = `${api.info.description} Version ${api.info.version}.`;
for (const [path, item] of Object.entries(api.paths)) {
  for (const method of ["post", "get", "delete"]) {
    if (item[method]) document.getElementById("requests").append(request(path, method, item[method], item.parameters || []));
  }
}
document.querySelector("details").open = true;

function request(path, method, operation, parameters) {
  const part = make("details"), head = make("summary"), form = make("form"), fields = new Map();
  head.append(make("b", method.toUpperCase()), make("code", path), make("span", operation.summary));
  if (operation.description) form.append(make("p", operation.description));
  for (const parameter of parameters) {
    const field = input(parameter);
    fields.set(parameter, field.querySelector("input, select"));
    form.append(field);
  }
  const body = operation.requestBody && make("textarea");
  if (body) {
    body.value = JSON.stringify(operation.requestBody.content["application/json"].example);
    body.setAttribute("aria-label", "Body");
    form.append(body);
  }
  const answer = make("pre");
  answer.hidden = true;
  form.append(make("button", "Send"), answer);
  let listening = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    listening?.close();
    const url = address(path, fields);
    answer.hidden = false;
    answer.className = "";
    if (operation.responses[200]?.content["text/event-stream"]) {
      listening = listen(url, answer);
      return;
    }
    const options = body ? { body: body.value, headers: { "content-type": "application/json" } } : {};
    const found = await fetch(url, { method: method.toUpperCase(), ...options });
    const text = await found.text();
    answer.className = found.ok ? "good" : "bad";
    answer.textContent = `${found.status} ${found.statusText}\n${pretty(text)}`;
  });
  part.append(head, form);
  return part;
}

function input(parameter) {
  const label = make("label", parameter.name), schema = parameter.schema;
  const choices = schema.enum || (schema.type === "boolean" && ["false", "true"]);
  const field = make(choices ? "select" : "input");
  if (choices) field.append(...choices.map((choice) => new Option(choice)));
  if (parameter.in === "path") { field.required = true; field.value = "pump-7"; }
  label.append(field);
  if (parameter.description) label.append(make("small", parameter.description));
  return label;
}

function address(path, fields) {
  const query = new URLSearchParams();
  for (const [parameter, field] of fields) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
    else if (field.value && field.value !== String(parameter.schema.default)) query.set(parameter.name, field.value);
  }
  return path.slice(1) + (query.size ? `?${query}` : "");
}

function listen(url, answer) {
  const lines = [], source = new EventSource(url);
  answer.textContent = "listening";
  const add = (event) => {
    lines.unshift(`${event.type}  ${event.data}`);
    lines.length = Math.min(lines.length, SHOWN);
    answer.className = "good";
    answer.textContent = lines.join("\n");
  };
  for (const name of ["prediction", "reset", "imported", "forgotten", "evicted"]) source.addEventListener(name, add);
  return source;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 1); } catch { return text; }
}
