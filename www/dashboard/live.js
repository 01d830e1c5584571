// Keeps the page current: a stream tells of newer versions, and the server's health is asked every so often, more often while
// there is no stream.
import { address, ask, Refused, Unreachable } from "./api.js";

const HEALTH_MS = 10_000;
const POLL_MS = 2_000;
/** A stream that the server refused is asked for again after so long. */
const REFUSED_MS = 15_000;

export class Live {
  #environment;
  #told;
  #stream;
  #streams = false;
  #timer;
  #again;
  /** When the server was last heard of, by this machine's clock. */
  #heard = new Date();

  /** `tell` has `version(number)`, `health(answer)` and `state(name, since)`. */
  constructor(tell) {
    this.#told = tell;
    document.addEventListener("visibilitychange", () => {
      if (!this.#environment) return;
      // A browser opens few connections to one server, and many tabs may be open.
      if (document.hidden) this.#stop();
      else this.#start();
    });
    addEventListener("online", () => this.look());
  }

  follow(environment) {
    this.#stop();
    this.#environment = environment;
    this.#start();
  }

  end() {
    this.#stop();
    this.#environment = undefined;
  }

  #start() {
    this.#open();
    this.look();
  }

  #stop() {
    this.#stream?.close();
    this.#streams = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#again);
  }

  #open() {
    this.#stream?.close();
    const stream = (this.#stream = new EventSource(
      address(`snapshots/${encodeURIComponent(this.#environment)}/stream`),
    ));
    const hears = () => {
      this.#streams = true;
      this.#heard = new Date();
      this.#told.state("live");
    };
    stream.onopen = hears;
    stream.onmessage = ({ data }) => {
      hears();
      this.#told.version(JSON.parse(data).version);
    };
    stream.onerror = () => {
      // Otherwise the browser tries again on its own.
      if (stream.readyState === EventSource.CLOSED) this.#again = setTimeout(() => this.#open(), REFUSED_MS);
      if (this.#streams) {
        this.#streams = false;
        this.look();
      }
    };
  }

  /** Asks how the server is, now and from now on. */
  async look() {
    const environment = this.#environment;
    clearTimeout(this.#timer);
    if (!environment || document.hidden) return;
    try {
      const health = await ask("admin/v1/health");
      if (environment !== this.#environment) return;
      this.#heard = new Date();
      this.#told.state(this.#streams ? "live" : "polling");
      this.#told.health(health);
      const { version } = health.environments[environment] ?? {};
      if (version) this.#told.version(version);
    } catch (error) {
      if (environment !== this.#environment) return;
      if (error instanceof Unreachable) {
        this.#streams = false;
        this.#told.state("lost", this.#heard);
      } else if (!(error instanceof Refused)) throw error;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), this.#streams ? HEALTH_MS : POLL_MS);
  }
}
