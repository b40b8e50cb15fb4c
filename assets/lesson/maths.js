// Formulas as MathML, which browsers draw themselves: no library, read aloud as it is.

const SPACE = "http://www.w3.org/1998/Math/MathML";

function node(name, children, attributes = {}) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Numbers are numbers, signs operators, everything else names.
function part(of) {
  if (of instanceof Element) return of;
  if (typeof of === "number") return node("mn", [short(of)]);
  if (/\s/.test(of)) return node("mtext", [of]);
  if (/^[-−]?[\d.,]+$/.test(of)) return node("mn", [of]);
  return node(/^[=+·−()[\]|/:,→Σ]+$/.test(of) ? "mo" : "mi", [of]);
}

// Three digits; no trailing zeros; a real minus.
export function short(x) {
  if (Math.abs(x) < 5e-4) return "0";
  if (Math.abs(x) >= 1e5) return x.toExponential(1).replace("-", "−").replace("e+", "e");
  const text = Math.abs(x) < 1 ? `${+x.toFixed(3)}` : `${+x.toPrecision(3)}`;
  return text.replace("-", "−");
}

export const row = (...parts) => node("mrow", parts.map(part));
export const sub = (base, index) => node("msub", [part(base), part(index)]);
export const fraction = (top, bottom) => node("mfrac", [part(top), part(bottom)]);

export function matrix(rows) {
  const lines = rows.map((cells) => node("mtr", cells.map((cell) => node("mtd", [part(cell)]))));
  return node("mtable", lines);
}

export const vector = (values) => matrix(values.map((v) => [v]));

export function formula(...parts) {
  return node("math", [row(...parts)], { display: "block" });
}
