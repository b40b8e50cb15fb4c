// Scores, ranks and dropped neurons of every layer from the response planes.
// The same numbers as llmrank.methods.response_planes and llmrank.methods.pruning: float32 planes, arithmetic in
// doubles, each operation rounded by itself, of equal scores the lower index first.

// One weight per plane, w^i d^j r^k with w = γθ, d = γ(1 − θ), r = 1 − γ; the sum of
// weight × plane is the score. Without exponents the only plane is the score.
export function weights(exponents, theta, gamma) {
  if (!exponents) return [1];
  const factors = [gamma * theta, gamma * (1 - theta), 1 - gamma];
  return exponents.map((powers) => {
    let weight = 1;
    powers.forEach((power, f) => {
      for (let p = 0; p < power; p++) weight *= factors[f];
    });
    return weight;
  });
}

// Widths between the sparsities at which the server computed them, on straight lines.
function tabled({ sparsities, kept }, sparsity) {
  const last = sparsities.length - 1;
  const right = sparsities.findIndex((s) => s >= sparsity);
  if (right <= 0) return kept[right < 0 ? last : 0];
  const share = (sparsity - sparsities[right - 1]) / (sparsities[right] - sparsities[right - 1]);
  return kept[right].map((k, l) => Math.round(k * share + kept[right - 1][l] * (1 - share)));
}

export class Engine {
  // planes: one Float32Array per plane, all layers one after another
  constructor(widths, planes, exponents = null) {
    this.widths = widths;
    this.planes = planes;
    this.exponents = exponents;
    this.starts = new Int32Array(widths.length + 1);
    widths.forEach((w, l) => (this.starts[l + 1] = this.starts[l] + w));
    this.n = this.starts[widths.length];
    this.widest = Math.max(...widths);
    this.scores = new Float64Array(this.n);
    this.order = new Int32Array(this.n); // rank → neuron, within its layer
    this.ranks = new Int32Array(this.n);
    this.ranked = false;
    this.totals = new Float64Array(widths.length);
    this.kept = new Int32Array(widths.length);
    this.sorter = new Sorter(this.widest);
    this.table = null; // of an allocation that the server alone computes
  }

  // Recompute everything for one setting; returns this.
  update({ theta, gamma, sparsity, allocation, multipleOf }) {
    this.score(weights(this.exponents, theta, gamma));
    this.sort();
    this.kept.set(this.keep(sparsity, allocation, multipleOf));
    return this;
  }

  score(w) {
    const s = this.scores;
    const [p, q, r] = this.planes;
    if (w.length === 3) {
      const [a, b, c] = w;
      for (let i = 0; i < this.n; i++) s[i] = a * p[i] + b * q[i] + c * r[i];
    } else {
      for (let i = 0; i < this.n; i++) s[i] = w[0] * p[i];
      for (let k = 1; k < w.length; k++) {
        const plane = this.planes[k];
        for (let i = 0; i < this.n; i++) s[i] += w[k] * plane[i];
      }
      for (let i = 0; i < this.n; i++) if (s[i] < 0) s[i] = 0;
    }
    for (let l = 0; l < this.widths.length; l++) {
      let total = 0;
      for (let i = this.starts[l]; i < this.starts[l + 1]; i++) total += s[i];
      this.totals[l] = total;
    }
  }

  sort() {
    this.ranked = false;
    for (let l = 0; l < this.widths.length; l++) {
      const from = this.starts[l];
      const to = this.starts[l + 1];
      const order = this.order.subarray(from, to);
      this.sorter.descending(this.scores.subarray(from, to), order);
    }
  }

  // Neuron → rank within its layer, 0 = highest; made when somebody asks: a view in the
  // order of ranks does not.
  get rank() {
    if (!this.ranked) {
      const { order, ranks, starts } = this;
      for (let l = 0; l < this.widths.length; l++) {
        const from = starts[l];
        for (let r = from; r < starts[l + 1]; r++) ranks[from + order[r]] = r - from;
      }
      this.ranked = true;
    }
    return this.ranks;
  }

  // How many neurons each layer keeps.
  keep(sparsity, allocation, multipleOf) {
    let kept;
    if (allocation === "global") kept = this.keepGlobal(sparsity);
    else if (allocation === this.table?.name) kept = tabled(this.table, sparsity);
    else kept = this.widths.map((w) => w - dropped(w, sparsity));
    return kept.map((k, l) => rounded(k, this.widths[l], multipleOf));
  }

