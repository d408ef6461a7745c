/* A map of parcel outlines on a canvas: decode, draw, move, pick. */
const SIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const FILLS = { confirmed: "#9fcdbf", contradicted: "#b5321a", inconclusive: "#ecc26b", not_monitorable: "#a9b3c6", no_data: "#e4e3dd" };
const LINES = { confirmed: "#5f9c8a", contradicted: "#7c1f0d", inconclusive: "#8f6300", not_monitorable: "#5b6a85", no_data: "#85857d" };
const MANY = 8000;
const CHUNK = 300;
const ORDER = ["confirmed", "no_data", "not_monitorable", "inconclusive", "contradicted"];

function decodeOutlines(code, step) {
  const value = new Int8Array(128);
  for (let k = 0; k < 64; k++) value[SIX.charCodeAt(k)] = k;
  let at = 0;
  const next = () => {
    let number = 0, weight = 1, digit;
    do { digit = value[code.charCodeAt(at++)]; number += (digit & 31) * weight; weight *= 32; } while (digit & 32);
    return number;
  };
  const signed = () => { const number = next(); return number % 2 ? -(number + 1) / 2 : number / 2; };
  const parcels = [];
  let x = 0, y = 0;
  while (at < code.length) {
    const rings = [];
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let left = next(); left > 0; left--) {
      const ring = new Float32Array(2 * next());
      for (let k = 0; k < ring.length; k += 2) {
        x += signed(); y += signed();
        ring[k] = x * step; ring[k + 1] = y * step;
        box[0] = Math.min(box[0], ring[k]); box[1] = Math.min(box[1], ring[k + 1]);
        box[2] = Math.max(box[2], ring[k]); box[3] = Math.max(box[3], ring[k + 1]);
      }
      rings.push(ring);
    }
    parcels.push({ rings, box });
  }
  return parcels;
}

