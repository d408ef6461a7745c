"use strict";
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const data = (id) => { const found = document.getElementById(id); return found ? JSON.parse(found.textContent) : null; };
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function mark(verdict) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", "#v-" + verdict);
  svg.append(use);
  return svg;
}

/* Tables whose headings are buttons sort by the column; a cell's data-v goes before its text. */
function sortable(table) {
  const heads = $$("thead th", table);
  heads.forEach((head, column) => {
    const button = $("button", head);
    if (!button) return;
    button.addEventListener("click", () => {
      const number = head.dataset.kind !== "text";
      const up = head.getAttribute("aria-sort") === (number ? "descending" : "none") || (!head.hasAttribute("aria-sort") && !number);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[column];
        const raw = cell.dataset[document.body.dataset.unit === "ha" && cell.dataset.h !== undefined ? "h" : "v"] ?? cell.textContent.trim();
        return number ? (raw === "" || raw === "–" ? -Infinity : Number(raw)) : raw;
      };
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [value(row), row]);
      rows.sort(([a], [b]) => (number ? a - b : a.localeCompare(b, document.documentElement.lang, { numeric: true })) * (up ? 1 : -1));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

/* A group of radio buttons named by data-show switches the elements whose data-of is its value. */
function switches(group) {
  const show = () => {
    const chosen = $("input:checked", group)?.value ?? $("select", group)?.value;
    $$(`[data-in="${group.dataset.show}"]`).forEach((part) => { part.hidden = part.dataset.of !== chosen; });
  };
  group.addEventListener("change", show);
  show();
}

/* Every captioned or labelled table can be saved as it stands. */
function savable(table) {
  const cell = (text) => '"' + (/^[\s]*[=+\-@\t\r]/.test(text) && !/^[+\-−]?[\d.,\s–]+%?$/.test(text) ? "'" + text : text).replaceAll('"', '""') + '"';
  const button = make("button", { type: "button", class: "save", on: { click: () => {
    const lines = [...table.rows].map((row) => [...row.cells].map((one) => cell(one.dataset.v ?? one.textContent.trim().replace(/\s+/g, " "))).join(","));
    const url = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
    const name = (table.caption?.textContent || table.closest("[aria-label]")?.getAttribute("aria-label") || "table").trim().toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
    make("a", { href: url, download: name + ".csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  } } }, "CSV");
  button.setAttribute("aria-label", "CSV: " + (table.caption?.textContent || table.closest("[aria-label]")?.getAttribute("aria-label") || ""));
  const around = table.closest(".scroll");
  if (around?.classList.contains("card")) around.prepend(button); else (around || table).before(button);
}

if (document.body.dataset.downloads !== undefined) $$("main table").filter((table) => table.id !== "cell-list" && !table.closest(".heat")).forEach(savable);
$$("table.sortable").forEach(sortable);
$$("[data-show]").forEach(switches);
$$("[data-units]").forEach((group) => group.addEventListener("change", () => {
  document.body.dataset.unit = $("input:checked", group).value;
}));
