// The random surfer: with probability γ along an edge, else a jump. The same walk for
// the same seed, so that a link to its n-th step shows it again.

import { edgeShares, priors } from "./network.js";

export const MOST = 200_000; // steps

// Numbers in [0, 1) from a seed (mulberry32, T. Ettinger, public domain).
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class Walker {
  constructor(network, { theta, gamma }, seed = 1) {
    this.gamma = gamma;
    this.priors = priors(network);
    this.shares = network.weights.map((matrix) => edgeShares(matrix, theta));
    this.draw = random(seed);
    this.visits = this.priors.map((p) => p.map(() => 0));
    this.n = 0;
    this.at = null; // [layer, node]
    this.from = null;
    this.jumped = true;
  }

  // Walk until so many steps are done.
  to(n) {
    while (this.n < Math.min(n, MOST)) this.step();
    return this;
  }

  step() {
    this.from = this.at;
    this.jumped = this.at === null || this.draw() >= this.gamma;
    this.at = this.jumped ? this.jump() : this.follow();
    this.visits[this.at[0]][this.at[1]] += 1;
    this.n += 1;
  }

  jump() {
    const layer = Math.floor(this.draw() * this.priors.length);
    return [layer, this.pick(this.priors[layer])];
  }

  // Along an edge by its share; from the last layer, or where there is none, home.
  follow() {
    const [layer, node] = this.at;
    const leaving = this.shares[layer]?.map((row) => row[node]) ?? [];
    if (leaving.some((share) => share > 0)) return [layer + 1, this.pick(leaving)];
    return [0, this.pick(this.priors[0])];
  }

  pick(shares) {
    let left = this.draw();
    let last = 0;
    for (let i = 0; i < shares.length; i++) {
      if (shares[i] > 0) last = i;
      left -= shares[i];
      if (left < 0 && shares[i] > 0) return i;
    }
    return last; // rounding left a crumb
  }

  // The share of time at each node, times the number of layers.
  get frequencies() {
    return this.visits.map((layer) => layer.map((v) => (this.n ? (v * this.visits.length) / this.n : 0)));
  }

  // The largest distance to given scores.
  error(scores) {
    const seen = this.frequencies;
    return Math.max(...scores.flatMap((layer, l) => layer.map((s, i) => Math.abs(s - seen[l][i]))));
  }
}
