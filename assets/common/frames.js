// Hears which node is held in the graph's page, a frame of its own, and tells it which was.

export default function ({ data, setStateValue }) {
  const hear = ({ data: told, source, origin }) => {
    if (origin !== location.origin || !told || typeof told !== "object") return;
    if ("llmrankReady" in told) source.postMessage({ llmrankHold: data.node }, origin);
    if ("llmrankNode" in told) setStateValue("node", told.llmrankNode);
  };
  addEventListener("message", hear);
  return () => removeEventListener("message", hear);
}
