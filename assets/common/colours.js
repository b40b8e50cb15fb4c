// Viridis for scores, purple to orange for differences, and the two sides of a cut.
// Little-endian pixels: 0xAABBGGRR.

const VIRIDIS =
  "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725".split(" ");
const PUOR =
  "2d004b 542788 8073ac b2abd2 d8daeb f7f7f7 fee0b6 fdb863 e08214 b35806 7f3b08".split(" ");

export const SCORES = ramp(VIRIDIS);
export const DIFFERENCES = ramp(PUOR);
export const NEWLY_DROPPED = pixel("d55e00"); // vermilion and sky blue: Okabe and Ito
export const NEWLY_KEPT = pixel("56b4e9");

export function pixel(hex) {
  const [r, g, b] = rgb(hex);
  return pack(r, g, b);
}

export function css(of) {
  return `rgb(${of & 255} ${(of >> 8) & 255} ${(of >> 16) & 255})`;
}

// 256 pixels from evenly spaced stops.
function ramp(stops) {
  const known = stops.map(rgb);
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (known.length - 1);
    const k = Math.min(Math.floor(at), known.length - 2);
    const mixed = known[k].map((c, j) => c + (at - k) * (known[k + 1][j] - c));
    return pack(...mixed.map(Math.round));
  });
}

function rgb(hex) {
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function pack(r, g, b) {
  return (255 << 24) | (b << 16) | (g << 8) | r;
}
