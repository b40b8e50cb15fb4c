// Pictures of examples, patterns of neurons, and the lab's look in either theme.

import { DIFFERENCES } from "../common/colours.js";

// One example as a small canvas of its own pixels.
export function picture({ images, shape }, index) {
  const [height, width, channels] = shape;
  const from = index * height * width * channels;
  return painted(width, height, (pixels) => {
    for (let i = 0; i < width * height; i++) {
      const at = from + i * channels;
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = images[at + (channels === 3 ? c : 0)];
      pixels[4 * i + 3] = 255;
    }
  });
}

// A pattern of -127 to 127 by the diverging map; of colours the mean of its channels.
export function pattern(values, from, [height, width, channels]) {
  return painted(width, height, (pixels) => {
    const whole = new Uint32Array(pixels.buffer);
    for (let i = 0; i < width * height; i++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += values[from + i * channels + c];
      whole[i] = DIFFERENCES[Math.round(127.5 + sum / channels)];
    }
  });
}

function painted(width, height, paint) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  paint(image.data);
  context.putImageData(image, 0, 0);
  return canvas;
}

// The colours of the page's theme.
export function lookOf(element) {
  const text = getComputedStyle(element).color;
  const [r, g, b] = (text.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  const dark = r + g + b > 380; // light text
  element.style.colorScheme = dark ? "dark" : "light";
  return {
    dark,
    text,
    accent: dark ? "#56b4e9" : "#0072b2",
    neutral: dark ? "#a3a8b4" : "#6b7280",
    line: dark ? "#2f3440" : "#e4e6eb",
    wrong: dark ? "#e69f00" : "#b45f06",
    background: dark ? "#0d1015" : "#ffffff",
    series: dark
      ? ["#56b4e9", "#e69f00", "#cc99dd", "#d0d0d0", "#66d9d9", "#e3c878"]
      : ["#0072b2", "#b45f06", "#7b3294", "#4d4d4d", "#008b8b", "#a6761d"],
  };
}

// A canvas as sharp as the screen; returns its context and its size in CSS pixels.
export function sharp(canvas, width, height) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px sans-serif";
  return context;
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
