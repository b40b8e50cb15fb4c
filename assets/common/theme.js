// The colours of the app, as llmrank/report/charts/theme.py has them: no other module has any.

import { pixel, ramp } from "./colours.js";

const LIGHT = {
  background: "#ffffff",
  grid: "#e4e6eb",
  neutral: "#6b7280",
  accent: "#0072b2",
  series: ["#0072b2", "#b45f06", "#7b3294", "#4d4d4d", "#008b8b", "#a6761d"],
};
const DARK = {
  background: "#0d1015",
  grid: "#2f3440",
  neutral: "#a3a8b4",
  accent: "#56b4e9",
  series: ["#56b4e9", "#e69f00", "#cc99dd", "#d0d0d0", "#66d9d9", "#e3c878"],
};
const VIRIDIS = [
  "#440154", "#482878", "#3e4989", "#31688e", "#26828e",
  "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725",
];
const PUOR = [
  "#2d004b", "#542788", "#8073ac", "#b2abd2", "#d8daeb", "#f7f7f7",
  "#fee0b6", "#fdb863", "#e08214", "#b35806", "#7f3b08",
];

export const SCORES = ramp(VIRIDIS);
export const DIFFERENCES = ramp(PUOR);

// In either theme: Okabe and Ito's, and a grey.
export const BLUE = "#0072b2";
export const ORANGE = "#e69f00";
export const GREY = "#999999";
export const NEWLY_DROPPED = pixel("#d55e00"); // vermilion and sky blue
export const NEWLY_KEPT = pixel("#56b4e9");

// The colours of the page's theme, for what is drawn on a canvas.
export function lookOf(element) {
  const text = getComputedStyle(element).color;
  const [r, g, b] = (text.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  const dark = r + g + b > 380; // light text
  element.style.colorScheme = dark ? "dark" : "light"; // native tracks
  const colours = dark ? DARK : LIGHT;
  return { ...colours, dark, text, wrong: colours.series[1] };
}
