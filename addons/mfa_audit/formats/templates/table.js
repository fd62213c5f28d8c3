
"use strict";
// Finds, filters and sorts the table's tools. Without it the table is all there, in the report's order.
(() => {
  const kept = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  let sorted = Number(kept.get("sort") || 0); // the column's number from 1 on, negative: the other way round

  const table = () => document.getElementById("table");

  // What a cell is sorted by: a time as such, numbers as numbers, all else as text.
  function value(tool, column) {
    const cell = tool.rows[0].cells[column];
    const time = cell.querySelector("time");
    return time ? time.dateTime : (cell.querySelector("summary") || cell).textContent.trim();
  }

  function sort() {
    const order = new Intl.Collator(undefined, { numeric: true });
    const column = Math.abs(sorted) - 1;
    const number = text => text.replace(/,/g, "");
    [...table().tHead.rows[0].cells].forEach((head, at) => {
      const way = at === column ? (sorted > 0 ? "ascending" : "descending") : "";
      if (way) head.setAttribute("aria-sort", way);
      else head.removeAttribute("aria-sort");
    });
    if (!sorted) return;
    for (const group of table().querySelectorAll("tbody.group")) {
      const tools = [];
      for (let next = group.nextElementSibling; next && next.matches(".tool"); next = next.nextElementSibling)
        tools.push(next);
      tools.sort((one, other) => Math.sign(sorted) *
        order.compare(number(value(one, column)), number(value(other, column))));
      group.after(...tools);
    }
  }

  function filter() {
    const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const group = document.getElementById("show").value;
    let shown = 0, all = 0, fits = 0;
    for (const body of [...table().tBodies].reverse()) {
      if (body.matches(".group")) {
        body.hidden = !fits;
        fits = 0;
        continue;
      }
      const text = body.textContent.toLowerCase();
      const fit = (!group || body.dataset.group === group) && words.every(word => text.includes(word));
      body.hidden = !fit;
      fits += fit;
      shown += fit;
      all += 1;
    }
    const fold = document.getElementById("fold");
    if (fold && (words.length || group)) fold.open = true;
    document.getElementById("found").textContent = words.length || group ? `${shown} of ${all}` : "";
  }

  function keep() {
    const state = new URLSearchParams();
    const find = document.getElementById("find").value, show = document.getElementById("show").value;
    if (find) state.set("find", find);
    if (show) state.set("show", show);
    if (sorted) state.set("sort", sorted);
    history.replaceState(null, "", `#${state}`);
  }

  function change() {
    filter();
    sort();
    keep();
  }

  function begin() {
    if (!table()) return;
    const bar = document.getElementById("filter");
    bar.hidden = false;
    bar.oninput = change;
    [...table().tHead.rows[0].cells].forEach((head, at) => {
      if (head.querySelector("button")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.onclick = () => {
        sorted = Math.abs(sorted) === at + 1 ? -sorted : at + 1;
        change();
      };
      head.replaceChildren(button);
    });
    filter();
    sort();
  }

  // A link to a tool of the folded group shows it.
  function reveal() {
    const aim = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!aim || !aim.matches("tbody.tool")) return;
    if (aim.matches(".folds")) document.getElementById("fold").open = true;
    aim.querySelector("details").open = true;
    aim.scrollIntoView();
  }

  begin();
  if (table()) {
    document.getElementById("find").value = kept.get("find") || "";
    document.getElementById("show").value = kept.get("show") || "";
    filter();
  }
  reveal();
  addEventListener("hashchange", reveal);
  document.addEventListener("renewed", begin);
})();
