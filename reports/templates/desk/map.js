"use strict";
// The map: parcels of the selection over the run's own image, whose tiles this desk serves.
(async () => {
  const root = document.getElementById("map");
  if (!root) return;
  const asked = new URLSearchParams(root.dataset.query);
  if (root.dataset.parcel) asked.set("near", root.dataset.parcel);
  const answer = await fetch("/map.json?" + asked);
  if (!answer.ok) return;
  const run = await answer.json();
  const detail = $(".detail", root);
  const map = new ParcelMap(root, run, (k) => {
    detail.hidden = k < 0;
    if (k < 0) return;
    detail.replaceChildren(make("b", {}, make("a", { href: "/parcel?id=" + encodeURIComponent(run.parcels.id[k]) }, make("bdi", {}, run.parcels.id[k]))),
      make("span", { class: "badge" }, mark(run.names.v[run.parcels.v[k]]), run.names.verdict[run.parcels.v[k]]), make("span", {}, make("bdi", {}, run.parcels.crop[k])));
  });
  const image = run.image, tiles = new Map(), TILE = 256;
  if (image) {
    const label = document.getElementById("image-day");
    label.textContent = image.said;
    const tileAt = (level, column, row) => {
      const key = [level, column, row].join("/");
      if (!tiles.has(key)) {
        const picture = new Image();
        picture.addEventListener("load", () => map.draw());
        picture.src = `/tile?level=${level}&column=${column}&row=${row}`;
        tiles.set(key, picture);
      }
      const picture = tiles.get(key);
      return picture.complete && picture.naturalWidth ? picture : null;
    };
    map.under = (context) => {
      const level = Math.max(0, Math.min(image.levels, Math.floor(Math.log2(1 / (map.scale * image.pixel)))));
      const side = TILE * 2 ** level * image.pixel, x0 = image.x - run.grid[0], y0 = image.y - run.grid[1];
      const [west, north] = map.world(0, 0), [east, south] = map.world(map.width, map.height);
      context.imageSmoothingEnabled = false;
      for (let column = Math.max(0, Math.floor((west - x0) / side)); column * side < east - x0 && column * side < image.width * image.pixel; column++) {
        for (let row = Math.max(0, Math.floor((y0 - north) / side)); row * side < y0 - south && row * side < image.height * image.pixel; row++) {
          const picture = tileAt(level, column, row);
          if (!picture) continue;
          const [left, top] = map.screen(x0 + column * side, y0 - row * side);
          const size = 2 ** level * image.pixel * map.scale;
          context.drawImage(picture, left, top, picture.naturalWidth * size, picture.naturalHeight * size);
        }
      }
    };
    const under = map.under;
    document.getElementById("image").addEventListener("change", (event) => { map.under = event.target.checked ? under : null; map.draw(); event.stopPropagation(); });
  } else document.getElementById("image").closest("label").hidden = true;
  const own = run.parcels.id.indexOf(root.dataset.parcel);
  if (own >= 0) { map.choose(own, true); detail.hidden = true; } else map.draw();
  root.dataset.ready = "1";
})();
