// The texts beside the canvas: one neuron, the changes against the pin, the legend.
// Outside text goes through textContent alone.

import { css } from "../common/colours.js";
import { BLUE, DIFFERENCES, GREY, NEWLY_DROPPED, NEWLY_KEPT, ORANGE, SCORES } from "../common/theme.js";

export const TERMS = [
  ["weight", BLUE],
  ["degree", GREY],
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

// The neuron held, or while none is the one that is pointed at: what the planes say of it.
export function showNeuron(card, engine, settings, pin, at) {
  card.querySelector("h4").textContent = at
    ? `Layer ${at.layer}, neuron ${count(at.neuron)}`
    : "No neuron held";
  const list = card.querySelector(".numbers");
  if (!at) {
    const hint =
      "Click a neuron: its rank, the terms of its score, the tokens it promotes, its strongest edges and where it fires stand here. Arrow keys and Enter do the same.";
    list.replaceChildren(element("dt", hint, { gridColumn: "1 / -1" }));
    showTerms(card, []);
    return;
  }
  const i = engine.starts[at.layer] + at.neuron;
  const width = engine.widths[at.layer];
  list.replaceChildren(
    ...pairs([
      ["rank in its layer", `${count(engine.rank[i] + 1)} of ${count(width)}`],
      ["among all", `${count(engine.rankInModel(at.layer, at.neuron))} of ${count(engine.n)}`],
      ["score", `${times(engine, at)}, ${fate(engine.isDropped(at.layer, at.neuron), pin && pin.dropped[i])}`],
    ]),
  );
  showTerms(card, engine.terms(at.layer, at.neuron, settings));
}

const pairs = (rows) => rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]);
const times = (engine, at) => `${three(engine.normalised(at.layer, at.neuron) * engine.widths[at.layer])} × mean`;

// One line on the neuron under the pointer.
export function said(engine, at) {
  const gone = engine.isDropped(at.layer, at.neuron) ? "removed" : "kept";
  const rank = count(engine.rank[engine.starts[at.layer] + at.neuron] + 1);
  return `L${at.layer} · ${count(at.neuron)}: rank ${rank}, ${times(engine, at)}, ${gone}`;
}

// What the server says of the neuron held; `hold` takes a neighbour that is clicked,
// `ask` has measured what is not known.
export function showFacts(list, facts, hold, ask) {
  if (!facts) return list.replaceChildren();
  const rows = [];
  const add = (name, title, parts) => {
    if (!parts?.length) return;
    const [term, answer] = [element("dt", name), element("dd")];
    term.title = title;
    answer.append(...parts);
    rows.push(term, answer);
  };
  add("promotes", "Its output direction read through the final norm and the unembedding: an estimate", facts.promotes?.map(token));
  add("suppresses", "The tokens it lowers most; a negative activation swaps the two", facts.suppresses?.map(token));
  const missing = () => [facts.reading ? element("span", "…") : button("measure", "Reads where it fires and the text without it", ask)];
  const firing = facts.fires && element("p", facts.reading ? `${facts.fires}; more is being read …` : facts.fires);
  add("fires on", "Where it is strongest on the calibration text; fires: at least a tenth of its strongest", facts.contexts ? [...facts.contexts.map(context), firing] : missing());
  add("reads", "Its strongest edges from the residual stream: dimension and weight", facts.incoming?.map(edge));
  add("writes", "Its strongest edges into the residual stream: dimension and weight", facts.outgoing?.map(edge));
  for (const [name, way] of [["from", "preceding"], ["to", "following"]]) {
    const layer = facts[way]?.[0]?.layer;
    const title = "Neighbours by flow, in times an even split; attention is no part of the graph";
    add(`${name} L${layer}`, title, facts[way]?.map((path) => neighbour(path, hold)));
  }
  add("is worth", "95 % intervals, paired by window", facts.worth?.map((text) => element("p", text)) ?? missing());
  list.replaceChildren(...rows);
}

const token = (text) => element("code", text.replaceAll(" ", "␣").replaceAll("\n", "↵"));
const edge = ({ residual, weight }) => element("span", `r${residual} ${weight < 0 ? "−" : "+"}${three(Math.abs(weight))}`);

const neighbour = ({ layer, neuron, times }, hold) =>
  button(`${count(neuron)} ×${three(times)}`, `Hold layer ${layer}, neuron ${count(neuron)}`, () => hold({ layer, neuron }));

function button(text, title, act) {
  const made = element("button", text);
  Object.assign(made, { type: "button", title, onclick: act });
  return made;
}

// Tokens on grounds as deep as their activation: blue positive, orange negative.
function context(tokens) {
  const line = element("p");
  line.append(
    ...tokens.map(([text, share]) => {
      const ground = share > 0 ? BLUE : ORANGE;
      const background = `color-mix(in srgb, ${ground} ${Math.round(Math.abs(70 * share))}%, transparent)`;
      return element("span", text.replaceAll("\n", "↵"), { background });
    }),
  );
  return line;
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
  const now = gone ? "removed" : "kept";
  if (before === null || !!before === gone) return now;
  return `${now} (before: ${before ? "removed" : "kept"})`;
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
  box.querySelector("h4").textContent = `Against the reference${where}`;
  const said = [`${count(lost)} newly removed, ${count(saved)} kept again.`];
  if (before > 0) said.push(`${percent(both / before)} still removed.`);
  box.querySelector("p").textContent = said.join(" ");
}

// What the colours mean; the range of the scores is written at its ends.
export function showKey(key, colour, scale, agreed) {
  const ramps = {
    score: [SCORES, `${three(2 ** scale.low)}`, `${three(2 ** scale.high)} × mean`],
    percentile: [SCORES, "lowest rank", "highest"],
    change: [DIFFERENCES, "rank lost", "rank won against the reference"],
  };
  const [ramp, low, high] = ramps[colour];
  const stops = Array.from({ length: 9 }, (_, i) => css(ramp[Math.round((255 * i) / 8)]));
  const bar = swatch(`linear-gradient(90deg, ${stops.join(",")})`);
  bar.classList.add("ramp");
  const stripes = (c) =>
    `repeating-linear-gradient(135deg, ${c} 0 3px, var(--st-background-color) 3px 6px)`;
  key.replaceChildren(
    item(element("span", low), bar, element("span", high)),
    item(swatch(stripes(css(SCORES[128]))), element("span", "striped: removed")),
    item(swatch(stripes(css(NEWLY_DROPPED))), element("span", "newly removed")),
    item(swatch(css(NEWLY_KEPT)), element("span", "kept again")),
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
