// Tables for terminals, Markdown and a chart, all of the same figures.
import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "bench");

/** A number in three digits, or as many as stand before the point. */
export function count(number) {
  const digits = number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** How far the rounds are from their median, in percent. */
const spread = ({ median, min, max }) => Math.round((100 * Math.max(max - median, median - min)) / median);

/** A cell is a text, a figure of several rounds, or nothing. */
function cell(content, ofFigure) {
  if (content === undefined) return "–";
  return typeof content === "string" ? content : ofFigure(content);
}

const inTerminal = (figure) => `${count(figure.median)} ±${spread(figure)} %`;
const inMarkdown = ({ median, min, max }) => `${count(median)} (${count(min)}–${count(max)})`;

export function showTable({ title, columns, rows }) {
  const texts = [columns, ...rows].map((row) => row.map((content) => cell(content, inTerminal)));
  const widths = columns.map((_, column) => Math.max(...texts.map((row) => row[column].length)));
  console.log(`\n${title}`);
  for (const row of texts) {
    const line = row.map((text, column) => (column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column])));
    console.log(line.join("  ").trimEnd());
  }
}

/** Whether what was aimed for was reached. */
export function goalsTable(title, goals) {
  const rows = goals.map(({ what, wanted, found, isMet }) => [what, wanted, found, isMet ? "met" : "missed"]);
  return { title, columns: ["", "wanted", "found", ""], rows };
}

function markdown({ title, columns, rows }) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const alignment = columns.map((_, column) => (column === 0 ? "---" : "---:"));
  const lines = rows.map((row) => line(row.map((content) => cell(content, inMarkdown))));
  return [`## ${title}`, "", line(columns), line(alignment), ...lines].join("\n");
}

const WIDTH = 920;
const LABELS = 150;
const ROW = 20;
const HEAD = 52;

const STYLE = `
  svg { background: #fff; font: 13px system-ui, sans-serif; }
  text { fill: #1f2328; } .faint { fill: #59636e; } .ours { font-weight: 600; fill: #0b57d0; }
  .grid { stroke: #d1d9e0; } .mark { stroke: #6e7781; fill: #6e7781; } .mark.ours { stroke: #0b57d0; fill: #0b57d0; }
  .range { stroke-width: 2; opacity: 0.5; } .mark.open { fill: #fff; } .mark { stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; } text { fill: #f0f6fc; } .faint { fill: #9198a1; } .ours { fill: #6cb0ff; }
    .grid { stroke: #30363d; } .mark { stroke: #9198a1; fill: #9198a1; } .mark.ours { stroke: #6cb0ff; fill: #6cb0ff; }
    .mark.open { fill: #0d1117; }
  }`;

const escape = (text) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);

/** The decades between which the figures lie. */
function decades(panels) {
  const figures = panels.flatMap(({ rows }) =>
    rows.flatMap(({ marks }) => marks.flatMap(({ figure }) => figure ?? [])),
  );
  const logarithm = (of, values) => Math.log10(of(...values));
  return [
    Math.floor(
      logarithm(
        Math.min,
        figures.map(({ min }) => min),
      ),
    ),
    Math.ceil(
      logarithm(
        Math.max,
        figures.map(({ max }) => max),
      ),
    ),
  ];
}

/** One panel, on a logarithmic scale: a row each, a dot for the median and a line from least to most. */
function panel({ title, unit, rows }, [first, last], top) {
  const bottom = top + HEAD + rows.length * ROW;
  const x = (value) => LABELS + ((Math.log10(value) - first) / (last - first)) * (WIDTH - LABELS - 40);
  const parts = [`<text x="12" y="${top + 18}" font-weight="600">${escape(title)}</text>`];
  for (let decade = first; decade <= last; decade++) {
    const at = x(10 ** decade).toFixed(1);
    const label = `${(10 ** decade).toLocaleString("en", { maximumFractionDigits: 3 })} ${unit}`;
    parts.push(
      `<line class="grid" x1="${at}" x2="${at}" y1="${top + HEAD - 8}" y2="${bottom}"/>`,
      `<text class="faint" x="${at}" y="${top + HEAD - 14}" text-anchor="middle" font-size="11">${label}</text>`,
    );
  }
  rows.forEach(({ name, isOurs, marks }, row) => {
    const middle = top + HEAD + row * ROW + ROW / 2;
    const ours = isOurs ? " ours" : "";
    parts.push(`<text class="${ours}" x="${LABELS - 14}" y="${middle + 4}" text-anchor="end">${escape(name)}</text>`);
    marks.forEach(({ figure }, series) => {
      if (figure === undefined) return;
      const y = middle + (marks.length === 1 ? 0 : series * 7 - 3.5);
      const [least, at, most] = [figure.min, figure.median, figure.max].map((value) => x(value).toFixed(1));
      const open = series === 0 ? "" : " open";
      parts.push(
        `<line class="mark range${ours}" x1="${least}" x2="${most}" y1="${y}" y2="${y}"/>`,
        `<circle class="mark${ours}${open}" cx="${at}" cy="${y}" r="3.5"/>`,
      );
    });
  });
  return { parts, bottom };
}

function chart({ title, note, panels }) {
  const series = panels[0].rows[0].marks.map(({ series }) => series);
  const legend = series.map((name, index) => {
    const at = LABELS + index * 110;
    const open = index === 0 ? "" : " open";
    return `<circle class="mark${open}" cx="${at}" cy="44" r="3.5"/><text class="faint" x="${at + 10}" y="48">${escape(name)}</text>`;
  });
  const parts = [
    `<text x="12" y="24" font-size="17" font-weight="600">${escape(title)}</text>`,
    ...(series.length > 1 ? legend : []),
  ];
  let height = series.length > 1 ? 56 : 34;
  for (const one of panels) {
    // One scale for what has one unit.
    const scale = decades(panels.filter(({ unit }) => unit === one.unit));
    const { parts: more, bottom } = panel(one, scale, height);
    parts.push(...more);
    height = bottom + 14;
  }
  parts.push(`<text class="faint" x="12" y="${height + 14}" font-size="11">${escape(note)}</text>`);
  height += 30;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escape(title)}</title><style>${STYLE}</style>`,
    ...parts,
    "</svg>",
  ].join("\n");
}

/** Shows the tables, and writes them and all else into target/bench as `NAME.json`, `NAME.md` and `NAME.svg`. */
export function report(name, { title, about, note, conditions, results, tables, panels }) {
  tables.forEach(showTable);
  const said = Object.entries(conditions).map(([what, value]) => `${what} ${value}`);
  console.log(`\n${about} ${note} × is times Flagstone's.\n${said.join(", ")}`);
  const texts = {
    json: JSON.stringify({ conditions, ...results }, undefined, 2),
    md: [`# ${title}`, `${about} ${note} × is times Flagstone's.`, `${said.join(", ")}.`, ...tables.map(markdown)].join(
      "\n\n",
    ),
    svg: chart({ title, note, panels }),
  };
  mkdirSync(folder, { recursive: true });
  for (const [type, text] of Object.entries(texts)) writeFileSync(join(folder, `${name}.${type}`), `${text}\n`);
  const written = Object.keys(texts).map((type) => relative(process.cwd(), join(folder, `${name}.${type}`)));
  console.log(`Written: ${written.join(", ")}`);
}
