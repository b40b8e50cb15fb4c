// The lesson's arithmetic, in doubles: the same numbers as llmrank.lesson.
// A network is { weights: [rows of numbers per target], examples }.

const DECIMALS = 1e12; // scores that agree so far are a tie

export const sum = (list) => list.reduce((a, b) => a + b, 0);
const columns = (rows) => rows[0].map((_, i) => rows.map((row) => row[i]));

// Non-negative numbers divided by their sum; all zeros become equal shares.
export function distribution(values) {
  const total = sum(values);
  return values.map((v) => (total > 0 ? v / total : 1 / values.length));
}

// From all weights in one list to matrices, and back.
export function matrices(numbers, sizes) {
  let at = 0;
  return sizes.slice(1).map((n, l) =>
    Array.from({ length: n }, () => numbers.slice(at, (at += sizes[l]))),
  );
}

// What every node gives out on every example, layer by layer: [layer][example][node].
export function activations({ weights, examples }) {
  const found = [examples];
  weights.forEach((matrix, l) => {
    const last = l === weights.length - 1;
    found.push(
      found[l].map((values) =>
        matrix.map((row) => {
          const z = sum(row.map((w, i) => w * values[i]));
          return last ? z : Math.max(0, z);
        }),
      ),
    );
  });
  return found;
}

export function norms(network) {
  return activations(network).map((layer) =>
    columns(layer).map((values) => Math.sqrt(sum(values.map((v) => v * v)))),
  );
}

export const priors = (network) => norms(network).map(distribution);

// What share of its importance each source sends along each edge: [target][source].
export function edgeShares(matrix, theta) {
  const sources = columns(matrix);
  const strength = sources.map((column) => sum(column.map(Math.abs)));
  const degree = sources.map((column) => column.filter((w) => w !== 0).length);
  return matrix.map((row) =>
    row.map((w, i) => {
      if (w === 0) return 0;
      return theta * (Math.abs(w) / strength[i]) + (1 - theta) / degree[i];
    }),
  );
}

// Importance layer by layer, and what it is made of.
// Returns per layer { scores, prior, flows [target][source], brought, lost }.
export function ranked(network, { theta, gamma }) {
  const prior = priors(network);
  const found = [{ scores: prior[0], prior: prior[0], flows: null, brought: prior[0], lost: 0 }];
  network.weights.forEach((matrix, l) => {
    const mass = found[l].scores;
    const flows = edgeShares(matrix, theta).map((row) => row.map((share, i) => share * mass[i]));
    const brought = flows.map(sum);
    const mixed = brought.map((b, j) => gamma * b + (1 - gamma) * prior[l + 1][j]);
    const lost = Math.max(0, 1 - sum(brought));
    found.push({ scores: distribution(mixed), prior: prior[l + 1], flows, brought, lost: lost < 1e-12 ? 0 : lost });
  });
  return found;
}

// Neurons from the highest score down; of equals the lower index first.
export function order(scores) {
  const near = scores.map((s) => Math.round(s * DECIMALS) / DECIMALS);
  return near.map((_, i) => i).sort((a, b) => near[b] - near[a] || a - b);
}

// Which nodes of each layer stay, ascending; inputs and outputs always do.
export function kept(found, sparsity) {
  return found.map(({ scores }, l) => {
    const n = scores.length;
    if (l === 0 || l === found.length - 1) return scores.map((_, i) => i);
    const stay = Math.max(1, n - Math.floor(sparsity * n + 0.5));
    return order(scores).slice(0, stay).sort((a, b) => a - b);
  });
}

// The smaller network: rows and columns gone, not zeros.
export function cut({ weights, examples }, keep) {
  const smaller = weights.map((matrix, l) => keep[l + 1].map((j) => keep[l].map((i) => matrix[j][i])));
  return { weights: smaller, examples };
}

export const countWeights = ({ weights }) => sum(weights.map((m) => m.length * m[0].length));

// Equal outputs are no answer: a network cut to silence has not kept one.
export function winner(outputs) {
  const most = Math.max(...outputs);
  const first = outputs.indexOf(most);
  return outputs.indexOf(most, first + 1) < 0 ? first : -1;
}
