// Names this browser by a cookie of our own, so that a reload is the same visitor; and has
// the page drawn anew when the theme is switched, for pictures are drawn for one.

const shown = new WeakMap(); // element → the background it was last seen on

export default function ({ data, parentElement, setTriggerValue }) {
  if (!document.cookie.includes(`${data.cookie}=`)) {
    const safe = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `${data.cookie}=${data.token}; Path=/; SameSite=Lax${safe}`;
  }
  const place = parentElement.host ?? parentElement;
  const background = getComputedStyle(place).getPropertyValue("--st-background-color");
  const before = shown.get(parentElement);
  shown.set(parentElement, background);
  if (before !== undefined && before !== background) setTriggerValue("theme", background);
}
