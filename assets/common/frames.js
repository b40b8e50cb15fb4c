// Hears which node is held in the graph's page, a frame of its own, and tells it which is;
// gives it the app's font, which that page may not request.

const FAMILY = "Source Sans";

async function font() {
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
  const face = rules.find((rule) => rule instanceof CSSFontFaceRule && rule.style.fontFamily.includes(FAMILY));
  const path = face?.style.getPropertyValue("src").match(/url\("(.+?)"\)/)?.[1];
  return path && (await fetch(new URL(path, face.parentStyleSheet.href ?? location.href))).arrayBuffer();
}

export default function ({ data, setStateValue }) {
  const { origin } = location;
  const hold = (frame) => frame?.postMessage({ llmrankHold: data.node }, origin);
  const hear = async ({ data: told, source, origin: from }) => {
    if (from !== origin || !told || typeof told !== "object") return;
    if ("llmrankNode" in told) setStateValue("node", told.llmrankNode);
    if (!("llmrankReady" in told)) return;
    hold(source);
    source.postMessage({ llmrankFont: await font() }, origin);
  };
  addEventListener("message", hear);
  for (const frame of document.querySelectorAll("iframe")) hold(frame.contentWindow);
  return () => removeEventListener("message", hear);
}