  keepGlobal(sparsity) {
    const wanted = this.n - dropped(this.n, sparsity);
    if (wanted === 0) return this.widths.map(() => 0);
    const threshold = this.kthHighest(wanted);
    const above = this.widths.map((_, l) => this.countAbove(l, threshold, false));
    let left = wanted - above.reduce((a, b) => a + b, 0);
    return above.map((k, l) => {
      const equals = this.countAbove(l, threshold, true) - k;
      const taken = Math.min(left, equals); // of equals the earlier layer keeps its own
      left -= taken;
      return k + taken;
    });
  }

  // The k-th highest normalised score of all layers, by bisection over sorted layers.
  kthHighest(k) {
    let low = 0;
    let high = 1;
    if (this.count(high, true) >= k) return high;
    for (;;) {
      const mid = low + (high - low) / 2;
      if (mid === low || mid === high) return low;
      if (this.count(mid, true) >= k) low = mid;
      else high = mid;
    }
  }

  count(threshold, orEqual) {
    let n = 0;
    for (let l = 0; l < this.widths.length; l++) n += this.countAbove(l, threshold, orEqual);
    return n;
  }

  countAbove(l, threshold, orEqual) {
    let low = 0;
    let high = this.widths[l];
    while (low < high) {
      const mid = (low + high) >> 1;
      const s = this.normalised(l, this.order[this.starts[l] + mid]);
      if (s > threshold || (orEqual && s === threshold)) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  // How many raw scores of a layer are at least so high.
  countFrom(l, score) {
    const { scores, order } = this;
    const start = this.starts[l];
    let low = 0;
    let high = this.widths[l];
    while (low < high) {
      const mid = (low + high) >> 1;
      if (scores[start + order[start + mid]] >= score) low = mid + 1;
      else high = mid;
    }
    return low;
  }

  // A neuron's share of its layer's total; all zeros count as equal shares.
  normalised(l, neuron) {
    const total = this.totals[l];
    return total > 0 ? this.scores[this.starts[l] + neuron] / total : 1 / this.widths[l];
  }

  isDropped(l, neuron) {
    return this.rank[this.starts[l] + neuron] >= this.kept[l];
  }

  // A neuron's place among all, from 1; of equals the lower layer and index first.
  rankInModel(l, neuron) {
    const own = this.normalised(l, neuron);
    const before = (_, k) =>
      k === l ? this.rank[this.starts[l] + neuron] : this.countAbove(k, own, k < l);
    return this.widths.map(before).reduce((a, b) => a + b, 1);
  }

  // The terms that sum to a neuron's score, as shares of its layer's total.
  terms(l, neuron, { theta, gamma }) {
    const i = this.starts[l] + neuron;
    const total = this.totals[l] || 1;
    return weights(this.exponents, theta, gamma).map((w, k) => (w * this.planes[k][i]) / total);
  }

  // The lowest normalised score that is kept, and the highest that is dropped.
  boundary(l) {
    const at = (r) => this.normalised(l, this.order[this.starts[l] + r]);
    const k = this.kept[l];
    return { kept: at(k - 1), dropped: k < this.widths[l] ? at(k) : null };
  }

  // How unevenly a layer's scores are spread: the effective number of neurons 1 / Σ s²
  // (inverse Simpson) and the PQ index with p = ½, q = 1: 1 − (Σ √s)² / (n Σ s).
  spread(l) {
    const { scores } = this;
    const total = this.totals[l];
    if (!(total > 0)) return { effective: this.widths[l], pq: 0 };
    let squares = 0;
    let roots = 0;
    for (let i = this.starts[l], end = this.starts[l + 1]; i < end; i++) {
      const s = scores[i];
      squares += s * s;
      roots += Math.sqrt(s);
    }
    return {
      effective: (total * total) / squares,
      pq: 1 - (roots * roots) / (this.widths[l] * total),
    };
  }

  // How many of the neurons dropped in a layer are marked: one byte each, all layers.
  countDropped(l, marks) {
    const { order } = this;
    const start = this.starts[l];
    let n = 0;
    for (let r = start + this.kept[l]; r < this.starts[l + 1]; r++) n += marks[start + order[r]];
    return n;
  }

  nDropped() {
    return this.n - this.kept.reduce((a, b) => a + b, 0);
  }

  // Which neurons are dropped, one byte each.
  droppedSet() {
    const set = new Uint8Array(this.n);
    for (let l = 0; l < this.widths.length; l++) {
      for (let r = this.kept[l]; r < this.widths[l]; r++) {
        set[this.starts[l] + this.order[this.starts[l] + r]] = 1;
      }
    }
    return set;
  }
}

function dropped(n, sparsity) {
  return Math.floor(sparsity * n + 0.5);
}

function rounded(width, dense, multipleOf) {
  return Math.max(1, Math.min(dense, Math.ceil(width / multipleOf) * multipleOf));
}

const DIGIT_BITS = 11; // two passes over 22 bits of what lies between least and most
const DIGITS = 1 << DIGIT_BITS;
const KEY_MASK = DIGITS * DIGITS - 1;
const LONG_RUN = 64;
const SIGN = 2 ** 31;

// Sorts doubles descending: a radix sort on their float32 images, of which as many bits
// count as two digits hold, the same again within long runs of equal keys, an insertion
// sort within short ones. Stable: equals keep their order.
class Sorter {
  constructor(widest) {
    this.keys = new Uint32Array(widest);
    this.floats = new Float32Array(this.keys.buffer);
    this.spareKeys = new Uint32Array(widest);
    this.spareOrder = new Int32Array(widest);
    this.counts = [new Uint32Array(DIGITS), new Uint32Array(DIGITS)];
  }

  descending(scores, order) {
    const n = scores.length;
    const { keys } = this;
    this.floats.set(scores);
    let least = SIGN - 1;
    let most = 0;
    for (let i = 0; i < n; i++) {
      const bits = keys[i] & (SIGN - 1); // non-negative floats sort like their bits
      if (bits < least) least = bits;
      if (bits > most) most = bits;
    }
    const shift = Math.max(0, 32 - Math.clz32(most - least) - 2 * DIGIT_BITS);
    for (let i = 0; i < n; i++) {
      keys[i] = (most - (keys[i] & (SIGN - 1))) >>> shift;
      order[i] = i;
    }
    this.radix(order, 0, n);
    this.mend(scores, order, 0, n);
  }

  // Sort order[from, to) by keys of two digits at the same places.
  radix(order, from, to) {
    const { keys, spareKeys, spareOrder } = this;
    const [low, high] = this.counts.map((c) => c.fill(0));
    for (let i = from; i < to; i++) {
      low[keys[i] & (DIGITS - 1)]++;
      high[keys[i] >>> DIGIT_BITS]++;
    }
    sumUp(low, from);
    sumUp(high, from);
    for (let i = from; i < to; i++) {
      const at = low[keys[i] & (DIGITS - 1)]++;
      spareKeys[at] = keys[i];
      spareOrder[at] = order[i];
    }
    for (let i = from; i < to; i++) {
      const at = high[spareKeys[i] >>> DIGIT_BITS]++;
      keys[at] = spareKeys[i];
      order[at] = spareOrder[i];
    }
  }

  // Put runs of equal keys into the order of their doubles.
  mend(scores, order, first, end) {
    const { keys } = this;
    for (let from = first; from < end; ) {
      let to = from + 1;
      while (to < end && keys[to] === keys[from]) to++;
      if (to - from > LONG_RUN) this.spread(scores, order, from, to);
      else if (to - from > 1) insert(scores, order, from, to);
      from = to;
    }
  }

  // Sort a long run by where its doubles lie between its ends.
  spread(scores, order, from, to) {
    let low = Infinity;
    let high = -Infinity;
    for (let i = from; i < to; i++) {
      const s = scores[order[i]];
      if (s < low) low = s;
      if (s > high) high = s;
    }
    if (low === high) return;
    const scale = KEY_MASK / (high - low);
    if (!Number.isFinite(scale)) return insert(scores, order, from, to);
    for (let i = from; i < to; i++) this.keys[i] = (high - scores[order[i]]) * scale;
    this.radix(order, from, to);
    this.mend(scores, order, from, to);
  }
}

function insert(scores, order, from, to) {
  for (let i = from + 1; i < to; i++) {
    const neuron = order[i];
    let j = i;
    while (j > from && scores[order[j - 1]] < scores[neuron]) {
      order[j] = order[j - 1];
      j--;
    }
    order[j] = neuron;
  }
}

// Turn counts into places, the first of which is given.
function sumUp(counts, from) {
  let sum = from;
  for (let d = 0; d < DIGITS; d++) {
    const c = counts[d];
    counts[d] = sum;
    sum += c;
  }
}
