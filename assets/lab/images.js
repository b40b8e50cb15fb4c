// Pictures of examples, and patterns of neurons.

import { DIFFERENCES } from "../common/theme.js";

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

// A canvas as sharp as the screen; returns its context and its size in CSS pixels.
export function sharp(canvas, width, height) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
  return context;
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
