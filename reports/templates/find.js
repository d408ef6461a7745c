/* The parcels of a range of ids: which part of the map each is on. */
const run = data("run"), words = data("words");
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const MOST = 200;

function show() {
  const wanted = $("#search").value.trim();
  const fitting = [...run.id.keys()].filter((k) => run.id[k].startsWith(wanted));
  $("#found tbody").replaceChildren(...fitting.slice(0, MOST).map((k) => {
    const verdict = run.codes[run.v[k]];
    return make("tr", {},
      make("td", { class: "id" }, make("a", { href: encodeURI(run.files[run.part[k]]) + "#scope=all&parcel=" + encodeURIComponent(run.id[k]) }, make("bdi", {}, run.id[k]))),
      make("td", {}, mark(verdict), run.verdicts[run.v[k]]),
      make("td", {}, fill(words.part, { n: run.part[k] + 1 })));
  }));
  $("#shown").textContent = fill(words.shown, { shown: Math.min(MOST, fitting.length), total: fitting.length });
}

$("#search").value = new URLSearchParams(location.hash.slice(1)).get("text") ?? "";
$("#search").addEventListener("input", show);
show();
