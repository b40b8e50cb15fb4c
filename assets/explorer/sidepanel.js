// What stands beside the canvas and moves with it: sentences, cards, charts, the legend.

import * as card from "./card.js";
import * as charts from "./charts.js";
import { byChance, overlaps } from "./compare.js";
import { crc32 } from "../common/payload.js";
import { take } from "../common/shelf.js";

export class Beside {
  constructor(explorer) {
    this.explorer = explorer;
    this.turn = 0;
  }

  // What moves with the canvas: the sentence, the neuron, the churn, the charts.
  describe() {
    const x = this.explorer;
    const { engine, pin } = x;
    const shown = x.layers();
    const every = [...engine.widths.keys()];
    const changed = card.churn(engine, pin, every);
    const here = shown.length === every.length ? changed : card.churn(engine, pin, shown);
    x.find(".reading").textContent = reading(x, changed);
    this.showCard();
    card.showChurn(x.find(".churn"), here, shown);
    // While anything moves these take turns, one in a frame: the canvas comes first.
    const theme = x.theme();
    const parts = [
      () => charts.distribution(x.find(".distribution"), engine, shown, theme),
      () => this.caption(".distribution", distributionReading(engine, shown)),
      () => this.drawOverlap(theme),
      () => this.drawMap(),
    ];
    if (x.moving && !x.resting) parts[this.turn++ % parts.length]();
    else parts.forEach((draw) => draw());
    x.links.describe(x.find(".level"));
    x.find(".closer").hidden = !x.view.brush;
    x.find(".whole").hidden =
      x.view.layer === null && x.view.from === 0 && x.view.to === engine.widest;
  }

  showCard() {
    const x = this.explorer;
    const box = x.find(".card");
    card.showNeuron(box, x.engine, x.settings, x.pin, x.chosen ?? x.hovered);
    x.find(".release").hidden = !x.chosen;
    this.showFacts();
  }

  // What the server knows of the neuron held comes later, and grows while it is read.
  showFacts() {
    const x = this.explorer;
    const facts = take("held");
    const own = x.chosen && facts?.layer === x.chosen.layer && facts.neuron === x.chosen.neuron;
    const about = own ? facts : JSON.stringify(x.chosen);
    if (about === this.about) return;
    this.about = about;
    const hold = (at) => {
      x.choose(at);
      x.reveal(at);
    };
    const shown = x.chosen && (own ? facts : { reading: true });
    card.showFacts(x.find(".facts"), shown, hold, () => x.commit("worth"));
  }

  drawOverlap(theme) {
    const x = this.explorer;
    const compared = take(x.data.compared);
    const canvas = x.find(".overlap");
    canvas.parentElement.hidden = !compared;
    if (!compared) return;
    const costly = x.engine.n * compared.names.length > 600_000;
    if (!costly || x.resting) {
      this.shares = overlaps(x.engine, compared, x.settings, x.layers());
    }
    if (!this.shares) return;
    const chance = byChance(x.engine, x.layers());
    charts.overlap(canvas, this.shares, chance, theme);
    const where = x.view.layer === null ? "here" : `in layer ${x.view.layer}`;
    this.caption(".overlap", `Of what is removed ${where}, the share that other criteria would remove too; the line: by chance, ${card.percent(chance)}.`);
  }

  drawMap() {
    const x = this.explorer;
    const canvas = x.find(".map");
    canvas.parentElement.hidden = !x.hasTheta;
    if (!x.hasTheta || !x.engine) return;
    const { grid, size } = x.atlas;
    charts.map(canvas, grid, size, x.settings, x.pin.settings, x.theme());
    const left = grid.reduce((n, x) => n + Number.isNaN(x), 0);
    const how = left ? `computing, ${left} points left` : "yellow: all of it, purple: none";
    this.caption(".map", `How much of what the reference removes each θ, γ still removes (${how}). Click to go there.`);
  }

  caption(of, text) {
    const x = this.explorer;
    x.find(of).nextElementSibling.textContent = text;
    x.find(of).setAttribute("aria-label", text);
  }

  showKey() {
    const x = this.explorer;
    const { agreed } = x.data;
    let said = x.data.look ?? "";
    if (!said && x.engine && x.scale && agreed?.serial === x.serial) {
      const same = crc32(x.engine.droppedSet()) === agreed.crc;
      said = same
        ? `✓ the server removes the same ${card.count(agreed.nDropped)} neurons`
        : `the exact recursion removes ${card.count(agreed.nDropped)}, not quite the same ones`;
    }
    const error = x.payload?.error;
    if (error > 0) said += ` (chained while dragging: off by up to ${error.toExponential(1)} of a layer's 1 at the 12 points tried)`;
    if (x.scale) card.showKey(x.find(".key"), x.view.colour, x.scale, said);
  }
}

function reading({ engine, settings, hasTheta }, { lost, saved }) {
  const gone = engine.nDropped();
  const rho = (settings.gamma * settings.theta) / (1 - settings.gamma);
  const point = hasTheta
    ? `At θ ${settings.theta.toFixed(2)} and γ ${settings.gamma.toFixed(2)} (ρ = γθ/(1 − γ) = ${
        Number.isFinite(rho) ? card.three(rho) : "∞"
      }), `
    : "";
  const removed = `${card.count(gone)} of ${card.count(engine.n)} neurons are removed (${card.percent(
    gone / engine.n,
  )})`;
  const widths = [...engine.kept];
  const [least, most] = [Math.min(...widths), Math.max(...widths)].map(card.count);
  const kept = least === most ? `every layer keeps ${most}` : `layers keep ${least} to ${most}`;
  const moved =
    lost + saved === 0
      ? "the same as the reference."
      : `${card.count(lost + saved)} change sides against the reference.`;
  const said = `${point}${removed}; ${kept}; ${moved}`;
  return said.charAt(0).toUpperCase() + said.slice(1);
}

function distributionReading(engine, shown) {
  let [effective, pq] = [0, 0];
  for (const l of shown) {
    const spread = engine.spread(l);
    effective += spread.effective / engine.widths[l] / shown.length;
    pq += spread.pq / shown.length;
  }
  const of = shown.length === 1 ? `layer ${shown[0]}` : "all layers";
  return (
    `Scores of ${of}, × the layer's mean; the lower ones (striped) are removed. ` +
    `Effective neurons 1/Σs²: ${card.percent(effective)}, PQ index ${card.three(pq)}: ` +
    `a hint, not measured, to remove up to ${card.percent(1 - effective)}.`
  );
}
