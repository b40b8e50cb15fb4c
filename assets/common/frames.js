// Hears which node is held in the graph's page, a frame of its own, and tells it which is;
// gives it the app's font, which that page may not request.

const FAMILY = "Source Sans";
let told = []; // what the picture said, until the app has answered: it knows that already

async function font() {
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
  const face = rules.find((rule) => rule instanceof CSSFontFaceRule && rule.style.fontFamily.includes(FAMILY));
  const path = face?.style.getPropertyValue("src").match(/url\("(.+?)"\)/)?.[1];
  return path && (await fetch(new URL(path, face.parentStyleSheet.href ?? location.href))).arrayBuffer();
}

export default function ({ data, setStateValue }) {
  const { origin } = location;
  const hold = (frame) => frame?.postMessage({ llmrankHold: data.node }, origin);
  const hear = async ({ data: said, source, origin: from }) => {
    if (from !== origin || !said || typeof said !== "object") return;
    if ("llmrankNode" in said) {
      told.push(said.llmrankNode);
      setStateValue("node", said.llmrankNode);
    }
    if (!("llmrankReady" in said)) return;
    hold(source);
    source.postMessage({ llmrankFont: await font() }, origin);
  };
  addEventListener("message", hear);
  const answered = told.indexOf(data.node);
  told = told.slice(answered + 1);
  if (answered < 0) for (const frame of document.querySelectorAll("iframe")) hold(frame.contentWindow);
  return () => removeEventListener("message", hear);
}
