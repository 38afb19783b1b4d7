// The dashboard's one script. Without it everything works but that pages renew themselves.
//
// It listens to the hub's server-sent events, which say that something of what this page shows has changed, asks for the page again
// and puts in place the parts that differ. What somebody has open, scrolled or focused stays as it is.
"use strict";
(() => {
  let from = document.body.dataset.live;
  if (!from || !window.EventSource || !window.DOMParser) return;
  let source = null;
  let asking = false;
  let again = false;

  // A part that is being used is not taken away from under somebody's hands.
  const isUsed = (part) => {
    const active = document.activeElement;
    return active && active !== document.body && part.contains(active) && /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(active.tagName);
  };

  const path = (root, node) => {
    const steps = [];
    for (let at = node; at && at !== root; at = at.parentElement) steps.unshift([...at.parentElement.children].indexOf(at));
    return steps;
  };
  const follow = (root, steps) => steps.reduce((at, step) => at && at.children[step], root);

  const replace = (old, fresh) => {
    const open = [...old.querySelectorAll("details")].map((it) => it.open);
    const scrolled = [...old.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    const focused = old.contains(document.activeElement) ? path(old, document.activeElement) : null;
    const next = document.importNode(fresh, true);
    next.querySelectorAll("details").forEach((it, index) => { it.open = Boolean(open[index]); });
    old.replaceWith(next);
    next.querySelectorAll(".scroll").forEach((it, index) => { it.scrollLeft = scrolled[index] || 0; });
    const target = focused && follow(next, focused);
    if (target && target.focus) target.focus({ preventScroll: true });
  };

  const plain = (part) => {
    const copy = part.cloneNode(true);
    copy.querySelectorAll("details").forEach((it) => it.removeAttribute("open"));
    return copy.innerHTML;
  };

  // What is listened to the next time. At once, where it is something else: whom the page is about may have become one with somebody.
  const what = (live) => live.replace(/&seen=.*/, "");
  const goOn = (live) => {
    if (!live) return;
    const isOther = what(live) !== what(from);
    from = live;
    if (isOther && source) { source.close(); source = null; listen(); }
  };

  const renew = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { "x-insight-live": "1" }, redirect: "manual", credentials: "same-origin" });
      if (answer.type === "opaqueredirect" || answer.status === 401) { location.reload(); return; }
      // It answers, and cannot show the page: what is here is as old as it says.
      if (away) away.hidden = answer.status < 500;
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      goOn(fresh.body.dataset.live);
      let changed = 0;
      for (const next of fresh.querySelectorAll("[data-part]")) {
        const old = [...document.querySelectorAll("[data-part]")].find((it) => it.id === next.id);
        if (!old) { changed += 1; continue; }
        if (isUsed(old) || plain(old) === plain(next)) continue;
        replace(old, next);
        if (next.id !== "feeds-state") changed += 1;
      }
      if (changed) {
        document.body.dataset.renewed = String(1 + Number(document.body.dataset.renewed || 0));
        document.getElementById("said").textContent = "Updated at " + new Date().toLocaleTimeString();
      }
    } catch {
      // The hub is away: the event source tries again by itself.
    } finally {
      asking = false;
      if (again) { again = false; renew(); }
    }
  };

  // The browser tries again by itself while the hub is away; what has changed meanwhile nobody has said. What has changed before the
  // first time the hub says by itself: it knows what this page was made of.
  const away = document.getElementById("away");
  let silent = null;
  let hasHeard = false;
  const heard = () => {
    clearTimeout(silent);
    silent = null;
    document.body.dataset.listening = "1";
    if (hasHeard || (away && !away.hidden)) renew();
    hasHeard = true;
  };
  const unheard = () => {
    delete document.body.dataset.listening;
    // It answers, and not with news: too many listen, or the session is over. Later it may.
    if (source && source.readyState === EventSource.CLOSED) { source = null; setTimeout(seen, 10000); return; }
    if (silent === null) silent = setTimeout(() => { if (away) away.hidden = false; }, 4000);
  };

  const listen = () => {
    if (source) return;
    source = new EventSource(from);
    source.addEventListener("changed", renew);
    source.addEventListener("open", heard);
    source.addEventListener("error", unheard);
  };
  // A page that nobody sees holds no connection.
  const seen = () => {
    if (document.visibilityState === "visible") { listen(); return; }
    if (source) { source.close(); source = null; }
    clearTimeout(silent);
    silent = null;
  };
  document.addEventListener("visibilitychange", () => { seen(); if (document.visibilityState === "visible") renew(); });
  seen();
})();
