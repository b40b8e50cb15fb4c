// What other criteria would cut.

import { Engine } from "./engine.js";

const COMPARED = new WeakMap(); // payload → one engine per criterion

// Of what is cut in some layers, the share that each compared criterion cuts too.
export function overlaps(engine, compared, settings, layers) {
  if (!COMPARED.has(compared)) {
    const engines = compared.planes.map((p) => new Engine(compared.widths, [p]));
    engines.forEach((e) => {
      e.score([1]);
      e.sort();
    });
    COMPARED.set(compared, engines);
  }
  const gone = layers.reduce((n, l) => n + engine.widths[l] - engine.kept[l], 0);
  const found = {};
  COMPARED.get(compared).forEach((other, k) => {
    other.table = engine.table;
    other.kept.set(other.keep(settings.sparsity, settings.allocation, settings.multipleOf));
    let both = 0;
    for (const l of layers) {
      const [rank, kept, start] = [other.rank, other.kept[l], engine.starts[l]];
      for (let r = start + engine.kept[l]; r < engine.starts[l + 1]; r++) {
        both += rank[start + engine.order[r]] >= kept;
      }
    }
    found[compared.names[k]] = gone > 0 ? both / gone : 1;
  });
  return found;
}

// The same share for neurons drawn blindly, as many in each layer.
export function byChance(engine, layers) {
  let [both, gone] = [0, 0];
  for (const l of layers) {
    const cut = engine.widths[l] - engine.kept[l];
    both += cut ** 2 / engine.widths[l];
    gone += cut;
  }
  return gone > 0 ? both / gone : 1;
}
