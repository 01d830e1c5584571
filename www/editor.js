// An editor of one text: a plain textarea, with numbers, colours and problems drawn behind and beside it. Only the lines in
// sight are drawn, so that its speed does not depend on the length of the text.
import { element } from "./dom.js";

/** From here on a line is shown without colours: drawing it at each key would be felt. */
const LONG_LINE = 2000;

/** YAML as well as JSON, a line at a time: comment, key, string, number or word of the language. */
const TOKEN =
  /(?<comment>(?<=^|\s)#.*)|(?<key>(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w.$/-]+)(?=\s*:(?:\s|$)))|(?<string>(?<=^|[\s,:{[])(?:"(?:[^"\\]|\\.)*"?|'[^']*'?))|(?<literal>(?<![\w.$/-])(?:true|false|null|-?\d+(?:\.\d+)?)(?![\w.$/-]))/g;

/** What of a line a problem is about, from where it begins. */
const SUBJECT = /"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,:{}[\]"']+|[^]/uy;

/** A line of text as pieces `[from, to, class]`, without gaps. */
function pieces(line, marks) {
  const styled = [];
  let end = 0;
  for (const match of line.matchAll(TOKEN)) {
    const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
    if (match.index > end) styled.push([end, match.index, ""]);
    styled.push([match.index, (end = match.index + match[0].length), kind]);
  }
  if (end < line.length) styled.push([end, line.length, ""]);
  for (const { from, to, severity } of marks) {
    const cut = styled.flatMap(([start, stop, kind]) => {
      const [inner, outer] = [Math.max(start, from), Math.min(stop, to)];
      if (inner >= outer) return [[start, stop, kind]];
      const parts = [
        [start, inner, kind],
        [inner, outer, `${kind} mark ${severity}`],
        [outer, stop, kind],
      ];
      return parts.filter(([start, stop]) => start < stop);
    });
    styled.splice(0, styled.length, ...cut);
  }
  return styled;
}

export class Editor {
  #area;
  #numbers;
  #layer;
  #lines = [""];
  #problems = [];

  /** `root` holds the textarea. */
  constructor(root, onInput) {
    this.#area = root.querySelector("textarea");
    this.#numbers = element("div", { className: "numbers", ariaHidden: "true" });
    this.#layer = element("div", { className: "layer", ariaHidden: "true" });
    root.prepend(this.#numbers, this.#layer);
    this.#area.addEventListener("input", () => {
      this.#read();
      onInput(this.#area.value);
    });
    this.#area.addEventListener("scroll", () => this.#draw());
    this.#area.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#draw()).observe(this.#area);
    matchMedia("(pointer: coarse)").addEventListener("change", () => this.#draw());
  }

  /** Shows another text. */
  open(text, label) {
    this.#area.setAttribute("aria-label", label);
    if (this.#area.value !== text) this.#area.value = text;
    this.#area.scrollTo(0, 0);
    this.#read();
  }

  /** Shows problems where they are: `{line, column, severity, message}`, counted from 1, columns in characters. */
  show(problems) {
    this.#problems = problems.map((problem) => {
      const line = this.#lines[problem.line - 1] ?? "";
      const from = [...line].slice(0, problem.column - 1).join("").length;
      SUBJECT.lastIndex = from;
      return { ...problem, from, to: from + (SUBJECT.exec(line)?.[0].length ?? 0) };
    });
    const hasErrors = problems.some(({ severity }) => severity === "error");
    this.#area.setAttribute("aria-invalid", String(hasErrors));
    this.#draw();
  }

  /** Brings a line into sight. */
  reveal(line) {
    const { lineHeight, clientHeight } = this.#metrics();
    const top = (line - 1) * lineHeight;
    const isInSight = top >= this.#area.scrollTop && top < this.#area.scrollTop + clientHeight - 2 * lineHeight;
    if (!isInSight) this.#area.scrollTop = top - clientHeight / 3;
    this.#draw();
  }

  /** Puts the caret to a line and a column. */
  goTo(line, column) {
    const before = this.#lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, 0);
    const inside = [...(this.#lines[line - 1] ?? "")].slice(0, column - 1).join("").length;
    this.#area.focus({ preventScroll: true });
    this.#area.setSelectionRange(before + inside, before + inside);
    this.#area.scrollLeft = 0;
    this.#area.scrollIntoView({ block: "nearest" });
    this.reveal(line);
  }

  /** Where the caret is, as problems say it. */
  get caret() {
    const before = this.#area.value.slice(0, this.#area.selectionStart).split("\n");
    return { line: before.length, column: [...before.at(-1)].length + 1 };
  }

  #metrics() {
    const { lineHeight } = getComputedStyle(this.#area);
    return { lineHeight: parseFloat(lineHeight), clientHeight: this.#area.clientHeight };
  }

  #read() {
    this.#lines = this.#area.value.split("\n");
    this.#draw();
  }

  #draw() {
    const { lineHeight, clientHeight } = this.#metrics();
    if (!clientHeight) return;
    const { scrollTop, scrollLeft } = this.#area;
    const first = Math.max(0, Math.floor(scrollTop / lineHeight) - 1);
    const last = Math.min(this.#lines.length, first + Math.ceil(clientHeight / lineHeight) + 3);
    const [numbers, texts] = [[], []];
    for (let index = first; index < last; index++) {
      const here = this.#problems.filter(({ line }) => line === index + 1);
      const worst = here.find(({ severity }) => severity === "error") ?? here[0];
      const number = element("div", { text: String(index + 1), className: worst?.severity ?? "" });
      if (worst) {
        number.title = worst.message;
        number.addEventListener("click", () => this.goTo(worst.line, worst.column));
      }
      numbers.push(number);
      texts.push(this.#drawn(this.#lines[index], here, worst));
    }
    const shift = first * lineHeight - scrollTop;
    this.#numbers.replaceChildren(...numbers);
    this.#numbers.style.translate = `0 ${shift}px`;
    this.#layer.replaceChildren(...texts);
    this.#layer.style.translate = `${-scrollLeft}px ${shift}px`;
    // Everything that a digit's width decides hangs on this.
    this.#area.parentElement.style.setProperty("--digits", String(Math.max(2, String(this.#lines.length).length)));
  }

  #drawn(line, problems, worst) {
    const shown =
      line.length > LONG_LINE
        ? [line]
        : pieces(line, problems).map(([from, to, className]) =>
            className ? element("span", { className, text: line.slice(from, to) }) : line.slice(from, to),
          );
    const row = element("div", { className: worst ? `line ${worst.severity}` : "line" }, ...shown);
    // A problem at the end of a line has no character to stand under.
    if (problems.some(({ from }) => from >= line.length))
      row.append(element("span", { className: `mark ${worst.severity}`, text: " " }));
    if (worst) row.append(element("span", { className: `lens ${worst.severity}`, text: worst.message }));
    return row;
  }

  /** A new line begins as deep as the one before. */
  #onKey(event) {
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey && !event.isComposing;
    if (event.key !== "Enter" || !isPlain) return;
    const before = this.#area.value.slice(0, this.#area.selectionStart);
    const indent = /^ */.exec(before.slice(before.lastIndexOf("\n") + 1))[0];
    // The one way to insert text that undo knows of.
    if (indent && document.execCommand("insertText", false, `\n${indent}`)) event.preventDefault();
  }
}
