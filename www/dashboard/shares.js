// Who gets what, drawn: a bar over everyone, a part for each variant.
import { element } from "../dom.js";

/** From here on, colours come again; labels tell them apart. */
const COLOURS = 5;

const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const share = (percent) => `${percent > 0 && percent < 0.1 ? "under 0.1" : TENTHS.format(percent)} %`;

/** The name of the variant for whoever is not in. */
export const offVariant = ({ off }) => off ?? "off";

/** The shares of a flag in the order they are drawn, whoever is not in last; each with its colour. */
export function arranged(shares, definition) {
  const off = offVariant(definition);
  const others = shares.filter(({ variant }) => variant !== off);
  const coloured = others.map((one, index) => ({ ...one, colour: `variant-${index % COLOURS}` }));
  return [...coloured, ...shares.filter(({ variant }) => variant === off).map((one) => ({ ...one, colour: "off" }))];
}

const nameOf = ({ variant }) => (variant === "" ? "the caller’s default" : variant);

/** A bar of `[{variant, colour, percent}]`. */
export function bar(parts, label) {
  const drawn = element("div", { className: "bar-of-shares", role: "img", ariaLabel: label });
  for (const part of parts) {
    const made = element("i", { className: part.colour, title: `${nameOf(part)}: ${share(part.percent)}` });
    made.style.flexGrow = String(part.percent);
    if (part.percent > 0) drawn.append(made);
  }
  return drawn;
}

export const inWords = (parts) => parts.map((part) => `${nameOf(part)} ${share(part.percent)}`).join(", ");

/** The variants of a flag with their shares: estimated, and as they were counted by this server. */
export function table(stats, definition) {
  const parts = arranged(stats.shares, definition);
  const evaluations = parts.reduce((sum, part) => sum + part.evaluations, 0);
  const counted = parts.map((part) => ({ ...part, percent: evaluations ? (part.evaluations / evaluations) * 100 : 0 }));
  const values = definition.variants ?? { on: true, off: false };
  const rows = parts.map((part, index) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("i", { className: part.colour }), nameOf(part)),
      element("td", { className: "value", text: part.variant in values ? JSON.stringify(values[part.variant]) : "" }),
      element("td", { className: "number", text: share(part.percent) }),
      element("td", {
        className: "number",
        text: evaluations ? `${share(counted[index].percent)} (${part.evaluations.toLocaleString("en")})` : "none yet",
      }),
    ),
  );
  const heads = ["Variant", "Value", "Estimated", "Evaluated here"].map((text) =>
    element("th", { scope: "col", text }),
  );
  const line = (text, drawn) => element("div", { className: "measured" }, element("p", { text }), drawn);
  const lines = [
    line(
      `Estimated over ${stats.users.toLocaleString("en")} made-up users`,
      bar(parts, `Estimated: ${inWords(parts)}`),
    ),
  ];
  if (evaluations > 0) {
    const text = `Counted in ${evaluations.toLocaleString("en")} evaluations by this server since it started`;
    lines.push(line(text, bar(counted, `Counted: ${inWords(counted)}`)));
  }
  return [
    ...lines,
    element(
      "table",
      { className: "variants" },
      element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...rows),
    ),
  ];
}
