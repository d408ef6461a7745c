/* The confusion matrix: of classes or crop groups, of all regions or one, by parcels or hectares, as amount, recall or
   precision; a cell lists its parcels. */
const confusion = data("confusion-data");
const lang = document.documentElement.lang;
const number = (value, digits = 0) => value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (value, digits = 0) => value.toLocaleString(lang, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const shades = ["#eef4f1", "#d6e8e0", "#b3d6c9", "#86bfad", "#57a58e", "#23785f", "#176b57", "#0e4f40"];
const errorShades = ["#faf0ea", "#f6ddcf", "#efc1a8", "#e59f7b", "#d8794c", "#b95323", "#9a3d12", "#7c2c08"];
const bdi = (text) => make("bdi", {}, text);

/* Counts and hectares as chosen: [labels, members of each label, amounts, parcels]. */
function chosenMatrix() {
  const grouped = $("#grouped")?.checked, region = $("#region")?.value ?? "";
  const names = grouped ? confusion.groups : confusion.classes;
  const at = (k) => (grouped ? confusion.groupOf[k] : k);
  const zero = () => names.map(() => new Array(names.length).fill(0));
  const count = zero(), hectares = zero();
  const add = (i, j, n, ha) => { count[at(i)][at(j)] += n; hectares[at(i)][at(j)] += ha; };
  if (region) for (const [i, j, n, ha] of confusion.byRegion[confusion.regions.indexOf(region)]) add(i, j, n, ha);
  else confusion.count.forEach((row, i) => row.forEach((n, j) => { if (n) add(i, j, n, confusion.hectares[i][j]); }));
  return { names, count, amount: $("#weight input:checked").value === "hectares" ? hectares : count, grouped };
}

function paintMatrix() {
  const { names, count, amount, grouped } = chosenMatrix();
  const as = $("#as input:checked").value, hectares = $("#weight input:checked").value === "hectares";
  const rows = amount.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = names.map((_, j) => amount.reduce((sum, row) => sum + row[j], 0));
  const cellOf = (i, j) => {
    const value = amount[i][j];
    if (!count[i][j]) return make("td", {}, make("span", { class: "none" }, "·"));
    const share = as === "precision" ? value / (columns[j] || 1) : value / (rows[i] || 1);
    const level = Math.min(shades.length - 1, Math.floor(Math.sqrt(share) * shades.length));
    const text = as === "amount" ? number(value, hectares && value < 1000 ? 1 : 0) : percent(share, share < 0.1 ? 1 : 0);
    const button = make("button", { type: "button", "data-i": i, "data-j": j, class: level > 4 ? "dark" : "", disabled: grouped, "aria-label": fill(confusion.words.cell, { declared: names[i], predicted: names[j], amount: text }) }, text);
    button.style.background = (i === j ? shades : errorShades)[level];
    return make("td", {}, button);
  };
  const table = $("#matrix");
  table.classList.toggle("many", names.length > 16);
  table.replaceChildren(
    make("thead", {}, make("tr", {}, make("td", { class: "corner" }, make("span", { class: "out" }, confusion.words.declared)), ...names.map((name) => make("th", { scope: "col" }, make("span", { title: name }, name))))),
    make("tbody", {}, ...names.map((name, i) => make("tr", {}, make("th", { scope: "row", title: name }, bdi(name)), ...names.map((_, j) => cellOf(i, j))))));
}

function listCell(i, j) {
  const rows = confusion.cells[i + "," + j] || [];
  const all = confusion.count[i][j];
  $$("#matrix button").forEach((other) => other.setAttribute("aria-pressed", String(other.dataset.i === i && other.dataset.j === j)));
  $("#cell-title").replaceChildren(make("b", {}, fill(confusion.words.cell, { declared: confusion.classes[i], predicted: confusion.classes[j], amount: number(all) })), rows.length < all ? " " + fill(confusion.words.least, { n: number(rows.length) }) : "");
  $("#cell-list").hidden = false;
  $("#cell-list tbody").replaceChildren(...rows.map(([id, ha, probability, verdict, sheet]) => make("tr", {},
    make("td", { class: "id" }, sheet ? make("a", { href: "parcels/" + encodeURIComponent(sheet) }, bdi(id)) : make("a", { href: "agency.html#" + new URLSearchParams({ text: id }) }, bdi(id))),
    make("td", { title: confusion.verdicts[verdict] }, mark(verdict), make("span", { class: "out" }, confusion.verdicts[verdict])),
    make("td", { class: "num" }, ha === null ? "–" : number(ha, 2)),
    make("td", { class: "num" }, probability === null ? "–" : percent(probability, 1)))));
}

if ($("#matrix")) {
  const choose = (event) => { const button = event.target.closest("button[data-i]"); if (button) listCell(button.dataset.i, button.dataset.j); };
  $("#matrix").addEventListener("click", choose);
  $("#pairs")?.addEventListener("click", (event) => { choose(event); if (event.target.closest("button[data-i]")) $("#cell").scrollIntoView({ block: "nearest" }); });
  $$("#weight, #as, #grouped, #region").forEach((control) => control.addEventListener("change", paintMatrix));
  paintMatrix();
}
