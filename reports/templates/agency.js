/* The parcels, their filters, and the map beside them. The address holds the state, so that Back and a mailed link work. */
const run = data("run"), words = data("words");
const lang = document.documentElement.lang;
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const number = (value, digits = 0) => value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const shares = [0, 1].map((digits) => new Intl.NumberFormat(lang, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }));
const percent = (value, digits = 0) => value === null || value < 0 ? "–" : (value > 0 && value < 0.01 && !digits ? "<" + shares[0].format(0.01) : shares[digits].format(value));
const name = (key, k) => { const code = run.parcels[key][k]; return code < 0 ? "–" : run.names[key][code]; };
const fits = (k) => run.parcels.f[k] / 10000;
const hectares = (k) => run.parcels.a[k] / 100;
const own = (k) => run.parcels.o[k] / 10000;
const listRate = (k) => run.parcels.q[k] < 0 ? null : run.parcels.q[k] / 100000;
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
  detail.append(...[
    make("div", { class: "pair" },
      make("span", { class: "badge" }, mark(verdict), run.names.verdict[run.parcels.v[k]]),
      make("button", { type: "button", class: "btn", "aria-label": words.close, on: { click: () => { map.choose(-1); map.canvas.focus(); } } }, "×")),
    make("b", {}, words.parcel + " ", bdi(run.parcels.id[k]), " · " + number(hectares(k), 2) + " ha"),
    make("span", {}, words.declared + ": ", make("b", {}, bdi(name("c", k))), " · " + words.looks + ": ", make("b", {}, bdi(name("p", k)))),
    make("span", { class: "muted" }, name("r", k)),
    run.parcels.s[k] >= 0 ? make("b", {}, words.strength + ": " + name("s", k)) : null,
    numbers(k),
    make("span", { class: "muted" }, bdi(name("i", k)), " · ", bdi(name("g", k)), run.parcels.h ? " · " + (run.parcels.h[k] ?? "–") : ""),
    link ? make("a", { href: link }, words.sheet) : make("span", { class: "muted" }, words.no_sheet, make("br"), make("code", {}, "cropcheck publish CONFIG --sheets " + run.parcels.id[k]))].filter(Boolean));
  detail.scrollIntoView({ block: "nearest" });
}

/* The numbers behind the word, on demand, each with what it means. */
function numbers(k) {
  const shown = [[words.right, run.parcels.o[k] < 0 ? null : own(k)], [words.fits, run.parcels.f[k] < 0 ? null : fits(k)], [words.rate, listRate(k)]].filter(([, value]) => value !== null);
  if (!shown.length) return null;
  return make("details", {}, make("summary", {}, words.numbers),
    make("dl", { class: "kv" }, ...shown.flatMap(([what, value]) => [make("dt", {}, what), make("dd", { class: "num" }, percent(value, 1))])),
    make("p", { class: "muted small" }, words.meaning));
}

const body = $("#list tbody");
const KEYS = "vrcigsn";
const PAGE = 100;
const count = run.parcels.id.length;
/* Every parcel by the list's order: the lowest rate first, those without a rate last. */
const order = [...Array(count).keys()].sort((a, b) => (run.parcels.q[a] < 0) - (run.parcels.q[b] < 0) || run.parcels.q[a] - run.parcels.q[b] || run.parcels.f[a] - run.parcels.f[b] || a - b);
const rank = new Array(count);
order.forEach((k, place) => { rank[k] = run.parcels.q[k] < 0 ? null : place + 1; });
const elsewhere = run.elsewhere || { id: [], v: [], part: [] };
const flagged = (k) => run.names.v[run.parcels.v[k]] === "contradicted";
const START = { scope: run.rate === null || run.rate === undefined ? "different" : "list", rate: run.rate ?? 0, text: "", sort: "rank", down: false };
let state = { ...START }, fitting = [], far = [], shown = PAGE;

