// Hears which point of a Plotly chart is clicked. Streamlit tells of points that can be
// selected alone: neither of a heatmap's cells nor of boxes.

export default function ({ data, setTriggerValue }) {
  const tell = ({ x, y, customdata }) => setTriggerValue("point", { x, y, customdata: Array.from(customdata ?? []) });
  const meet = ({ target }) => {
    const chart = target.closest?.(`.st-key-${data.chart} .js-plotly-plot`);
    if (!chart) return;
    if (!chart.llmrankTell) chart.on("plotly_click", ({ points }) => chart.llmrankTell(points[0]));
    chart.llmrankTell = tell;
  };
  document.addEventListener("pointerover", meet);
  return () => document.removeEventListener("pointerover", meet);
}
