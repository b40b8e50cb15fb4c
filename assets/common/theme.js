// The colours of the page's theme, for what is drawn on a canvas.

import { pixel } from "./colours.js";

export function lookOf(element) {
  const text = getComputedStyle(element).color;
  const [r, g, b] = (text.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  const dark = r + g + b > 380; // light text
  element.style.colorScheme = dark ? "dark" : "light"; // native tracks
  return {
    dark,
    text,
    accent: dark ? "#56b4e9" : "#0072b2",
    neutral: dark ? "#a3a8b4" : "#6b7280",
    line: dark ? "#2f3440" : "#e4e6eb",
    background: pixel(dark ? "0d1015" : "ffffff"),
  };
}
