// The weights as fields on their edges: typed, or moved with the arrow keys.

import { element } from "../explorer/card.js";

export const MOST = 100;
const STEP = 0.25;

// A number as a link holds it: at most four decimals.
export const tidy = (x) => +x.toFixed(4);

const shown = (x) => `${x}`.replace("-", "−");

// Read what was typed; returns { value } or { complaint }.
export function read(text, name, before) {
  const value = Number(text.trim().replace(",", ".").replace("−", "-"));
  const stays = `${name} stays ${before}`;
  if (text.trim() === "" || Number.isNaN(value)) {
    return { complaint: `“${text.trim().slice(0, 20)}” is no number, ${stays}; write one from −${MOST} to ${MOST}.` };
  }
  if (Math.abs(value) > MOST) {
    return { complaint: `${text.trim().slice(0, 20)} is too large, ${stays}; write a number from −${MOST} to ${MOST}.` };
  }
  return { value: tidy(value) };
}

export class Edit {
  // `on(place, value, released)` is told of every valid number, `say(text)` of the others.
  constructor(box, { on, say }) {
    this.box = box;
    this.on = on;
    this.say = say;
    this.fields = [];
  }

  // One field per weight, in the order of the numbers.
  make(names) {
    if (this.fields.length) return;
    names.slice(1).forEach((targets, l) =>
      targets.forEach((target, j) =>
        names[l].forEach((source, i) => this.field(`${source}→${target}`, [l, j, i])),
      ),
    );
    this.box.append(...this.fields.map(({ input }) => input));
  }

  field(name, id) {
    const place = this.fields.length;
    const input = element("input");
    Object.assign(input, { type: "text", inputMode: "decimal", autocomplete: "off" });
    input.setAttribute("aria-label", `weight ${name}`);
    input.dataset.weight = name;
    const found = () => read(input.value, name, this.numbers[place]);
    const good = (value, released) => {
      input.removeAttribute("aria-invalid");
      this.say("");
      this.on(place, value, released);
    };
    input.addEventListener("input", () => {
      const { value } = found();
      if (value !== undefined) good(value, false);
    });
    input.addEventListener("change", () => {
      const { value, complaint } = found();
      if (complaint) {
        this.say(complaint);
        input.value = shown(this.numbers[place]);
      } else {
        good(value, true);
        input.value = shown(value);
      }
    });
    input.addEventListener("focus", () => input.select());
    input.addEventListener("keydown", (event) => {
      const by = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const value = Math.max(-MOST, Math.min(MOST, tidy(this.numbers[place] + by)));
      input.value = shown(value);
      good(value, true);
    });
    this.fields.push({ input, id });
  }

  // Put the fields onto their edges; hidden where the step is another.
  place(scene, { numbers, isOpen, names }) {
    this.numbers = numbers;
    this.box.hidden = !isOpen;
    if (!isOpen) return;
    this.make(names);
    this.fields.forEach(({ input, id }, place) => {
      const { x, y } = scene.place(id);
      Object.assign(input.style, { left: `${x}px`, top: `${y}px` });
      input.style.opacity = numbers[place] === 0 ? 0.55 : 1;
      if (input.getRootNode().activeElement !== input) input.value = shown(numbers[place]);
    });
  }
}
