// The ten steps: what each says, asks, draws and tabulates. Pure functions of the state.
// A step is { title, short, moments, sliders, play, question?, show }; `show(x)` returns
// { text, formulas, table, label, share, edge } for the picture and the panel.

import { css } from "../common/colours.js";
import { BLUE, ORANGE, SCORES } from "../common/theme.js";
import { percent } from "../explorer/card.js";
import { formula, fraction, matrix, row, short, sub, vector } from "./maths.js";
import { edgeShares, ranked, sum, winner } from "./network.js";
import { bar, table, three, two } from "./parts.js";

export const colour = (share, most) => css(SCORES[Math.round(255 * Math.min(1, share / (most || 1)))]);
const HIDDEN = [1, 2];
const EDGES = BLUE;
const FIRES = ORANGE;

// All places with the largest value: ties are all right.
function best(values, ids) {
  const most = Math.max(...values);
  return ids.filter((_, i) => values[i] >= most - 1e-12);
}

const options = (ids) => ids.map((id) => ({ id, label: id }));
const list = (ids) => [ids.slice(0, -1).join(", "), ids.at(-1)].filter(Boolean).join(" and ");
const values = (x, l, i) => x.d.acts.length && x.d.acts[l].map((of) => short(of[i])).join(" · ");

// The node chosen, if the step can speak of it; else the first of hidden A.
function chosen(x, layers) {
  return layers.includes(x.s.node[0]) ? x.s.node : [layers[0], 0];
}

function ranking(x, cutting) {
  return HIDDEN.flatMap((l) => {
    const { scores } = x.d.found[l];
    const most = Math.max(...scores);
    return x.d.ranks[l].map((i, r) => ({
      cells: [x.names[l][i], `${r + 1}`, bar([{ share: scores[i] / most, colour: colour(scores[i], most) }]), three(scores[i])],
      gone: cutting && x.d.gone(l, i),
    }));
  });
}

const [RANDOM, ZEROED, CUT] = ["zeros at random places", "zeros in rows", "rows cut"];
const WAYS = [
  { id: "all", label: "all three", faster: [RANDOM, ZEROED, CUT] },
  { id: "rows", label: "zeros in rows, and rows cut", faster: [ZEROED, CUT] },
  { id: "cut", label: "only rows cut", faster: [CUT] },
  { id: "none", label: "none of them", faster: [] },
];
const idOf = (faster) => WAYS.find((way) => `${way.faster}` === `${faster}`)?.id ?? "other";

const STUCK =
  "A node without edges onwards sends the surfer, and networkx, back to the inputs; the score loses that importance instead, so the columns differ here.";

