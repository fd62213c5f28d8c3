
"use strict";
// Renews <main> in place: elements stay the same elements, so that unfolded rows, focus, selection and the
// place on the screen stay too. Runs under a policy that allows this script and requests to its own origin.
(() => {
  const pause = 2000;
  const status = document.getElementById("live");
  let tag = "";

  // What an element is, so that it is found again at another place.
  function key(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    if (node.id) return node.id;
    const label = node.getAttribute("aria-labelledby");
    return label ? `section of ${label}` : "";
  }

  function renewAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  function renew(old, fresh, known) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    renewAttributes(old, fresh);
    let place = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      const name = key(want);
      let have = null;
      if (name) have = known.get(name) || null;
      else if (place && !key(place) && place.nodeName === want.nodeName) have = place;
      known.delete(name);
      if (have !== null && have === place) place = place.nextSibling;
      else {
        // Of a new element only itself, for what is in it may be on the page already, at another place.
        have = have || document.importNode(want, false);
        old.insertBefore(have, place);
      }
      renew(have, want, known);
    }
    while (place) {
      const next = place.nextSibling;
      // A row that is still to be placed elsewhere waits outside the document.
      place.remove();
      place = next;
    }
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("main");
    const main = document.getElementById("report");
    const named = [...main.querySelectorAll("[id], [aria-labelledby]")];
    const focus = document.activeElement;
    // The first row or paragraph that the reader sees stays where it is.
    const anchor = scrollY > 0 && [...main.querySelectorAll("h1, h2, h3, tr, li, p")]
      .find(element => element.getClientRects().length && element.getBoundingClientRect().top >= 0);
    const before = anchor && anchor.getBoundingClientRect().top;
    renew(main, fresh, new Map(named.map(node => [key(node), node])));
    document.dispatchEvent(new Event("renewed")); // the table is filtered and sorted anew
    if (focus && focus !== document.activeElement && focus.isConnected) focus.focus({ preventScroll: true });
    if (anchor && anchor.isConnected) scrollBy(0, anchor.getBoundingClientRect().top - before);
    document.title = main.querySelector("h1").textContent;
  }

  async function poll() {
    try {
      const answer = await fetch("main", {
        cache: "no-store", credentials: "same-origin", headers: tag ? { "If-None-Match": tag } : {},
      });
      if (answer.ok) {
        show(await answer.text());
        tag = answer.headers.get("ETag") || "";
      }
      say(answer.ok || answer.status === 304 ? "Live: renews itself while the proxy runs."
        : answer.status === 503 ? "The recording cannot be read at the moment; this is the last report of it."
        : "This page belongs to an earlier start of the proxy; open the address that it printed last.");
    } catch {
      say("The proxy has ended; this is its last report.");
    }
    setTimeout(poll, pause);
  }

  function say(text) {
    if (status.textContent !== text) status.textContent = text;
  }

  document.documentElement.style.overflowAnchor = "none"; // the browser's own anchor would move it twice
  setTimeout(poll, pause);
})();
