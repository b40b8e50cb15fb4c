// Colours as numbers: little-endian pixels, 0xAABBGGRR.

export function pixel(hex) {
  const [r, g, b] = rgb(hex);
  return pack(r, g, b);
}

export function css(of) {
  return `rgb(${of & 255} ${(of >> 8) & 255} ${(of >> 16) & 255})`;
}

// 256 pixels from evenly spaced stops.
export function ramp(stops) {
  const known = stops.map(rgb);
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (known.length - 1);
    const k = Math.min(Math.floor(at), known.length - 2);
    const mixed = known[k].map((c, j) => c + (at - k) * (known[k + 1][j] - c));
    return pack(...mixed.map(Math.round));
  });
}

// Two pixels, with a share of the second.
export function mixed(a, b, share) {
  const part = (k) => Math.round((1 - share) * ((a >> k) & 255) + share * ((b >> k) & 255));
  return pack(part(0), part(8), part(16));
}

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function pack(r, g, b) {
  return (255 << 24) | (b << 16) | (g << 8) | r;
}