const STEPS = [
  {
    title: "A network of neurons",
    short: "Network",
    sliders: [],
    show: (x) => ({
      text:
        "Which neurons could this network lose and still answer the same? The lesson gives each a score and cuts the lowest. " +
        "Every line is a weight. A neuron adds up what comes in, each times its weight, and passes on " +
        "what is above zero (ReLU). Two examples run through: beside each node stands what it gives out " +
        "on the first · on the second. Click any number in the drawing, or Tab to it, and change it.",
      label: (l, i) => values(x, l, i),
      edge: null,
      formulas: [neuron(x)],
      table: outputs(x, x.d.before),
    }),
  },
  {
    title: "Weights become a graph",
    short: "Graph",
    moments: 3,
    sliders: [],
    show: (x) => {
      const { weights } = x.d.network;
      const n = weights.flat(2).filter((w) => w !== 0).length;
      const all = weights.flat(2).length;
      const l = Math.min(x.s.node[0], 2);
      const i = x.s.node[0] === l ? x.s.node[1] : 0;
      const name = x.names[l][i];
      const [strength, degree] = [x.d.strength(l, i), x.d.degree(l, i)];
      const text = [
        `Neurons become nodes, weights become edges that all point onwards and never back (a weighted directed acyclic graph). A weight of 0 is no edge: ${n} of ${all} are there.`,
        "The sign goes. A weight of −2 ties two neurons as strongly as one of 2; what counts is how large it is.",
        `Each node divides its edges by their sum, so that they become shares of 1. ${name} has ${degree === 1 ? "1 edge" : `${degree} edges`} onwards with ${short(strength)} in all. Along these shares importance will flow from the inputs: a neuron matters if much of it arrives. Click another node to see its own.`,
      ][x.s.moment];
      const written = [(w) => short(w), (w) => short(Math.abs(w)), null][x.s.moment];
      return {
        text,
        label: () => "",
        edge: (t, j, k) => {
          const w = weights[t][j][k];
          const share = Math.abs(w) / x.d.strength(t, k);
          return w === 0 ? null : { weight: written ? Math.abs(w) / x.heaviest : share, label: written ? written(w) : two(share), strong: !written && t === l && k === i };
        },
        formulas:
          x.s.moment < 2 || !strength
            ? []
            : weights[l].flatMap((r, j) =>
                r[i] ? [formula(sub("share", row(name, "→", x.names[l + 1][j])), "=", fraction(short(Math.abs(r[i])), short(strength)), "=", three(Math.abs(r[i]) / strength))] : [],
              ),
        table: null,
      };
    },
  },
  {
    title: "Degree or strength: θ",
    short: "θ",
    sliders: ["theta"],
    play: "theta",
    question: (x) => {
      const [ones, none] = [1, 0].map((theta) => ranked(x.d.network, { theta, gamma: 1 })[1].scores);
      const gains = none.map((v, i) => v - ones[i]);
      const right = best(gains, x.names[1]);
      const i = x.names[1].indexOf(right[0]);
      return {
        ask: "Importance flows from the inputs along the edges, and a neuron matters if much of it arrives. Now the shares follow the weights. If every edge counted the same instead, which neuron of hidden A would gain most of the inputs' importance?",
        options: options(x.names[1]),
        right,
        because: `${list(right)} ${right.length > 1 ? "gain" : "gains"} most, from ${three(ones[i])} by strength to ${three(none[i])} by degree: ${gains[i] > 0 ? "it has edges, but light ones" : "nobody gains, as all edges of a node weigh the same"}.`,
      };
    },
    show: (x) => {
      const [l, j] = chosen(x, [1, 2, 3]);
      const shares = edgeShares(x.d.network.weights[l - 1], x.s.theta);
      const from = shares[j].indexOf(Math.max(...shares[j]));
      const w = Math.abs(x.d.network.weights[l - 1][j][from]);
      const [source, target] = [x.names[l - 1][from], x.names[l][j]];
      return {
        text:
          "θ decides how a node splits its importance among its edges. θ = 1: by strength, twice the weight gets twice the share. θ = 0: by degree, every edge gets the same. " +
          `The numbers are the shares at θ = ${two(x.s.theta)}; beside hidden A stands what arrives from the inputs.`,
        label: (t, i) => (t < 2 ? two(x.d.pure[t].scores[i]) : ""),
        share: (t, i) => (t < 2 ? x.d.pure[t].scores[i] : null),
        edge: (t, b, a) => share(x, t, b, a, l, j),
        formulas: w
          ? [
              formula(sub("share", row(source, "→", target)), "=", "θ", fraction(row("|", "w", "|"), row("Σ", "|", "w", "|")), "+", "(", "1", "−", "θ", ")", fraction("1", "degree")),
              formula("=", two(x.s.theta), "·", fraction(short(w), short(x.d.strength(l - 1, from))), "+", two(1 - x.s.theta), "·", fraction("1", `${x.d.degree(l - 1, from)}`), "=", three(shares[j][from])),
            ]
          : [],
        table: table(
          ["hidden A", "by strength", "by degree", `at θ = ${two(x.s.theta)}`],
          x.names[1].map((name, i) => ({
            cells: [name, three(ranked(x.d.network, { theta: 1, gamma: 1 })[1].scores[i]), three(ranked(x.d.network, { theta: 0, gamma: 1 })[1].scores[i]), three(x.d.pure[1].scores[i])],
            chosen: l === 1 && j === i,
          })),
        ),
      };
    },
  },
  {
    title: "Importance flows along the edges",
    short: "Flow",
    moments: 4,
    sliders: ["theta"],
    play: "moments",
    question: (x) => {
      const { scores } = x.d.pure[1];
      const right = best(scores, x.names[1]);
      return {
        ask: "Each input hands all its importance to hidden A, split by the shares on its edges. Who receives most?",
        options: options(x.names[1]),
        right,
        because: `${list(right)} ${right.length > 1 ? "receive" : "receives"} ${three(Math.max(...scores))} of 1.`,
      };
    },
    show: (x) => {
      const m = x.s.moment;
      const inputs = x.d.norms[0];
      const said = `The inputs begin with importance by their size on the examples (the norms ${inputs.map(short).join(", ")}, divided by their sum ${short(sum(inputs))}).`;
      const next = `Every ${m === 1 ? "input" : `neuron of ${x.layers[m - 1]}`} hands its importance on: each edge carries the sender's importance times the edge's share, and a node of ${x.layers[m]} adds up what arrives. All at once, that is a matrix times a vector.`;
      return {
        text: m === 0 ? `${said} Press Next: it will flow one layer at each step.` : next,
        label: (l, i) => (l <= m ? two(x.d.pure[l].scores[i]) : ""),
        share: (l, i) => (l <= m ? x.d.pure[l].scores[i] : null),
        edge: (l, j, i) => (l < m ? flow(x.d.pure, l, j, i, l === m - 1) : share(x, l, j, i)),
        formulas: m === 0 ? [formula("s", "=", vector(x.d.pure[0].scores.map(three)))] : [product(x, m)],
        table: null,
      };
    },
  },
  {
    title: "Activation joins in: γ",
    short: "γ",
    sliders: ["theta", "gamma"],
    play: "gamma",
    question: (x) => {
      const prior = x.d.found[1].prior;
      const right = best(prior, x.names[1]);
      return {
        ask: `At γ = 0 only activation counts. On the two examples the neurons of hidden A give ${x.names[1].map((name, i) => `${name}: ${values(x, 1, i)}`).join(", ")}. Who comes first then?`,
        options: options(x.names[1]),
        right,
        because: `${list(right)} ${right.length > 1 ? "fire" : "fires"} most: ${three(Math.max(...prior))} of the layer's activation.`,
      };
    },
    show: (x) => {
      const [l, i] = chosen(x, [1, 2, 3]);
      const { brought, prior, scores, lost } = x.d.found[l];
      const { gamma } = x.s;
      const mixed = gamma * brought[i] + (1 - gamma) * prior[i];
      return {
        text: "A neuron may be well connected and still be silent. γ, the damping, mixes both: γ of what the edges bring, and 1 − γ of how much the neuron fires on the examples (its norm, as a share of its layer). γ = 1 trusts the edges alone, γ = 0 the activation alone.",
        label: (t, k) => two(x.d.found[t].scores[k]),
        share: (t, k) => x.d.found[t].scores[k],
        edge: (t, b, a) => flow(x.d.found, t, b, a, false),
        formulas: [
          formula(sub("s", x.names[l][i]), "=", "γ", "·", "edges", "+", "(", "1", "−", "γ", ")", "·", "activation"),
          formula("=", two(gamma), "·", three(brought[i]), "+", two(1 - gamma), "·", three(prior[i]), "=", three(mixed), ...(lost && gamma ? ["→", three(scores[i])] : [])),
        ],
        table: table(
          [x.layers[l], "edges", "activation", "score", ""],
          x.names[l].map((name, k) => ({
            cells: [name, three(brought[k]), three(prior[k]), three(scores[k]), bar([{ share: gamma * brought[k], colour: EDGES }, { share: (1 - gamma) * prior[k], colour: FIRES }])],
            chosen: k === i,
          })),
        ),
      };
    },
  },
  {
    title: "The ranking",
    short: "Ranking",
    sliders: ["theta", "gamma"],
    play: "gamma",
    question: (x) => {
      const { scores } = x.d.found[2];
      const right = best(scores.map((s) => -s), x.names[2]);
      return {
        ask: `At θ = ${two(x.s.theta)} and γ = ${two(x.s.gamma)}, which neuron of hidden B ranks last?`,
        options: options(x.names[2]),
        right,
        because: `${list(right)} ${right.length > 1 ? "have" : "has"} the lowest score of the layer, ${three(Math.min(...scores))}.`,
      };
    },
    show: (x) => ({
      text: "The scores of a layer sum to 1, and rank its neurons. Who is last gets little and fires little, so the network should miss it least; step 8 tests that. Move θ and γ: whoever is last changes with them. Inputs and outputs have scores too, but are never cut.",
      label: (l, i) => (HIDDEN.includes(l) ? `#${x.d.ranks[l].indexOf(i) + 1}  ${two(x.d.found[l].scores[i])}` : two(x.d.found[l].scores[i])),
      share: (l, i) => x.d.found[l].scores[i],
      edge: (t, b, a) => ({ ...flow(x.d.found, t, b, a), label: "" }),
      formulas: [],
      table: table(["neuron", "rank", "", "score"], ranking(x, false)),
    }),
  },
  {
    title: "The cut",
    short: "Cut",
    sliders: ["theta", "gamma", "sparsity"],
    play: "sparsity",
    show: (x) => {
      const gone = HIDDEN.flatMap((l) => x.names[l].filter((_, i) => x.d.gone(l, i)));
      const n = x.names[1].length;
      return {
        text: `The last of each hidden layer go, with every edge that touches them; one always stays. ${gone.length ? `Gone: ${list(gone)}.` : "Nobody goes yet: move the sparsity."} The matrices become smaller, they do not fill with zeros: ${x.nWeights(x.d.network)} weights become ${x.nWeights(x.d.small)}.`,
        label: (l, i) => two(x.d.found[l].scores[i]),
        share: (l, i) => x.d.found[l].scores[i],
        edge: (t, b, a) => ({ ...flow(x.d.found, t, b, a), label: "", gone: x.d.gone(t, a) || x.d.gone(t + 1, b) }),
        gone: x.d.gone,
        formulas: [formula("⌊", two(x.s.sparsity), "·", `${n}`, "+", "½", "⌋", "=", `${Math.min(n - 1, Math.floor(x.s.sparsity * n + 0.5))}`, `\u00a0of ${n} neurons of hidden A go`)],
        table: table(["neuron", "rank", "", "score"], ranking(x, true)),
      };
    },
  },
  {
    title: "The smaller network's answers",
    short: "Answers",
    sliders: ["theta", "gamma", "sparsity"],
    play: "sparsity",
    question: (x) => {
      const holds = x.d.before.map((y, e) => winner(y) === winner(x.d.after[e]));
      const right = holds.every(Boolean) ? "both" : holds.some(Boolean) ? (holds[0] ? "first" : "second") : "none";
      return {
        ask: "The network's answer to an example is its larger output; equal ones are none. For which examples will the smaller network still answer the same?",
        options: [
          { id: "both", label: "both" },
          { id: "first", label: "only the first" },
          { id: "second", label: "only the second" },
          { id: "none", label: "neither" },
        ],
        right: [right],
        because: `It answers ${{ both: "both", first: "only the first", second: "only the second", none: "neither" }[right]} as before.`,
      };
    },
    show: (x) => ({
      text: `What is left, beside what was: ${x.nWeights(x.d.small)} weights instead of ${x.nWeights(x.d.network)}. Try γ = 0 and γ = 1: with other scores other neurons go, and other answers change. That is what a score is judged by.`,
      label: (l, i) => (x.d.gone(l, i) ? "" : smallValues(x, l, i)),
      share: (l, i) => x.d.found[l].scores[i],
      absent: x.d.gone,
      edge: (t, b, a) => (x.d.gone(t, a) || x.d.gone(t + 1, b) ? null : { ...flow(x.d.found, t, b, a), label: x.d.network.weights[t][b][a] ? short(x.d.network.weights[t][b][a]) : "" }),
      formulas: [],
      table: answers(x),
    }),
  },
  {
    title: "The random surfer",
    short: "Surfer",
    sliders: ["theta", "gamma"],
    play: "walk",
    question: (x) => {
      const { scores } = x.d.found[2];
      const right = best(scores, x.names[2]);
      return {
        ask: "A surfer walks the graph: with probability γ along an edge, by its share; else a jump to any layer, there to a node by its activation. From an output it goes back to the inputs. After a long walk, at which neuron of hidden B has it been most often?",
        options: options(x.names[2]),
        right,
        because: `At ${list(right)}: the share of its time at a node, times the ${x.layers.length} layers, is the node's score.`,
      };
    },
    show: (x) => {
      const seen = x.walker.frequencies;
      const off = x.walker.n ? ` Largest distance to the scores: ${three(x.walker.error(x.d.found.map((f) => f.scores)))}.` : "";
      const nx = x.networkx();
      return {
        text: `PageRank ranked web pages like this: a page matters if someone who clicks from link to link is often there. Here nodes are pages and edges are links. The surfer's time at each node, times ${x.layers.length} layers, settles at the score; networkx, which knows nothing of our code, finds the same on the same graph. ${x.walker.n.toLocaleString("en-US")} steps so far.${off}`,
        label: (l, i) => two(seen[l][i]),
        share: (l, i) => x.d.found[l].scores[i],
        edge: (t, b, a) => ({ ...flow(x.d.found, t, b, a), label: "" }),
        walker: true,
        formulas: [],
        note: nx.said || (x.d.stuck ? STUCK : ""),
        table: table(
          ["node", "tick: score", "walked", "score", "networkx"],
          x.names.flatMap((names, l) =>
            names.map((name, i) => ({
              cells: [name, bar([{ share: seen[l][i], colour: EDGES }], x.d.found[l].scores[i]), three(seen[l][i]), three(x.d.found[l].scores[i]), nx.scores ? three(nx.scores[l][i]) : "…"],
            })),
          ),
        ),
      };
    },
  },
  {
    title: "Why cut whole neurons",
    short: "Why cut",
    sliders: ["sparsity"],
    question: (x) => ({
      ask: `From a larger layer ${percent(x.s.sparsity)} are taken in the three ways of the picture. Which of the three then run measurably faster than the whole layer, on this machine?`,
      options: WAYS,
      right: x.race ? [idOf(x.race.faster)] : [],
      because: x.race ? `Faster than the whole layer: ${list(x.race.faster) || "none"}, as timed below.` : "The clock decides: time them below, on this machine.",
    }),
    show: (x) => ({
      text: x.race
        ? "A zero is still multiplied: the processor does not know that it is one. Only a smaller matrix is less work; that is why whole neurons are cut."
        : `${percent(x.s.sparsity)} of the weights are gone in all three pictures. Time them below.`,
      patterns: true,
      formulas: [],
      table: recap(x),
    }),
  },
];

