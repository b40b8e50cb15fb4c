// The controls above the canvas: sliders that also take typing, and choices.

const STEP = { theta: 0.01, gamma: 0.01, sparsity: 0.01 };

// `on(name, value, released)` is told of every change; values are numbers or words.
export class Controls {
  constructor(root, on) {
    this.root = root;
    this.on = on;
    this.defaults = {};
    for (const name of Object.keys(STEP)) this.slider(name);
    for (const group of root.querySelectorAll("[data-choice]")) this.choice(group);
    for (const select of root.querySelectorAll("select[data-setting]")) {
      select.addEventListener("change", () =>
        on(select.dataset.setting, numeric(select.value), true),
      );
    }
  }

  slider(name) {
    const { range, typed } = this.parts(name);
    const factor = name === "sparsity" ? 100 : 1;
    range.addEventListener("input", () => this.on(name, +range.value, false));
    range.addEventListener("change", () => this.on(name, +range.value, true));
    range.addEventListener("dblclick", () => this.on(name, this.defaults[name], true));
    typed.addEventListener("change", () => {
      const value = +typed.value.replace(",", ".") / factor;
      const valid = typed.value.trim() !== "" && Number.isFinite(value);
      const kept = valid ? Math.max(+range.min, Math.min(+range.max, value)) : +range.value;
      this.on(name, Math.round(kept * 1e4) / 1e4, true);
    });
  }

  choice(group) {
    const buttons = [...group.querySelectorAll("button")];
    for (const button of buttons) {
      button.addEventListener("click", () =>
        this.on(group.dataset.choice, asked(button), true),
      );
    }
    group.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const at = buttons.indexOf(event.target);
      const next = buttons[(at + step + buttons.length) % buttons.length];
      if (!next.disabled) {
        next.focus();
        next.click();
      }
    });
  }

  parts(name) {
    const part = (kind) => this.root.querySelector(`${kind}[data-setting="${name}"]`);
    return { range: part("input[type=range]"), typed: part("input.typed") };
  }

  // Show the settings and the view; disable what has no meaning for the criterion.
  show(settings, view, { hasTheta, other }) {
    for (const name of Object.keys(STEP)) {
      const { range, typed } = this.parts(name);
      const off = !hasTheta && name !== "sparsity";
      range.disabled = typed.disabled = off;
      if (+range.value !== settings[name]) range.value = settings[name];
      const shown =
        name === "sparsity"
          ? `${+(100 * settings[name]).toFixed(2)}`
          : `${+settings[name].toFixed(4)}`;
      if (this.root.activeElement !== typed && typed.getRootNode().activeElement !== typed) {
        typed.value = shown;
      }
      range.setAttribute("aria-valuetext", name === "sparsity" ? `${shown} percent` : shown);
    }
    const all = { ...settings, ...view };
    for (const group of this.root.querySelectorAll("[data-choice]")) {
      for (const button of group.querySelectorAll("button")) {
        if ("other" in button.dataset) offer(button, other);
        const chosen = `${all[group.dataset.choice]}` === button.value;
        button.setAttribute("aria-pressed", chosen);
        if (group.dataset.choice === "graph") button.disabled = !hasTheta;
      }
    }
    for (const select of this.root.querySelectorAll("select[data-setting]")) {
      select.value = `${all[select.dataset.setting]}`;
    }
  }
}

// The allocation that the page's sidebar has chosen, where it is not one of the canvas'.
function offer(button, name) {
  button.hidden = !name;
  button.value = button.textContent = name ?? "";
  button.title = "Widths computed by the server; between two of them on a straight line";
}

// A button that stands alone switches between two values.
function asked(button) {
  const pressed = button.getAttribute("aria-pressed") === "true";
  return pressed && button.dataset.off ? button.dataset.off : button.value;
}

function numeric(text) {
  return text !== "" && Number.isFinite(+text) ? +text : text;
}
