// Theme, tables, photographs and charts of the report. No library but Plotly, no network, no state but the theme.
"use strict";

const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// ---- theme: the system's until the button chooses; remembered where the browser lets a file remember ----------------------
const button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function remembered() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

function showTheme() {
  button.setAttribute("aria-pressed", String(isDark()));
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  for (const plot of all(".plot.drawn")) draw(plot);
}

button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* shown, not remembered */ }
  showTheme();
});
system.addEventListener("change", showTheme);

// ---- tables: sort by a column, filter by words ------------------------------------------------------------------------
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

function filter(table, text, told) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = all("tbody tr", table);
  for (const row of rows) {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
  }
  told.textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
}

for (const box of all(".table")) {
  const table = box.querySelector("table");
  all("th", table).forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      sort(table, column, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    });
  });
  const input = box.querySelector("input");
  input.addEventListener("input", () => filter(table, input.value, box.querySelector("output")));
}

// ---- photographs: the sliders set four numbers, the style sheet does the rest ----------------------------------------------
for (const shot of all(".shot")) {
  const slider = (name) => shot.querySelector(`input[name="${name}"]`);
  const set = (name, value) => {
    shot.style.setProperty(`--${name}`, value);
    if (name === "zoom") shot.classList.toggle("zoomed", value > 2);
  };
  const move = (name, value) => {
    slider(name).value = value;
    set(name, slider(name).value);
  };
  for (const input of all("input[type=range]", shot)) {
    set(input.name, input.value); // a reloaded page may keep the sliders where they were
    input.addEventListener("input", () => set(input.name, input.value));
  }
  for (const select of all("select", shot)) {
    const side = select.name;
    const choose = () => {
      const picture = shot.querySelector(`.stage img.${side}`);
      const label = select.selectedOptions[0].textContent;
      picture.src = select.value;
      picture.alt = picture.alt.replace(/, .*$/, `, ${label}`);
      shot.querySelector(side === "left" ? ".tag:not(.right)" : ".tag.right").textContent = label;
    };
    select.addEventListener("change", choose);
    choose();
  }
  const share = (event, box, along) => {
    const edges = box.getBoundingClientRect();
    const part = along === "x" ? (event.clientX - edges.left) / edges.width : (event.clientY - edges.top) / edges.height;
    return Math.round(100 * Math.min(1, Math.max(0, part)));
  };
  const stage = shot.querySelector(".stage");
  const divide = (event) => event.buttons && move("at", share(event, stage, "x"));
  stage.addEventListener("pointerdown", divide);
  stage.addEventListener("pointermove", divide);
  for (const crop of all(".crops .view", shot)) {
    const aim = (event) => {
      if (event.type === "pointerdown" && Number(slider("zoom").value) === 1) move("zoom", 4);
      if (event.buttons) ["x", "y"].forEach((along) => move(along, share(event, crop, along)));
    };
    crop.addEventListener("pointerdown", aim);
    crop.addEventListener("pointermove", aim);
  }
}
for (const picture of all(".shot img")) picture.draggable = false;

// ---- charts: drawn when they come near, in the colours of the page ----------------------------------------------------------
function draw(plot) {
  const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
  const style = getComputedStyle(root);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name));
  const axis = (own) => ({ ...own, gridcolor: line, linecolor: line, zerolinecolor: soft, color: soft });
  const colours = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, size: 12, color: soft },
    hoverlabel: { bgcolor: style.getPropertyValue("--paper"), bordercolor: line, font: { color: ink, size: 12 }, align: "left" },
    xaxis: axis(layout.xaxis),
    yaxis: axis(layout.yaxis),
  };
  Plotly.react(plot, data, { ...layout, ...colours }, { displayModeBar: false, responsive: true });
  plot.classList.add("drawn");
}

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      near.unobserve(target);
      draw(target);
    }
  }
}, { rootMargin: "400px" });
for (const plot of all(".plot")) near.observe(plot);

if (remembered()) root.dataset.theme = remembered();
showTheme();
