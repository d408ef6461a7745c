/* The follow-up list, its filters, and the map beside it. */
const run = data("run"), words = data("words");
const lang = document.documentElement.lang;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const number = (value, digits = 0) => value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const shares = [0, 1].map((digits) => new Intl.NumberFormat(lang, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }));
const percent = (value, digits = 0) => value === null || value < 0 ? "–" : (value > 0 && value < 0.01 && !digits ? "<" + shares[0].format(0.01) : shares[digits].format(value));
const name = (key, k) => { const code = run.parcels[key][k]; return code < 0 ? "–" : run.names[key][code]; };
const fits = (k) => run.parcels.f[k] / 10000;
const hectares = (k) => run.parcels.a[k] / 100;
const sheet = (k) => run.sheets[k] ? "parcels/" + encodeURIComponent(run.sheets[k]) : null;
const bdi = (text) => make("bdi", {}, text);

const detail = $(".detail");
const map = new ParcelMap($("#map"), run, (k) => { showDetail(k); markRow(k); });

function showDetail(k) {
  detail.hidden = k < 0;
  detail.replaceChildren();
  if (k < 0) return;
  const verdict = run.names.v[run.parcels.v[k]];
  const link = sheet(k);
  detail.append(
    make("div", { class: "pair" },
      make("span", { class: "badge" }, mark(verdict), run.names.verdict[run.parcels.v[k]]),
      make("button", { type: "button", class: "btn", "aria-label": words.close, on: { click: () => { map.choose(-1); map.canvas.focus(); } } }, "×")),
    make("b", {}, words.parcel + " ", bdi(run.parcels.id[k]), " · " + number(hectares(k), 2) + " ha"),
    make("span", {}, words.declared + ": ", make("b", {}, bdi(name("c", k))), " · " + words.looks + ": ", make("b", {}, bdi(name("p", k)))),
    make("span", { class: "muted" }, name("r", k) + " · " + words.fits + ": " + percent(fits(k), 1)),
    make("span", { class: "muted" }, bdi(name("i", k)), " · ", bdi(name("g", k)), run.parcels.h ? " · " + (run.parcels.h[k] ?? "–") : ""),
    link ? make("a", { href: link }, words.sheet) : make("span", { class: "muted" }, words.no_sheet));
}

const body = $("#list tbody");
const rows = run.list ? run.list.at.map((k, place) => ({ k, q: run.list.q[place], rank: place + 1 })) : [];
const PAGE = 100;
let fitting = [], shown = PAGE;

function rowOf({ k, q, rank }) {
  const verdict = run.names.v[run.parcels.v[k]];
  const link = sheet(k);
  const id = bdi(run.parcels.id[k]);
  return make("tr", { "data-k": k },
    make("td", { class: "num low muted" }, String(rank)),
    make("td", { class: "id" }, link ? make("a", { href: link }, id) : id),
    make("td", { title: run.names.verdict[run.parcels.v[k]] + ": " + name("r", k) }, mark(verdict), make("span", { class: "out" }, run.names.verdict[run.parcels.v[k]])),
    make("td", {}, make("span", { class: "clip" }, bdi(name("c", k)))),
    make("td", {}, make("span", { class: "clip" }, bdi(name("p", k)))),
    make("td", { class: "num" }, percent(fits(k))),
    make("td", { class: "num low" }, number(hectares(k), 2)),
    make("td", { class: "num" }, q === null ? "–" : percent(q, 1)));
}

const flagged = (k) => run.names.v[run.parcels.v[k]] === "contradicted";

function markRow(k) { $$("tr", body).forEach((row) => row.classList.toggle("on", Number(row.dataset.k) === k)); }

function render() {
  body.replaceChildren(...fitting.slice(0, shown).map(rowOf));
  $("#shown").textContent = fill(words.shown, { shown: number(Math.min(shown, fitting.length)), total: number(fitting.length) });
  $("#more").hidden = shown >= fitting.length;
  $("#nothing").hidden = fitting.length > 0;
  const surest = rows.find((row) => row.q !== null), rate = Number($("#q").value) / 100;
  $("#nothing").textContent = !rows.length ? words.nobody : surest && surest.q > rate ? fill(words.first, { rate: percent(surest.q, 1) }) : words.nothing;
  $("#list").hidden = !fitting.length;
}

