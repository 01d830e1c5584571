// The definitions: files in tabs, the editor, and what is wrong with them.
import { $, element, plural, prose, unseen } from "./dom.js";
import { Editor } from "./editor.js";

/** What the server takes in one question, in bytes; checked before a file is read. */
const SIZE_LIMIT = 2 ** 20;

/** A name that the server takes for a file of definitions. */
function nameFor(name, taken) {
  const clean = name.replace(/[/\\\p{Cc}]/gu, "_").replace(/^[.-]+/, "") || "flags";
  const [, stem, extension = ".yaml"] = /^(.*?)(\.ya?ml|\.json)?$/i.exec(clean);
  const isTaken = (candidate) => taken.some((other) => other.toLowerCase() === candidate.toLowerCase());
  for (let count = 1; ; count++) {
    const candidate = `${stem.slice(0, 70)}${count > 1 ? `-${count}` : ""}${extension}`;
    if (!isTaken(candidate)) return candidate;
  }
}

export class Definitions {
  #files = [];
  #active = 0;
  #problems = [];
  #editor;
  #onChange;

  /** `onChange` is told whenever the definitions are others. */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#editor = new Editor($("editor"), (text) => {
      this.#files[this.#active].text = text;
      this.#showEmpty();
      onChange();
    });
    $("tabs").addEventListener("keydown", (event) => this.#onKey(event));
    addEventListener("keydown", (event) => {
      if (event.key !== "F8" || this.#problems.length === 0) return;
      event.preventDefault();
      this.#goTo(this.#next(event.shiftKey));
    });
    $("add").addEventListener("click", () => {
      this.#files.push({ name: nameFor("untitled.yaml", this.names), text: "" });
      this.#open(this.#files.length - 1);
      $("text").focus();
      onChange();
    });
    $("remove").addEventListener("click", () => {
      if (this.#files.length > 1) this.#files.splice(this.#active, 1);
      else this.#files = [{ name: "flags.yaml", text: "" }];
      this.#problems = [];
      this.#open(Math.min(this.#active, this.#files.length - 1));
      onChange();
    });
  }

  get names() {
    return this.#files.map(({ name }) => name);
  }

  get files() {
    return this.#files.map((file) => ({ ...file }));
  }

  /** Whether there is nothing to check. */
  get isEmpty() {
    return this.#files.every(({ text }) => text.trim() === "");
  }

  /** Replaces all files. */
  replace(files) {
    const taken = [];
    this.#files = files.map(({ name, text }) => {
      taken.push(nameFor(name, taken));
      return { name: taken.at(-1), text };
    });
    this.#problems = [];
    this.#open(0);
    this.#onChange();
  }

  /** Reads files that a person chose or dropped; throws in words for them. */
  static async read(chosen) {
    const size = chosen.reduce((sum, file) => sum + file.size, 0);
    if (size > SIZE_LIMIT) throw new Error(`These are ${plural(size, "byte")}; the playground takes one MiB.`);
    return Promise.all(chosen.map(async (file) => ({ name: file.name, text: await file.text() })));
  }

  /** Shows what is wrong, in place and as a list. */
  show(problems) {
    this.#problems = problems;
    this.#showTabs();
    this.#showActive();
    const several = this.#files.length > 1;
    const rows = problems.map((problem) => {
      const { file, line, column, severity, message, suggestion } = problem;
      const at = `${line}:${column}`;
      const button = element(
        "button",
        { type: "button", className: severity },
        unseen(`${severity === "error" ? "Error" : "Warning"} at `),
        element("span", { className: "at", text: several ? `${file}:${at}` : at }),
        " ",
        element("span", { className: "message" }, ...prose(message)),
      );
      if (suggestion) button.append(element("span", { className: "suggestion" }, ": ", ...prose(suggestion)));
      button.addEventListener("click", () => this.#goTo(problem));
      return element("li", {}, button);
    });
    $("problems").replaceChildren(...rows);
    $("keys").hidden = problems.length === 0;
    const count = (wanted) => problems.filter(({ severity }) => severity === wanted).length;
    const counts = [
      [count("error"), "error"],
      [count("warning"), "warning"],
    ];
    const said = counts.filter(([many]) => many > 0).map(([many, word]) => plural(many, word));
    $("counts").textContent = said.length ? said.join(", ") : "No problems";
    $("counts").dataset.worst = counts[0][0] ? "error" : counts[1][0] ? "warning" : "none";
  }

  /** Says why nothing is known of problems. */
  showUnchecked(why) {
    this.show([]);
    $("counts").textContent = why;
    $("counts").dataset.worst = "unknown";
  }

  /** Shows where a flag is defined; with the caret there, if it is to be edited. */
  reveal(flag, isEdited) {
    // Quoted or not, the key begins a line, or follows a brace.
    const key = flag.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const definition = new RegExp(`^(\\s*(?:.*\\{\\s*)?)(["']?)${key}\\2\\s*:`, "u");
    const places = this.#files.flatMap(({ name, text }) =>
      text.split("\n").flatMap((line, index) => {
        const found = definition.exec(line);
        return found
          ? [{ file: name, line: index + 1, column: [...found[1]].length + 1, indent: line.search(/\S/) }]
          : [];
      }),
    );
    // Steps of rollouts name flags, too, further in.
    const [place] = places.toSorted((a, b) => a.indent - b.indent);
    if (!place) return;
    if (isEdited) this.#goTo(place);
    else {
      this.#open(this.names.indexOf(place.file));
      this.#editor.reveal(place.line);
    }
  }

  #goTo({ file, line, column }) {
    const index = this.names.indexOf(file);
    if (index >= 0 && index !== this.#active) this.#open(index);
    this.#editor.goTo(line, column);
  }

  /** The problem after the caret, or before it, in the order of the tabs; behind the last comes the first. */
  #next(isBackwards) {
    const { line, column } = this.#editor.caret;
    const order = (problem) => [this.names.indexOf(problem.file), problem.line, problem.column];
    const compare = (a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
    const caret = [this.#active, line, column];
    const sorted = this.#problems.toSorted((a, b) => compare(order(a), order(b)));
    return isBackwards
      ? (sorted.findLast((problem) => compare(order(problem), caret) < 0) ?? sorted.at(-1))
      : (sorted.find((problem) => compare(order(problem), caret) > 0) ?? sorted[0]);
  }

  #open(index) {
    this.#active = index;
    const { name, text } = this.#files[index];
    this.#showTabs();
    this.#editor.open(text, `Definitions in ${name}`);
    this.#showActive();
    this.#showEmpty();
  }

  #showActive() {
    const { name } = this.#files[this.#active];
    this.#editor.show(this.#problems.filter(({ file }) => file === name));
  }

  #showEmpty() {
    $("empty").hidden = !this.isEmpty;
  }

  #showTabs() {
    const tabs = this.#files.map(({ name }, index) => {
      const isActive = index === this.#active;
      const tab = element("button", { type: "button", id: `tab-${index}`, role: "tab", text: name });
      tab.ariaSelected = String(isActive);
      tab.tabIndex = isActive ? 0 : -1;
      tab.setAttribute("aria-controls", "editor");
      const errors = this.#problems.filter(({ file, severity }) => file === name && severity === "error").length;
      if (errors > 0)
        tab.append(
          element("span", { className: "count", text: String(errors) }),
          unseen(errors > 1 ? "errors" : "error"),
        );
      tab.addEventListener("click", () => this.#open(index));
      return tab;
    });
    const hadFocus = $("tabs").contains(document.activeElement);
    $("tabs").replaceChildren(...tabs);
    $("editor").setAttribute("aria-labelledby", `tab-${this.#active}`);
    $("remove").setAttribute("aria-label", `Remove ${this.#files[this.#active].name}`);
    if (hadFocus) tabs[this.#active].focus();
    // Not scrollIntoView, which would move the page, too.
    const { offsetLeft, offsetWidth } = tabs[this.#active];
    const { scrollLeft, clientWidth } = $("tabs");
    if (offsetLeft < scrollLeft) $("tabs").scrollLeft = offsetLeft;
    if (offsetLeft + offsetWidth > scrollLeft + clientWidth)
      $("tabs").scrollLeft = offsetLeft + offsetWidth - clientWidth;
  }

  #onKey(event) {
    const last = this.#files.length - 1;
    const to = { ArrowLeft: this.#active - 1, ArrowRight: this.#active + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    this.#open((to + last + 1) % (last + 1));
    event.preventDefault();
  }
}