export default STEPS.map((step) => ({ moments: 1, play: (step.moments ?? 1) > 1 ? "moments" : null, ...step }));

// One neuron's sum with its numbers, on the first example.
function neuron(x) {
  const [l, j] = chosen(x, [1, 2, 3]);
  const weights = x.d.network.weights[l - 1][j];
  const input = x.d.acts[l - 1][0];
  const terms = weights.flatMap((w, i) => (w === 0 ? [] : [row(signed(w), "·", input[i]), "+"])).slice(0, -1);
  const total = sum(weights.map((w, i) => w * input[i]));
  const end = l === 3 ? [] : ["→", short(Math.max(0, total))];
  return formula(`${x.names[l][j]} on example 1`, "=", ...(terms.length ? terms : ["0"]), "=", short(total), ...end);
}

const signed = (w) => (w < 0 ? row("(", short(w), ")") : short(w));

function share(x, l, j, i, layer = -1, target = -1) {
  const of = edgeShares(x.d.network.weights[l], x.s.theta)[j][i];
  return of ? { weight: of, label: two(of), strong: l === layer - 1 && j === target } : null;
}

function flow(found, l, j, i, strong = false) {
  const of = found[l + 1].flows[j][i];
  return of ? { weight: Math.min(1, 3 * of), label: two(of), strong } : null;
}

