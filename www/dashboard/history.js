// Who changed what, when and why: of a flag, or of all; the newest first, page by page.
import { element, newest, plural, quiet } from "../dom.js";
import { ask, environmentPath } from "./api.js";
import { changeList, told } from "./diff.js";
import { since } from "./words.js";

const PAGE = 20;

function entryItem(entry, app, isOfFlag) {
  const changes = told(entry);
  const link = isOfFlag ? undefined : (key) => app.linkTo(key);
  const head = element(
    "p",
    { className: "head" },
    element("span", { className: "version", text: `v${entry.version}` }),
    element("strong", { text: entry.author }),
    since(entry.time),
  );
  const reason = element("blockquote", { text: entry.reason });
  // What many flags begin with would hide what came after.
  const [few, all] = [changes.slice(0, 6), changes.length];
  const item = element("li", { className: "entry" }, head, reason, changeList(few, link, app.rolloutLink));
  if (all > few.length) {
    const more = element("details", {}, element("summary", { text: `${plural(all - few.length, "more change")}` }));
    more.append(changeList(changes.slice(few.length), link, app.rolloutLink));
    item.append(more);
  }
  if (all === 0) {
    const isSame = entry.changes.length + entry.stateChanges.length === 0;
    const text = isSame ? "Signed anew; no definition and no state changed." : "Noted; it was so already.";
    item.append(quiet(text));
  }
  item.dataset.version = String(entry.version);
  return item;
}

export class History {
  #app;
  #flag;
  #entries = [];
  #next = null;
  #list = element("ol", { className: "entries" });
  #more = element("button", { type: "button", text: "Older changes", hidden: true });
  #problem = element("p", { className: "quiet" });
  element = element("div", { className: "history" }, this.#list, this.#problem, this.#more);
  /** Is told the entries that are known. */
  onEntries = () => {};

  constructor(app, flag) {
    this.#app = app;
    this.#flag = flag;
    this.#more.addEventListener("click", () => this.#older());
  }

  #ask(before, signal) {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.#flag !== undefined) query.set("flag", this.#flag);
    if (before !== undefined) query.set("before", String(before));
    return ask(`${environmentPath(this.#app.environment, "history")}?${query}`, { signal });
  }

  /** Takes up what is new. */
  update = newest(async (signal) => {
    try {
      const { entries, next } = await this.#ask(undefined, signal);
      const known = this.#entries[0]?.version ?? 0;
      const added = entries.filter(({ version }) => version > known);
      // Where more was changed than a page holds, what lies between is not known.
      const isGap = added.length === entries.length && next !== null;
      if (isGap || this.#entries.length === 0) {
        this.#entries = entries;
        this.#next = next;
        this.#list.replaceChildren(...entries.map((entry) => this.#item(entry)));
      } else {
        this.#entries.unshift(...added);
        const items = added.map((entry) => this.#item(entry));
        if (known > 0) for (const item of items) item.classList.add("new");
        this.#list.prepend(...items);
      }
      this.#shown();
    } catch (error) {
      signal.throwIfAborted();
      this.#fail(error);
    }
  });

  async #older() {
    this.#more.disabled = true;
    try {
      const { entries, next } = await this.#ask(this.#next);
      this.#entries.push(...entries);
      this.#next = next;
      const items = entries.map((entry) => this.#item(entry));
      this.#list.append(...items);
      this.#shown();
      if (items[0]) {
        items[0].tabIndex = -1;
        items[0].focus();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#more.disabled = false;
  }

  #item(entry) {
    return entryItem(entry, this.#app, this.#flag !== undefined);
  }

  #fail(error) {
    this.#problem.textContent = `The history cannot be read: ${error.message}.`;
  }

  #shown() {
    this.#problem.textContent = this.#entries.length === 0 ? "Nothing was changed yet." : "";
    this.#more.hidden = this.#next === null;
    this.onEntries(this.#entries);
  }
}

/** The view of the whole history. */
export class HistoryView {
  #history;

  constructor(app, main) {
    this.#history = new History(app);
    const heading = element("h2", { text: `History of ${app.environment}`, tabIndex: -1 });
    main.replaceChildren(element("section", { className: "page narrow" }, heading, this.#history.element));
  }

  update() {
    return this.#history.update();
  }
}
