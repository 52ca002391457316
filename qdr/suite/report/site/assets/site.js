"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// ---- tables: a click on a heading sorts by its column -----------------------------------------------------------------
function number(text) {
  const found = text.replace("−", "-").match(/^±?\s*([+-]?\d[\d.]*(?:e[+-]?\d+)?)/i);
  return found ? Number(found[1]) : null;
}

function compare(a, b) {
  const [x, y] = [number(a), number(b)];
  if (x !== null && y !== null) return x - y;
  if (x !== null || y !== null) return x !== null ? -1 : 1; // what is no number comes last
  return a.localeCompare(b, "en");
}

function sort(table, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const value = (row) => row.cells[column].textContent.trim();
  const rows = all("tbody tr", table);
  const blank = (row) => value(row) === "—";
  rows.sort((a, b) => blank(a) - blank(b) || sign * compare(value(a), value(b)));
  table.tBodies[0].append(...rows);
  for (const body of [...table.tBodies].slice(1)) body.remove();
  all("th", table).forEach((head, place) => head.setAttribute("aria-sort", place === column ? direction : "none"));
}

for (const table of all("table")) {
  all("th", table).forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    sort(table, column, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
  }));
}

// ---- photographs: a divider, and which version stands on each side of it ------------------------------------------------
for (const shot of all(".shot")) {
  const divider = shot.querySelector("input");
  const divide = () => shot.style.setProperty("--at", divider.value);
  divider.addEventListener("input", divide);
  divide(); // a reloaded page may keep the value
  const show = () => {
    for (const picture of all("img", shot)) {
      picture.className = all("select", shot).find((select) => select.value === picture.dataset.name)?.name || "";
    }
  };
  for (const select of all("select", shot)) select.addEventListener("change", show);
  show();
}

// ---- a phone shows claim and verdict, and the rest when it is touched; links and print open what is folded
const unfold = () => document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
unfold();
if (matchMedia("screen and (max-width: 46rem)").matches) for (const part of all(".claim")) part.open = false;
let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open])");
  for (const part of folded) part.open = true;
});
addEventListener("afterprint", () => { for (const part of folded) part.open = false; });
