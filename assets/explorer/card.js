// The texts beside the canvas: one neuron, the changes against the pin, the legend.
// Outside text goes through textContent alone.

import { css } from "../common/colours.js";
import { BLUE, DIFFERENCES, GREY, NEWLY_DROPPED, NEWLY_KEPT, ORANGE, SCORES } from "../common/theme.js";

export const TERMS = [
  ["edge weight", BLUE],
  ["edge count", GREY],
  ["activation", ORANGE],
];

export const count = (n) => n.toLocaleString("en-US");
export const percent = (x) => `${three(100 * x)} %`;

export function three(x) {
  if (x === 0) return "0";
  if (Math.abs(x) >= 999.5) return count(Math.round(x));
  return `${+x.toPrecision(3)}`;
}

export function element(name, text, style = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  Object.assign(made.style, style);
  return made;
}

export function showNeuron(card, engine, settings, pin, at) {
  card.querySelector("h4").textContent = at
    ? `Layer ${at.layer}, neuron ${count(at.neuron)}`
    : "No neuron";
  const list = card.querySelector("dl");
  if (!at) {
    const hint = "Point at one; click to hold it: all that is known of it stands below then.";
    list.replaceChildren(element("dt", hint, { gridColumn: "1 / -1" }));
    card.querySelector(".terms").replaceChildren();
    card.querySelector(".legend").replaceChildren();
    return;
  }
  const i = engine.starts[at.layer] + at.neuron;
  const width = engine.widths[at.layer];
  const relative = engine.normalised(at.layer, at.neuron) * width;
  const rows = [
    ["rank", `${count(engine.rank[i] + 1)} of ${count(width)}`],
    ["score", `${three(relative)} × mean`],
    ["fate", fate(engine.isDropped(at.layer, at.neuron), pin && pin.dropped[i])],
  ];
  if (pin) rows.push(["rank at the pin", count(pin.rank[i] + 1)]);
  list.replaceChildren(
    ...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  showTerms(card, engine.terms(at.layer, at.neuron, settings));
}

function showTerms(card, terms) {
  const bar = card.querySelector(".terms");
  const legend = card.querySelector(".legend");
  if (terms.length !== TERMS.length) {
    bar.replaceChildren();
    legend.replaceChildren();
    return;
  }
  const total = terms.reduce((a, b) => a + b, 0) || 1;
  const shares = terms.map((t) => t / total);
  bar.replaceChildren(
    ...shares.map((share, k) =>
      element("span", "", { background: TERMS[k][1], width: `${100 * share}%` }),
    ),
  );
  bar.setAttribute(
    "aria-label",
    shares.map((share, k) => `${TERMS[k][0]} ${percent(share)}`).join(", "),
  );
  legend.replaceChildren(
    ...shares.map((share, k) => {
      const line = element("li");
      const swatch = element("span", "", { background: TERMS[k][1] });
      swatch.className = "swatch";
      line.append(swatch, element("span", TERMS[k][0]), element("span", percent(share)));
      return line;
    }),
  );
}

function fate(gone, before) {
  const now = gone ? "cut" : "kept";
  if (before === null || !!before === gone) return now;
  return `${now} (at the pin: ${before ? "cut" : "kept"})`;
}

// How many neurons of some layers changed sides against the pin.
export function churn(engine, pin, layers) {
  let both = 0;
  let before = 0;
  let now = 0;
  for (const l of layers) {
    now += engine.widths[l] - engine.kept[l];
    before += pin.nDropped[l];
    both += engine.countDropped(l, pin.dropped);
  }
  return { lost: now - both, saved: before - both, both, before };
}

export function showChurn(box, { lost, saved, both, before }, layers) {
  const where = layers.length === 1 ? `, layer ${layers[0]}` : "";
  box.querySelector("h4").textContent = `Against the pin${where}`;
  const said = [`${count(lost)} newly cut, ${count(saved)} kept again.`];
  if (before > 0) said.push(`${percent(both / before)} of what the pin cuts is still cut.`);
  box.querySelector("p").textContent = said.join(" ");
}

// What the colours mean; the range of the scores is written at its ends.
export function showKey(key, colour, scale, agreed) {
  const ramps = {
    score: [SCORES, `${three(2 ** scale.low)}`, `${three(2 ** scale.high)} × mean`],
    percentile: [SCORES, "lowest rank", "highest"],
    change: [DIFFERENCES, "rank lost", "rank won against the pin"],
  };
  const [ramp, low, high] = ramps[colour];
  const stops = Array.from({ length: 9 }, (_, i) => css(ramp[Math.round((255 * i) / 8)]));
  const bar = swatch(`linear-gradient(90deg, ${stops.join(",")})`);
  bar.classList.add("ramp");
  const stripes = (c) =>
    `repeating-linear-gradient(135deg, ${c} 0 3px, var(--st-background-color) 3px 6px)`;
  key.replaceChildren(
    item(element("span", low), bar, element("span", high)),
    item(swatch(stripes(css(SCORES[128]))), element("span", "striped: cut")),
    item(swatch(stripes(css(NEWLY_DROPPED))), element("span", "cut, kept at the pin")),
    item(swatch(css(NEWLY_KEPT)), element("span", "kept, cut at the pin")),
    element("span", agreed),
  );
}

function item(...parts) {
  const made = element("span");
  made.append(...parts);
  return made;
}

function swatch(background) {
  const made = element("span", "", { background });
  made.className = "swatch";
  return made;
}