function product(x, m) {
  const shares = edgeShares(x.d.network.weights[m - 1], x.s.theta).map((r) => r.map(two));
  const { scores, lost } = x.d.pure[m];
  const brought = vector(x.d.pure[m].brought.map(two));
  const end = lost ? ["→", vector(scores.map(two))] : [];
  return formula(matrix(shares), vector(x.d.pure[m - 1].scores.map(two)), "=", brought, ...end);
}

const answer = (x, of) => x.names.at(-1)[winner(of)] ?? "none";

function outputs(x, before) {
  return table(
    ["example", ...x.names[0], "→", ...x.names.at(-1), "answer"],
    x.examples.map((example, e) => ({
      cells: [`${e + 1}`, ...example.map(short), "", ...before[e].map(short), answer(x, before[e])],
    })),
  );
}

function smallValues(x, l, i) {
  const at = x.d.keep[l].indexOf(i);
  return x.smallActs()[l].map((of) => short(of[at])).join(" · ");
}

function answers(x) {
  const out = x.names.at(-1);
  return table(
    ["example", ...out, ...out.map((n) => `→ ${n}`), "answer"],
    x.d.before.map((y, e) => {
      const [a, b] = [answer(x, y), answer(x, x.d.after[e])];
      return { cells: [`${e + 1}`, ...y.map(short), ...x.d.after[e].map(short), a === b ? `${a}, same` : `${a} → ${b}`] };
    }),
  );
}

// What to take home, with this network's own numbers in it.
function recap(x) {
  const at = (theta, gamma) => {
    const found = ranked(x.d.network, { theta, gamma });
    return best(found[1].scores, x.names[1]).join(", ");
  };
  return table(
    ["In one breath", "first in A"],
    [
      { cells: ["θ = 1: strong edges lead", at(1, 1)] },
      { cells: ["θ = 0: all edges alike", at(0, 1)] },
      { cells: ["γ = 1: the edges alone", at(x.s.theta, 1)] },
      { cells: ["γ = 0: activation alone", at(x.s.theta, 0)] },
      { cells: ["the lowest are cut", x.d.keep[1].length < x.names[1].length ? `without ${x.names[1].filter((_, i) => x.d.gone(1, i)).join(", ")}` : "nobody yet"] },
    ],
  );
}
