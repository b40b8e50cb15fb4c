// Sizes of elements without asking the layout in every frame, which would compute it anew.

const KNOWN = new WeakMap();
const OBSERVER = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    KNOWN.set(target, { width: contentRect.width, height: contentRect.height });
  }
});

export function sizeOf(element) {
  if (!KNOWN.has(element)) {
    KNOWN.set(element, { width: element.clientWidth, height: element.clientHeight });
    OBSERVER.observe(element);
  }
  return KNOWN.get(element);
}

// Give a canvas as many pixels as it is large on the screen; returns its size there.
export function fit(canvas, ratio) {
  const { width, height } = sizeOf(canvas);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  return { width, height };
}
