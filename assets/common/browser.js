// Names this browser by a cookie of our own, so that a reload is the same visitor.

export default function ({ data }) {
  if (document.cookie.includes(`${data.cookie}=`)) return;
  const safe = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${data.cookie}=${data.token}; Path=/; SameSite=Lax${safe}`;
}
