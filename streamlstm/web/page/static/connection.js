// The WebSocket: opened again whenever it closes; what was wanted last is wanted again.
const AGAIN = [250, 500, 1000, 2000];  // milliseconds

export class Connection {
  constructor(take, changed) {
    this.take = take;
    this.changed = changed;
    this.failures = 0;
  }

  open() {
    const url = new URL("live", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    this.socket = new WebSocket(url);
    this.socket.onopen = () => { this.failures = 0; this.changed(true); };
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = () => {
      this.changed(false);
      setTimeout(() => this.open(), AGAIN[Math.min(this.failures++, AGAIN.length - 1)]);
    };
  }

  send(said) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(said));
  }
}