function refresh() {
  const rate = Number($("#q").value) / 100 + 1e-9;
  const within = rows.filter((row) => row.q !== null && row.q <= rate);
  const beyond = $("#beyond").checked ? rows.filter((row) => !within.includes(row) && flagged(row.k)) : [];
  const listed = [...within, ...beyond];
  const last = within.length ? within[within.length - 1].q : 0;
  const area = within.reduce((sum, row) => sum + hectares(row.k), 0);
  $("#promise").textContent = fill(words.promise, { n: number(within.length), ha: number(area, 1) });
  $("#promise-false").textContent = fill(words.promise_false, { n: number(last * within.length, last * within.length < 10 ? 1 : 0) });
  $("#promise-false").hidden = !within.length;
  $("#promise-beyond").textContent = beyond.length ? fill(words.promise_beyond, { n: number(beyond.length) }) : "";
  const chosen = $$("#filters select").map((select) => [select.dataset.key, select.value]).filter(([, value]) => value !== "");
  const wanted = $("#search").value.trim().toLocaleLowerCase(lang);
  fitting = listed.filter(({ k }) => chosen.every(([key, value]) => run.parcels[key][k] === Number(value))
    && (!wanted || [run.parcels.id[k], name("c", k), name("p", k)].some((text) => text.toLocaleLowerCase(lang).includes(wanted))));
  shown = PAGE;
  map.faded = fitting.length ? new Set(fitting.map((row) => row.k)) : null;
  map.draw();
  render();
}

/* A cell that a spreadsheet would run as a formula is led by an apostrophe; numbers are written by us alone. */
const cell = (text) => '"' + (/^[\s]*[=+\-@\t\r]/.test(text) ? "'" + text : text).replaceAll('"', '""') + '"';

function save() {
  const heads = ["parcel", "verdict", "reason", "declared", "looks", "fits", "area", "rate", "intervention", "region"].map((key) => cell(words[key]));
  const lines = fitting.map(({ k, q }) => [cell(run.parcels.id[k]), cell(run.names.verdict[run.parcels.v[k]]), cell(name("r", k)), cell(name("c", k)), cell(name("p", k)),
    fits(k) < 0 ? "" : fits(k), hectares(k), q ?? "", cell(name("i", k)), cell(name("g", k))].join(","));
  const url = URL.createObjectURL(new Blob(["\ufeff" + [heads.join(","), ...lines].join("\r\n") + "\r\n"], { type: "text/csv" }));
  const link = make("a", { href: url, download: "follow-up.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

if (run.list) {
  for (const select of $$("#filters select")) {
    const key = select.dataset.key;
    const names = key === "v" ? run.names.verdict : run.names[key];
    const used = [...new Set(rows.map((row) => run.parcels[key][row.k]))].filter((code) => code >= 0);
    used.sort((a, b) => names[a].localeCompare(names[b], lang));
    select.append(...used.map((code) => make("option", { value: code }, names[code])));
  }
  $("#q").addEventListener("input", () => { $("#qn").value = $("#q").value; refresh(); });
  $("#qn").addEventListener("input", () => { $("#q").value = $("#qn").value; refresh(); });
  $("#filters").addEventListener("input", refresh);
  $("#beyond").addEventListener("change", refresh);
  $("#beyond").checked = !rows.some((row) => row.q !== null && row.q <= Number($("#q").value) / 100);
  $("#reset").addEventListener("click", () => { $("#search").value = ""; $$("#filters select").forEach((select) => { select.value = ""; }); refresh(); });
  $("#more").addEventListener("click", () => { shown += PAGE; render(); });
  $("#save").addEventListener("click", save);
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !event.target.closest("a")) map.choose(Number(row.dataset.k), true);
  });
  refresh();
}
