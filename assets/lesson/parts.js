// The pieces of the panel: tables, bars, questions. Text goes through textContent alone.

import { element } from "../explorer/card.js";

export const two = (x) => x.toFixed(2).replace("-", "−");
export const three = (x) => x.toFixed(3).replace("-", "−");

// heads: texts; rows: { cells: [text or element], chosen?, gone? }.
export function table(heads, rows) {
  const made = element("table");
  const head = element("tr");
  head.append(...heads.map((text) => element("th", text)));
  const lines = rows.map(({ cells, chosen, gone }) => {
    const line = element("tr");
    line.classList.toggle("chosen", Boolean(chosen));
    line.classList.toggle("gone", Boolean(gone));
    line.append(
      ...cells.map((cell) => {
        const isNode = cell instanceof Node;
        const made = element("td", isNode ? undefined : cell);
        if (isNode) {
          made.append(cell);
          made.className = "wide";
        }
        return made;
      }),
    );
    return line;
  });
  const body = element("tbody");
  body.append(...lines);
  const top = element("thead");
  top.append(head);
  made.append(top, body);
  return made;
}

// A bar of shares of 1, each { share, colour }, with a tick somewhere.
export function bar(pieces, tick) {
  const made = element("div");
  made.className = "bar";
  let at = 0;
  for (const { share, colour } of pieces) {
    made.append(element("i", "", { left: `${100 * at}%`, width: `${100 * Math.min(1 - at, share)}%`, background: colour }));
    at = Math.min(1, at + share);
  }
  if (tick !== undefined) made.append(element("b", "", { left: `calc(${100 * Math.min(1, tick)}% - 1px)` }));
  return made;
}

// A question with its options; once answered, whether the guess holds and why.
export function question({ ask, options, right, because }, guess, onGuess) {
  if (guess === undefined) {
    const asked = element("p", ask);
    asked.prepend(element("b", "Predict first. "));
    const choices = element("div");
    choices.className = "options";
    for (const { id, label } of [...options, { id: "-", label: "Just show me" }]) {
      const choice = element("button", label);
      choice.type = "button";
      choice.dataset.guess = id;
      choice.addEventListener("click", () => onGuess(id));
      choices.append(choice);
    }
    return [asked, choices];
  }
  const said = `You said ${nameOf(options, guess)}`;
  const known = right.length > 0;
  const verdict = guess === "-" ? "" : !known ? `${said}. ` : right.includes(guess) ? `${said}: right. ` : `${said}: not so. `;
  const answer = element("p", `${because} `);
  answer.prepend(element("b", verdict));
  const again = element("button", "Ask again");
  again.type = "button";
  again.className = "again";
  again.addEventListener("click", () => onGuess(undefined));
  answer.append(again);
  answer.title = ask;
  return [answer];
}

const nameOf = (options, id) => options.find((option) => option.id === id)?.label ?? id;
