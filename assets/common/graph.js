// Draws a layered graph of any kind; knows nothing of models, canvases or settings.
// A scene is { layers: [{ name?, y? }], nodes: [{ layer, x, y, r, half, colour, gone, label?, beside? }],
// edges: [{ from, to, weight, gone, strong?, label?, via? }] }: `from` and `to` are places in
// nodes, weights run from 0 to 1, the strongest first; a node with r = 0 only holds edges,
// which begin and end `half` below and above its middle. An edge runs through `via`, a place
// { x, y, half }, and leaves it free for its label.

const STEPS = 8; // of width and opacity: few changes of style
const FADED = 0.6; // of the opacity, for edges of what is gone

// Give the nodes of each layer a place, one layer below the other; sizes are in [0, 1].
export function arranged({ layers, nodes, edges }, { width, height }, largest = 18) {
  const left = layers.some((layer) => layer.name) ? 76 : 0;
  const row = height / layers.length;
  const members = layers.map((_, l) => nodes.filter((node) => node.layer === l));
  const most = Math.max(...members.map((m) => m.length));
  const radius = Math.min(largest, (0.4 * (width - left)) / most, 0.3 * row);
  const placed = nodes.map((node) => {
    const mates = members[node.layer];
    const share = (mates.indexOf(node) + 0.5) / mates.length;
    const r = radius * Math.sqrt(node.size ?? 1);
    const x = left + share * (width - left);
    return { ...node, x, y: (node.layer + 0.5) * row, r, half: r, beside: true };
  });
  return { layers: layers.map((l, i) => ({ ...l, y: (i + 0.5) * row })), nodes: placed, edges };
}

// look: { text, accent, neutral, background } as CSS colours. Returns what was drawn.
export function draw(c, { layers, nodes, edges }, look) {
  const strong = edges.filter((edge) => edge.strong);
  const density = Math.min(1, 18 / Math.sqrt(edges.length)) * (strong.length ? 0.4 : 1);
  c.save();
  c.lineCap = "round";
  const plain = edges.filter((edge) => !edge.strong);
  curves(c, nodes, plain.filter((edge) => edge.gone), look.neutral, FADED * density);
  curves(c, nodes, plain.filter((edge) => !edge.gone), look.accent, density);
  curves(c, nodes, strong, look.text, 1, { faintest: 0.7, thinnest: 1.2 });
  c.globalAlpha = 1;
  c.setLineDash([]);
  const circles = nodes.filter((node) => node.r > 0);
  for (const node of circles) circle(c, node, look);
  labels(c, layers, nodes, edges, look);
  c.restore();
  return { nodes: circles.length, edges: edges.length, gone: edges.filter((e) => e.gone).length };
}

// The weakest first, so that the strongest lie above; dashed where an end is cut.
function curves(c, nodes, edges, colour, density, { faintest = 0.3, thinnest = 0.6 } = {}) {
  c.strokeStyle = colour;
  let [step, gone] = [-1, null];
  for (let k = edges.length - 1; k >= 0; k--) {
    const edge = edges[k];
    const s = Math.round(STEPS * edge.weight);
    if (s !== step) {
      step = s;
      c.globalAlpha = density * (faintest + (1 - faintest) * (s / STEPS) ** 1.5);
      c.lineWidth = thinnest + (2.2 * s) / STEPS;
    }
    if (edge.gone !== gone) {
      gone = edge.gone;
      c.setLineDash(gone ? [2, 5] : []);
    }
    trace(c, nodes, edge);
    c.stroke();
  }
}

// Begin the path of an edge: a curve, or two with room for the label between them.
export function trace(c, nodes, edge) {
  c.beginPath();
  for (const [a, b] of legs(nodes, edge)) {
    const middle = (a.y + b.y) / 2;
    c.moveTo(a.x, a.y);
    c.bezierCurveTo(a.x, middle, b.x, middle, b.x, b.y);
  }
}

function legs(nodes, { from, to, via }) {
  const stops = [nodes[from], ...(via ? [via] : []), nodes[to]];
  return stops.slice(1).map((b, k) => {
    const a = stops[k];
    return [{ x: a.x, y: a.y + a.half }, { x: b.x, y: b.y - b.half }];
  });
}

// Kept: filled. Gone: hollow and crossed, so that it does not rest on colour.
function circle(c, { x, y, r, colour, gone }, look) {
  c.beginPath();
  c.arc(x, y, r, 0, 2 * Math.PI);
  c.fillStyle = gone ? look.background : colour;
  c.fill();
  if (gone) {
    c.strokeStyle = colour;
    c.lineWidth = Math.min(4, 0.2 + 0.45 * r);
    c.stroke();
  }
  c.strokeStyle = look.text;
  c.globalAlpha = 0.55;
  c.lineWidth = 0.8;
  c.stroke();
  c.globalAlpha = 1;
  if (!gone || r < 4) return; // no room for a cross: hollow alone
  const d = 0.6 * r;
  c.lineWidth = 1;
  c.beginPath();
  c.moveTo(x - d, y - d);
  c.lineTo(x + d, y + d);
  c.moveTo(x - d, y + d);
  c.lineTo(x + d, y - d);
  c.stroke();
}

// Text on a rim of the background, legible across edges.
function labels(c, layers, nodes, edges, look) {
  const write = (text, x, y, align) => {
    c.textAlign = align;
    c.strokeText(text, x, y);
    c.fillText(text, x, y);
  };
  c.textBaseline = "middle";
  c.lineJoin = "round";
  c.lineWidth = 3;
  c.strokeStyle = look.background;
  c.fillStyle = look.text;
  for (const { name, y } of layers) if (name) write(name, 4, y, "left");
  for (const { label, beside, x, y, r } of nodes) {
    if (label && beside) write(label, x + r + 5, y, "left");
    else if (label) write(label, x, y + r + 9, "center");
  }
  for (const { label, via } of edges) if (label) write(label, via.x, via.y, "center");
}

// A point of an edge: 0 is its beginning, 1 its end.
export function onEdge(nodes, edge, share) {
  const curves = legs(nodes, edge);
  const k = Math.min(curves.length - 1, Math.floor(share * curves.length));
  const [[a, b], t] = [curves[k], share * curves.length - k];
  return {
    x: a.x + (3 * t ** 2 - 2 * t ** 3) * (b.x - a.x),
    y: a.y + (1.5 * t * (1 - t) + t ** 3) * (b.y - a.y),
  };
}
