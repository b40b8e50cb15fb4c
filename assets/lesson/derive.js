// Everything that the steps show, from the weights and the three sliders.

import * as net from "./network.js";

export function derived({ numbers, theta, gamma, sparsity }, { sizes, examples, names, layers }) {
  const network = { weights: net.matrices(numbers, sizes), examples };
  const found = net.ranked(network, { theta, gamma });
  const keep = net.kept(found, sparsity);
  const small = net.cut(network, keep);
  const acts = net.activations(network);
  const d = {
    network,
    found,
    keep,
    small,
    acts,
    norms: net.norms(network),
    pure: net.ranked(network, { theta, gamma: 1 }),
    ranks: found.map(({ scores }) => net.order(scores)),
    before: acts.at(-1),
    after: net.activations(small).at(-1),
    gone: (l, i) => !keep[l].includes(i),
    degree: (l, i) => net.sum(network.weights[l].map((row) => (row[i] !== 0 ? 1 : 0))),
    strength: (l, i) => net.sum(network.weights[l].map((row) => Math.abs(row[i]))),
  };
  const stuck = ({ scores }, l) => l < layers.length - 1 && scores.some((s, i) => s > 0 && d.degree(l, i) === 0);
  d.stuck = found.some(stuck);
  d.warning = warning(d, names, layers);
  return d;
}

// What is unusual about this network, in one sentence; empty where nothing is.
function warning({ network, norms, pure }, names, layers) {
  for (let l = 1; l < norms.length; l++) {
    if (network.weights[l - 1].flat().every((w) => w === 0)) {
      return `No edge leads into ${layers[l]}: importance is lost there, and equal shares stand in for what the edges bring.`;
    }
    if (net.sum(norms[l]) === 0) {
      return `No neuron of ${layers[l]} gives anything out on these examples: their activation counts as equal.`;
    }
  }
  for (let l = 0; l < network.weights.length; l++) {
    const i = network.weights[l][0].findIndex((_, k) => network.weights[l].every((row) => row[k] === 0));
    if (i >= 0 && pure[l].scores[i] > 0) {
      return `${names[l][i]} has no edge onwards: the importance it holds is lost, and the next layer is brought back to a sum of 1.`;
    }
  }
  return "";
}