class ParcelMap {
  constructor(root, run, onPick) {
    this.root = root;
    this.canvas = $("canvas", root);
    this.context = this.canvas.getContext("2d");
    this.run = run;
    this.onPick = onPick;
    this.parcels = decodeOutlines(run.outlines, run.grid[2]);
    this.verdicts = run.parcels.v.map((code) => run.names.v[code]);
    this.groups = Object.fromEntries(ORDER.map((name) => [name, []]));
    this.verdicts.forEach((name, k) => this.groups[name].push(k));
    this.frames = (run.parts || []).map((part) => part.box.map((v, k) => v - run.grid[k % 2]));
    this.hidden = new Set();
    this.faded = null;
    this.chosen = -1;
    this.bounds = this.extent();
    this.watch();
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    this.resize();
  }
  extent() {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (const b of [...this.parcels.map((parcel) => parcel.box), ...this.frames]) {
      box[0] = Math.min(box[0], b[0]); box[1] = Math.min(box[1], b[1]); box[2] = Math.max(box[2], b[2]); box[3] = Math.max(box[3], b[3]);
    }
    return Number.isFinite(box[0]) ? box : [0, 0, 1000, 1000];
  }
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.width = width; this.height = height; this.ratio = ratio;
    if (this.scale === undefined) this.fit(this.bounds); else this.draw();
  }
  fit(box, most = Infinity) {
    const [w, h] = [Math.max(box[2] - box[0], 1), Math.max(box[3] - box[1], 1)];
    this.scale = Math.min(this.width / w, this.height / h, most) * 0.94;
    this.x = (box[0] + box[2]) / 2; this.y = (box[1] + box[3]) / 2;
    this.draw();
  }
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [wx, wy] = this.world(px, py);
    this.scale = Math.min(Math.max(this.scale * factor, 1e-4), 20);
    this.x = wx - (px - this.width / 2) / this.scale;
    this.y = wy + (py - this.height / 2) / this.scale;
    this.draw();
  }
  move(dx, dy) { this.x -= dx / this.scale; this.y += dy / this.scale; this.draw(); }
  world(px, py) { return [this.x + (px - this.width / 2) / this.scale, this.y - (py - this.height / 2) / this.scale]; }
  screen(wx, wy) { return [(wx - this.x) * this.scale + this.width / 2, (this.y - wy) * this.scale + this.height / 2]; }
  /* With many parcels the last picture is moved along at once, and drawn anew when the hand rests. */
  draw() {
    if (this.parcels.length > MANY && this.frame) {
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.paint(), 140);
      if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.shift(); });
    } else if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
  }
  keep() {
    const copy = this.frame?.copy ?? document.createElement("canvas");
    copy.width = this.canvas.width; copy.height = this.canvas.height;
    copy.getContext("2d").drawImage(this.canvas, 0, 0);
    this.frame = { copy, x: this.x, y: this.y, scale: this.scale };
  }
  shift() {
    const c = this.context, { copy, x, y, scale } = this.frame, zoom = this.scale / scale;
    const [left, top] = this.screen(x - this.width / 2 / scale, y + this.height / 2 / scale);
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    c.drawImage(copy, left, top, this.width * zoom, this.height * zoom);
    this.paintScale();
  }
  paint() {
    const c = this.context;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    if (this.under) this.under(c);
    for (const name of ORDER) if (!this.hidden.has(name)) this.paintGroup(name, this.groups[name]);
    for (const name of ORDER) if (!this.hidden.has(name) && name !== "confirmed") this.paintMarks(name, this.groups[name]);
    c.setLineDash([6, 4]); c.strokeStyle = "#14594a"; c.lineWidth = 1.2;
    this.frames.forEach((box, k) => {
      const [a, b] = [this.screen(box[0], box[3]), this.screen(box[2], box[1])];
      c.strokeRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
      c.fillStyle = "#14594a"; c.font = "600 12px system-ui"; c.fillText(String(k + 1), a[0] + 5, a[1] + 15);
    });
    c.setLineDash([]);
    if (this.chosen >= 0) {
      c.beginPath(); this.trace(this.parcels[this.chosen]);
      c.lineWidth = 5; c.strokeStyle = "#fff"; c.stroke(); c.lineWidth = 2.5; c.strokeStyle = "#0b57d0"; c.stroke();
    }
    this.paintScale();
    if (this.parcels.length > MANY) this.keep();
  }
  inView(box) {
    const w = this.width / 2 / this.scale, h = this.height / 2 / this.scale;
    return box[2] >= this.x - w && box[0] <= this.x + w && box[3] >= this.y - h && box[1] <= this.y + h;
  }
  trace(parcel) {
    const c = this.context, { scale } = this;
    const ox = this.width / 2 - this.x * scale, oy = this.height / 2 + this.y * scale;
    for (const ring of parcel.rings) {
      for (let k = 0; k < ring.length; k += 2) {
        if (k) c.lineTo(ring[k] * scale + ox, oy - ring[k + 1] * scale); else c.moveTo(ring[k] * scale + ox, oy - ring[k + 1] * scale);
      }
      c.closePath();
    }
  }
  /* Small parcels as dots, the others as outlines, a few hundred to a path: one long path is slow to fill. */
  fill(members, outlined) {
    const c = this.context, { scale } = this, large = [];
    const ox = this.width / 2 - this.x * scale, oy = this.height / 2 + this.y * scale;
    for (const k of members) {
      const { box } = this.parcels[k], wide = (box[2] - box[0]) * scale, high = (box[3] - box[1]) * scale;
      if (wide < 3 && high < 3) c.fillRect(box[0] * scale + ox, oy - box[3] * scale, Math.max(1, wide), Math.max(1, high)); else large.push(k);
    }
    for (let start = 0; start < large.length; start += CHUNK) {
      c.beginPath();
      for (const k of large.slice(start, start + CHUNK)) this.trace(this.parcels[k]);
      c.fill("evenodd");
      if (outlined) c.stroke();
    }
  }
  paintGroup(name, members) {
    const c = this.context;
    const shown = members.filter((k) => this.parcels[k].rings.length && this.inView(this.parcels[k].box));
    const weak = this.faded ? shown.filter((k) => !this.faded.has(k)) : [];
    const strong = this.faded ? shown.filter((k) => this.faded.has(k)) : shown;
    c.fillStyle = name === "inconclusive" ? this.hatch() : FILLS[name];
    c.strokeStyle = LINES[name];
    c.lineWidth = name === "contradicted" ? 1.4 : 0.7;
    c.globalAlpha = name === "confirmed" ? 0.45 : 0.35; this.fill(weak, false); c.globalAlpha = 1;
    if (this.under) { c.globalAlpha = name === "confirmed" ? 0.08 : 0.3; this.fill(strong, false); c.globalAlpha = 1; this.outline(strong); return; }
    this.fill(strong, this.scale > 0.02);
  }
  outline(members) {
    const c = this.context;
    c.lineWidth = 1.4;
    for (let start = 0; start < members.length; start += CHUNK) { c.beginPath(); for (const k of members.slice(start, start + CHUNK)) this.trace(this.parcels[k]); c.stroke(); }
  }
  hatch() {
    if (!this.pattern) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 8;
      const c = tile.getContext("2d");
      c.fillStyle = FILLS.inconclusive; c.fillRect(0, 0, 8, 8);
      c.strokeStyle = "#b98417"; c.lineWidth = 1.6;
      c.beginPath(); for (const shift of [-8, 0, 8]) { c.moveTo(shift, 8); c.lineTo(shift + 8, 0); } c.stroke();
      this.pattern = this.context.createPattern(tile, "repeat");
    }
    return this.pattern;
  }
  paintMarks(name, members) {
    const c = this.context;
    for (const k of members) {
      const { box, rings } = this.parcels[k];
      const room = Math.min(box[2] - box[0], box[3] - box[1]) * this.scale;
      const size = name === "contradicted" ? Math.max(3.2, Math.min(8, room / 4)) : Math.min(7, room / 4);
      if (!rings.length || size < 3 || (this.faded && !this.faded.has(k)) || !this.inView(box)) continue;
      const [x, y] = this.screen((box[0] + box[2]) / 2, (box[1] + box[3]) / 2);
      c.beginPath();
      if (name === "contradicted") { c.moveTo(x, y - size); c.lineTo(x + size, y); c.lineTo(x, y + size); c.lineTo(x - size, y); }
      else if (name === "inconclusive") { c.moveTo(x, y - size); c.lineTo(x + size, y + size); c.lineTo(x - size, y + size); }
      else if (name === "not_monitorable") c.rect(x - size, y - size / 3, 2 * size, size / 1.5);
      else { c.moveTo(x - size, y - size); c.lineTo(x + size, y + size); c.moveTo(x + size, y - size); c.lineTo(x - size, y + size); }
      c.closePath();
      c.lineWidth = 1.2; c.fillStyle = LINES[name]; c.strokeStyle = "#fff";
      c.stroke(); c.fill(); if (name === "no_data") { c.strokeStyle = LINES[name]; c.stroke(); }
    }
  }
  paintScale() {
    const bar = $(".scale", this.root);
    const most = 110 / this.scale;
    const power = 10 ** Math.floor(Math.log10(most));
    const length = [5, 2, 1].map((k) => k * power).find((v) => v <= most);
    bar.style.width = length * this.scale + "px";
    bar.textContent = length >= 1000 ? length / 1000 + " km" : length + " m";
  }
  at(px, py) {
    const [x, y] = this.world(px, py);
    const reach = 6 / this.scale;
    let near = -1, best = reach * reach;
    for (let name = ORDER.length - 1; name >= 0; name--) {
      if (this.hidden.has(ORDER[name])) continue;
      for (const k of this.groups[ORDER[name]]) {
        const { box, rings } = this.parcels[k];
        if (x < box[0] - reach || x > box[2] + reach || y < box[1] - reach || y > box[3] + reach) continue;
        if (inside(rings, x, y)) return k;
        const away = ((box[0] + box[2]) / 2 - x) ** 2 + ((box[1] + box[3]) / 2 - y) ** 2;
        if (away < best) { best = away; near = k; }
      }
    }
    return near;
  }
  choose(k, go = false) {
    this.chosen = k;
    if (k >= 0 && go && this.parcels[k].rings.length) {
      const { box } = this.parcels[k], side = Math.max(box[2] - box[0], box[3] - box[1]) * 5;
      const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
      this.fit([x - side / 2, y - side / 2, x + side / 2, y + side / 2]);
    } else this.draw();
    this.onPick(k);
  }
  watch() {
    const held = new Map();
    let far = 0, apart = 0;
    const place = (event) => { const box = this.canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); held.set(event.pointerId, place(event)); far = 0; apart = 0; });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!held.has(event.pointerId)) return;
      const [before, now] = [held.get(event.pointerId), place(event)];
      held.set(event.pointerId, now);
      if (held.size === 1) { far += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]); if (far > 4) this.move(now[0] - before[0], now[1] - before[1]); return; }
      const [a, b] = [...held.values()], distance = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (apart) this.zoom(distance / apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      apart = distance; far = 99;
    });
    const lift = (event) => { if (held.delete(event.pointerId) && event.type === "pointerup" && far <= 4) this.choose(this.at(...place(event))); };
    this.canvas.addEventListener("pointerup", lift);
    this.canvas.addEventListener("pointercancel", lift);
    this.canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-event.deltaY * 0.0016), ...place(event)); }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const act = { ArrowLeft: () => this.move(60, 0), ArrowRight: () => this.move(-60, 0), ArrowUp: () => this.move(0, 60), ArrowDown: () => this.move(0, -60),
        "+": () => this.zoom(1.4), "=": () => this.zoom(1.4), "-": () => this.zoom(1 / 1.4), 0: () => this.fit(this.bounds),
        Enter: () => this.choose(this.nearest()), Escape: () => this.choose(-1) }[event.key];
      if (act) { event.preventDefault(); act(); }
    });
    $$("[data-zoom]", this.root).forEach((button) => button.addEventListener("click", () => {
      ({ in: () => this.zoom(1.5), out: () => this.zoom(1 / 1.5), all: () => this.fit(this.bounds) })[button.dataset.zoom]();
    }));
    $("#layers", this.root).addEventListener("change", (event) => {
      this.hidden[event.target.checked ? "delete" : "add"](event.target.value); this.draw();
    });
  }
  nearest() {
    let near = -1, best = Infinity;
    this.parcels.forEach(({ box, rings }, k) => {
      const away = ((box[0] + box[2]) / 2 - this.x) ** 2 + ((box[1] + box[3]) / 2 - this.y) ** 2;
      if (rings.length && away < best && !this.hidden.has(this.verdicts[k])) { best = away; near = k; }
    });
    return near;
  }
}

function inside(rings, x, y) {
  let odd = false;
  for (const ring of rings) {
    for (let k = 0, j = ring.length - 2; k < ring.length; j = k, k += 2) {
      if (ring[k + 1] > y !== ring[j + 1] > y && x < ((ring[j] - ring[k]) * (y - ring[k + 1])) / (ring[j + 1] - ring[k + 1]) + ring[k]) odd = !odd;
    }
  }
  return odd;
}
