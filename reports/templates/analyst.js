/* The confusion matrix: by parcels or hectares, as amount, recall or precision; a cell lists its parcels. */
const confusion = data("confusion-data");
const shades = ["#eef4f1", "#d6e8e0", "#b3d6c9", "#86bfad", "#57a58e", "#23785f", "#176b57", "#0e4f40"];
const errorShades = ["#faf0ea", "#f6ddcf", "#efc1a8", "#e59f7b", "#d8794c", "#b95323", "#9a3d12", "#7c2c08"];

function paintMatrix() {
  const by = confusion[$("#weight input:checked").value];
  const as = $("#as input:checked").value;
  const rows = by.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = by[0].map((_, j) => by.reduce((sum, row) => sum + row[j], 0));
  const hectares = $("#weight input:checked").value === "hectares";
  for (const button of $$("#matrix button")) {
    const [i, j] = [Number(button.dataset.i), Number(button.dataset.j)];
    const value = by[i][j], share = as === "precision" ? value / (columns[j] || 1) : value / (rows[i] || 1);
    const level = Math.min(shades.length - 1, Math.floor(Math.sqrt(share) * shades.length));
    button.textContent = as === "amount" ? (hectares && value < 1000 ? value.toFixed(1) : Math.round(value)) : (100 * share).toFixed(share < 0.1 ? 1 : 0) + "%";
    button.style.background = (i === j ? shades : errorShades)[level];
    button.classList.toggle("dark", level > 4);
    button.setAttribute("aria-label", `${confusion.classes[i]} declared, ${confusion.classes[j]} predicted: ${button.textContent}`);
  }
}

function listCell(button) {
  const key = button.dataset.i + "," + button.dataset.j;
  const rows = confusion.cells[key] || [];
  const all = confusion.count[button.dataset.i][button.dataset.j];
  $$("#matrix button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
  $("#cell-title").replaceChildren("Declared ", make("b", {}, make("bdi", {}, confusion.classes[button.dataset.i])), ", predicted ",
    make("b", {}, make("bdi", {}, confusion.classes[button.dataset.j])), `: ${all} ${all === 1 ? "parcel" : "parcels"}` + (rows.length < all ? `, the ${rows.length} least sure shown` : ""));
  $("#cell-list").hidden = false;
  $("#cell-list tbody").replaceChildren(...rows.map(([id, ha, probability, verdict, sheet]) => make("tr", {},
    make("td", { class: "id" }, sheet ? make("a", { href: "parcels/" + encodeURIComponent(sheet) }, make("bdi", {}, id)) : make("bdi", {}, id)),
    make("td", { title: confusion.verdicts[verdict] }, mark(verdict), make("span", { class: "out" }, confusion.verdicts[verdict])),
    make("td", { class: "num" }, ha === null ? "–" : ha.toFixed(2)),
    make("td", { class: "num" }, probability === null ? "–" : (100 * probability).toFixed(1) + "%"))));
}

if ($("#matrix")) {
  $("#matrix").addEventListener("click", (event) => { const button = event.target.closest("button"); if (button) listCell(button); });
  $$("#weight, #as").forEach((group) => group.addEventListener("change", paintMatrix));
  paintMatrix();
}