function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  state = { ...START };
  if (["list", "different", "all"].includes(asked.get("scope"))) state.scope = asked.get("scope");
  const rate = Number(asked.get("rate") ?? "x");
  if (Number.isFinite(rate) && rate >= 0 && rate <= 100) state.rate = rate / 100;
  state.text = asked.get("text") ?? "";
  state.sort = asked.get("sort") ?? "rank";
  state.down = asked.get("down") === "1";
  for (const key of KEYS) state[key] = asked.get(key) ?? "";
}

function writeAddress() {
  const asked = new URLSearchParams();
  for (const key of ["scope", "text", "sort", ...KEYS]) if (state[key] && state[key] !== START[key]) asked.set(key, state[key]);
  if (state.rate !== START.rate) asked.set("rate", String(Number((100 * state.rate).toFixed(6))));
  if (state.down) asked.set("down", "1");
  history.replaceState(null, "", "#" + asked);
}

/* Controls follow the state, never the other way round; what is being typed is left alone. */
function showState() {
  const set = (selector, value) => { const input = $(selector); if (document.activeElement !== input) input.value = value; };
  const rate = Number((100 * state.rate).toFixed(4));
  set("#q", rate); set("#qn", rate); set("#search", state.text); set("#scope", state.scope);
  for (const select of $$("#filters select")) select.value = state[select.dataset.key] ?? "";
  $$("#list thead th").forEach((head) => {
    if (head.dataset.sort === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
  });
  $$("button[data-filter]").forEach((button) => button.setAttribute("aria-pressed", String((state[button.dataset.filter] ?? "") === button.dataset.code && (button.dataset.code !== "" || state.scope === "all"))));
}

function rowOf(k) {
  const verdict = run.names.v[run.parcels.v[k]];
  const link = sheet(k);
  const id = bdi(run.parcels.id[k]);
  const word = run.parcels.s[k] < 0 ? "–" : name("s", k);
  return make("tr", { "data-k": k },
    make("td", { class: "num low muted" }, rank[k] === null ? "–" : String(rank[k])),
    make("td", { class: "id" }, link ? make("a", { href: link }, id) : id),
    make("td", { title: run.names.verdict[run.parcels.v[k]] + ": " + name("r", k) }, mark(verdict), make("span", { class: "out" }, run.names.verdict[run.parcels.v[k]])),
    make("td", {}, make("span", { class: "clip" }, bdi(name("c", k)))),
    make("td", {}, make("span", { class: "clip" }, bdi(name("p", k)))),
    make("td", {}, word),
    make("td", { class: "num" }, number(hectares(k), 2)));
}

const rowElsewhere = (n) => make("tr", {},
  make("td", { class: "num low muted" }, "–"),
  make("td", { class: "id" }, make("a", { href: encodeURI(run.parts[elsewhere.part[n]].file) + "#parcel=" + encodeURIComponent(elsewhere.id[n]) }, bdi(elsewhere.id[n]))),
  make("td", { title: run.names.verdict[elsewhere.v[n]] }, mark(run.names.v[elsewhere.v[n]]), make("span", { class: "out" }, run.names.verdict[elsewhere.v[n]])),
  make("td", { colspan: 4, class: "muted" }, fill(words.on_part, { n: elsewhere.part[n] + 1 })));

function markRow(k) { $$("tr", body).forEach((row) => row.classList.toggle("on", Number(row.dataset.k) === k)); }

/* Beyond what one page holds, parcels are looked up by the beginning of their id. */
function findersOf(text) {
  const all = run.finders || [];
  return all.filter((finder, k) => finder.first <= text + "\uffff" && (k + 1 === all.length || all[k + 1].first > text));
}

function showFinders() {
  const text = state.text.trim(), found = text ? findersOf(text) : [], line = $("#finders");
  line.hidden = !found.length;
  line.replaceChildren(words.finders + " ", ...found.flatMap((finder) => [make("a", { href: encodeURI(finder.file) + "#text=" + encodeURIComponent(text) }, finder.file), " "]));
}

function render() {
  body.replaceChildren(...fitting.slice(0, shown).map(rowOf), ...far.slice(0, Math.max(0, shown - fitting.length)).map(rowElsewhere));
  const total = fitting.length + far.length;
  $("#shown").textContent = fill(words.shown, { shown: number(Math.min(shown, total)), total: number(total) });
  $("#more").hidden = shown >= total;
  $("#nothing").hidden = total > 0;
  const surest = order.length ? listRate(order[0]) : null;
  $("#nothing").textContent = surest === null && state.scope !== "all" && !state.text ? words.nobody : state.scope === "list" && surest > state.rate ? fill(words.first, { rate: percent(surest, 1) }) : words.nothing;
  $("#list").hidden = !total;
  showFinders();
}

const sortValue = { rank: (k) => rank[k] ?? Infinity, id: (k) => run.parcels.id[k], a: hectares, s: (k) => run.parcels.s[k] < 0 ? Infinity : run.parcels.o[k] };
function sorted(list) {
  if (state.sort === "rank" && !state.down) return list;
  const value = sortValue[state.sort] ?? ((k) => name(state.sort, k));
  const compare = (a, b) => (typeof a === "number" ? a - b || 0 : a.localeCompare(b, lang, { numeric: true }));
  return [...list].sort((a, b) => (compare(value(a), value(b)) || rank[a] - rank[b] || a - b) * (state.down ? -1 : 1));
}

function refresh() {
  const within = order.filter((k) => run.parcels.q[k] >= 0 && run.parcels.q[k] / 100000 <= state.rate + 1e-9);
  const beyond = order.filter((k) => flagged(k) && !(run.parcels.q[k] >= 0 && run.parcels.q[k] / 100000 <= state.rate + 1e-9));
  const scope = state.text ? "all" : state.scope;
  const listed = scope === "all" ? order : scope === "different" ? [...within, ...beyond] : within;
  const expected = within.reduce((sum, k) => sum + own(k), 0);
  const area = (list) => list.reduce((sum, k) => sum + hectares(k), 0);
  $("#promise").textContent = fill(words.promise, { n: number(within.length), ha: number(area(within), 1) });
  $("#promise-false").textContent = fill(words.promise_false, { n: number(expected, expected < 10 ? 1 : 0), share: percent(within.length ? expected / within.length : 0) });
  $("#promise-false").hidden = !within.length;
  $("#promise-beyond").textContent = scope === "all" ? words.promise_all : scope === "different" && beyond.length ? fill(words.promise_beyond, { n: number(beyond.length) }) : "";
  const chosen = [...KEYS].filter((key) => state[key]).map((key) => [key, run.codes[key].indexOf(state[key])]);
  const wanted = state.text.trim().toLocaleLowerCase(lang);
  fitting = sorted(listed.filter((k) => chosen.every(([key, code]) => run.parcels[key][k] === code)
    && (!wanted || [run.parcels.id[k], name("c", k), name("p", k)].some((text) => text.toLocaleLowerCase(lang).includes(wanted)))));
  far = scope === "all" && chosen.every(([key]) => key === "v") ? [...elsewhere.id.keys()].filter((n) => chosen.every(([, code]) => elsewhere.v[n] === code) && (!wanted || elsewhere.id[n].toLocaleLowerCase(lang).includes(wanted))) : [];
  shown = PAGE;
  map.faded = fitting.length && fitting.length < count ? new Set(fitting) : null;
  map.draw();
  const said = [words.scope + ": " + $("#scope").selectedOptions[0].textContent, words.rate_label + ": " + percent(state.rate, 1),
    ...chosen.map(([key]) => $("#by-" + key).closest("label").firstChild.textContent + ": " + ($("#by-" + key).selectedOptions[0]?.textContent ?? "")), ...(wanted ? [words.search + ": " + state.text] : [])];
  $("#filtered").textContent = words.filtered + " " + said.join(" · ");
  render();
}

function change(changes) { state = { ...state, ...changes }; writeAddress(); showState(); refresh(); }

/* A cell that a spreadsheet would run as a formula is led by an apostrophe; numbers are written by us alone. */
const cell = (text) => '"' + (/^[\s]*[=+\-@\t\r]/.test(text) ? "'" + text : text).replaceAll('"', '""') + '"';

function save() {
  const heads = ["parcel", "verdict", "reason", "declared", "looks", "strength", "right", "fits", "area", "rate", "intervention", "region"].map((key) => cell(words[key]));
  const lines = fitting.map((k) => [cell(run.parcels.id[k]), cell(run.names.verdict[run.parcels.v[k]]), cell(name("r", k)), cell(name("c", k)), cell(name("p", k)), cell(name("s", k)),
    own(k) < 0 ? "" : own(k), fits(k) < 0 ? "" : fits(k), hectares(k), listRate(k) ?? "", cell(name("i", k)), cell(name("g", k))].join(","));
  const url = URL.createObjectURL(new Blob(["\ufeff" + [heads.join(","), ...lines].join("\r\n") + "\r\n"], { type: "text/csv" }));
  const link = make("a", { href: url, download: "follow-up.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function opened() {
  const wanted = new URLSearchParams(location.hash.slice(1)).get("parcel");
  const k = wanted === null ? -1 : run.parcels.id.indexOf(wanted);
  if (k >= 0) map.choose(k, true);
}

if ($("#filters")) {
  for (const select of $$("#filters select")) {
    const key = select.dataset.key;
    const names = key === "v" ? run.names.verdict : run.names[key];
    const used = [...new Set(run.parcels[key])].filter((code) => code >= 0);
    used.sort((a, b) => ("sn".includes(key) ? a - b : names[a].localeCompare(names[b], lang)));
    select.append(...used.map((code) => make("option", { value: run.codes[key][code] }, names[code])));
    select.addEventListener("change", () => change({ [key]: select.value }));
  }
  $("#scope").addEventListener("change", () => change({ scope: $("#scope").value }));
  $("#q").addEventListener("input", () => change({ rate: Number($("#q").value) / 100 }));
  /* What is typed is used exactly; an empty box or a rate that cannot be leaves the list as it was. */
  $("#qn").addEventListener("input", () => {
    const rate = $("#qn").value === "" ? NaN : Number($("#qn").value), usable = rate >= 0 && rate <= 100;
    $("#qn").setAttribute("aria-invalid", String(!usable));
    if (usable) change({ rate: rate / 100 });
  });
  $("#qn").addEventListener("change", () => { $("#qn").removeAttribute("aria-invalid"); $("#qn").value = Number((100 * state.rate).toFixed(4)); });
  $("#search").addEventListener("input", () => change({ text: $("#search").value }));
  $("#reset").addEventListener("click", () => change({ ...START, ...Object.fromEntries([...KEYS].map((key) => [key, ""])) }));
  $("#more").addEventListener("click", () => { shown += PAGE; render(); });
  $("#save").addEventListener("click", save);
  $$("#list thead th").forEach((head) => $("button", head).addEventListener("click", () => change({ sort: head.dataset.sort, down: state.sort === head.dataset.sort && !state.down })));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-filter]");
    if (!button) return;
    const cleared = Object.fromEntries([...KEYS].map((key) => [key, ""]));
    change({ ...cleared, text: "", scope: "all", [button.dataset.filter]: button.dataset.code });
    $("#follow").scrollIntoView();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-k]");
    if (row && !event.target.closest("a")) map.choose(Number(row.dataset.k), true);
  });
  addEventListener("hashchange", () => { readAddress(); showState(); refresh(); });
  addEventListener("pageshow", () => { showState(); refresh(); });
  addEventListener("beforeprint", () => { shown = Infinity; render(); });
  readAddress();
  showState();
  refresh();
}
opened();
