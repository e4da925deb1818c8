// The pictures of a step: canvases, windows, filters, patches and bars, drawn from a run's numbers.
//
// A run is {image, noise, known, steps}: what `Model.steps` takes, and the steps that it gave.
"use strict";
const $ = id => document.getElementById(id);
const D = JSON.parse($("data").textContent), CONFIG = D.config;  // what `page.py` put in
const [H, W, C] = CONFIG.image_shape, T = CONFIG.glimpses, SIZE = H * W * C;
const SCOPES = ["read", "write"].filter(scope => CONFIG[`${scope}_attention`]);
const weights = halves(D.weights);
const model = new Model(CONFIG, unpack(D.shapes, weights)), FIRST = model.first();
const short = (v, digits = 3) => String(Number(v.toPrecision(digits)));
const list = values => Array.from(values, v => short(v)).join(" ");
const sum = values => values.reduce((a, b) => a + b, 0);
const largest = values => values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-9);
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);

// ------------------------------------------------------------ what a run holds, as images [H W C]

const before = (run, step) => step > 1 ? run.steps[step - 2].canvas : FIRST.canvas;  // in logits
const shown = logits => logits.map(sigmoid);
const seen = ({image, known}, drawn) => known
  ? drawn.map((v, k) => known[k] * image[k] + (1 - known[k]) * v) : Float64Array.from(image);

// -log p(image | canvas) before the first step, and after each: [T + 1] nats.
const reconstructions = run => [model.reconstruction(run.image, FIRST, run.known),
  ...run.steps.map(step => step.recon_nats)];

// ------------------------------------------------------------ colours and surfaces

// Colours of a pixel's values [3]: grey levels; or orange for positive and blue for negative, in
// colour around mid-grey.
const grey = scale => rgb => rgb.map(v => 255 * v / scale);
const signed = scale => rgb => {
  if (C === 3) return rgb.map(v => 128 + 127 * v / scale);
  const t = Math.abs(rgb[0] / scale), over = 140 * Math.max(0, t - 0.6);
  const glow = [460 * t, 190 * t ** 1.2 + over, over];
  return rgb[0] > 0 ? glow : glow.reverse();
};

// Values [height width C] as a picture of one screen pixel each.
function bitmap(values, height, width, colour) {
  const picture = new ImageData(width, height), sheet = document.createElement("canvas");
  for (let p = 0; p < height * width; p++)
    picture.data.set([...colour([0, 1, 2].map(c => values[p * C + c % C])), 255], 4 * p);
  [sheet.width, sheet.height] = [width, height];
  sheet.getContext("2d").putImageData(picture, 0, 0);
  return sheet;
}

// Makes a canvas as sharp as the screen; returns its context, width and height.
function surface(element, ratio) {
  const width = element.clientWidth, height = width * ratio, sharp = window.devicePixelRatio || 1;
  [element.width, element.height] = [Math.round(width * sharp), Math.round(height * sharp)];
  const ctx = element.getContext("2d");
  ctx.scale(element.width / width, element.height / height);
  ctx.imageSmoothingEnabled = false;
  [ctx.textAlign, ctx.textBaseline, ctx.font] = ["center", "middle", "13px system-ui, sans-serif"];
  return [ctx, width, height];
}

// ------------------------------------------------------------ windows and filters

// A window over a picture whose corner is the origin: a line; in detail also sigma and the points.
function drawWindow(ctx, scope, {xs, ys, sigma}, scale, detail) {
  const [columns, rows] = [xs, ys].map(points => points.map(mu => (mu + 0.5) * scale));
  const box = [columns[0], rows[0], columns.at(-1) - columns[0], rows.at(-1) - rows[0]];
  const reads = scope === "read";
  ctx.strokeStyle = ctx.fillStyle = reads ? "#2ee07f" : "#ff4538";
  if (detail) {
    ctx.globalAlpha = 0.3;
    ctx.lineJoin = "round";
    ctx.lineWidth = sigma * scale;
    ctx.strokeRect(...box);
    ctx.globalAlpha = 1;
  }
  ctx.lineWidth = detail ? 2 : 1.25;
  ctx.setLineDash(reads ? (detail ? [7, 4] : [3, 2]) : []);
  ctx.strokeRect(...box);
  ctx.setLineDash([]);
  ctx.lineWidth = 1;
  ctx.strokeStyle = "#000";
  const r = clamp(scale / 4, 2.5, 5);
  for (const x of detail ? columns : []) for (const y of rows) {
    ctx.beginPath();
    if (reads) ctx.rect(x - r, y - r, 2 * r, 2 * r);
    else ctx.arc(x, y, r, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
  }
}

// The filters of a window as curves: those that read above and to the left of the picture, those
// that write below and to the right. They stand on `base`, [x, y], and are `tall` at most.
function drawFilters(ctx, scope, {Fx, Fy}, base, origin, scale, tall) {
  const reads = scope === "read";
  ctx.strokeStyle = ctx.fillStyle = css(`--${scope}`);
  ctx.lineWidth = 1.5;
  [Fx, Fy].forEach((bank, axis) => {
    const length = axis ? H : W, most = Math.max(0.2, largest(bank));
    const place = (pixel, weight) => {
      const along = origin + (pixel + 0.5) * scale;
      const across = base[1 - axis] + (reads ? -1 : 1) * tall * weight / most;
      return axis ? [across, along] : [along, across];
    };
    for (let first = 0; first < bank.length; first += length) {
      ctx.beginPath();
      ctx.moveTo(...place(0, 0));
      for (let a = 0; a < length; a++) ctx.lineTo(...place(a, bank[first + a]));
      ctx.lineTo(...place(length - 1, 0));
      ctx.globalAlpha = 0.15;
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.stroke();
    }
    ctx.fillText(axis ? "Fy" : "Fx", ...place(reads ? -1.5 : length + 0.5, most / 2));
  });
}

// A line around what is known of an image [H W C].
function drawKnown(ctx, known, scale) {
  const at = (y, x) => x >= 0 && x < W && y >= 0 && y < H && known[(y * W + x) * C] > 0.5;
  ctx.beginPath();
  for (let y = 0; y <= H; y++) for (let x = 0; x <= W; x++) {
    if (at(y, x) !== at(y, x - 1)) ctx.rect(x * scale, y * scale, 0, scale);
    if (at(y, x) !== at(y - 1, x)) ctx.rect(x * scale, y * scale, scale, 0);
  }
  ctx.strokeStyle = "#4c9aff";
  ctx.lineWidth = clamp(scale / 4, 1.5, 3);
  ctx.stroke();
}

// A small picture of an image [H W C], with the windows of a step and what is known over it.
function drawPicture(element, values, colour, step = {}, scopes = [], known = null) {
  const [ctx, width, height] = surface(element, H / W);
  ctx.drawImage(bitmap(values, H, W, colour), 0, 0, width, height);
  if (known) drawKnown(ctx, known, width / W);
  for (const scope of scopes)
    if (step[scope]) drawWindow(ctx, scope, step[scope], width / W, false);
}

// The canvas [H W C] of a run, large, with the windows of a step and their filters, if it is given.
function drawStage(logits, step, {image, known}) {
  const full = $("stage").clientWidth, tall = 0.085 * full;
  const space = SCOPES.length ? 0.045 * full : 0;
  const origin = space + (CONFIG.read_attention && image ? tall + 2 : 0);
  const scale = (full - origin - space - (CONFIG.write_attention ? tall + 2 : 0)) / W;
  const [right, bottom] = [origin + W * scale, origin + H * scale];
  const [ctx] = surface($("stage"), (full - right + bottom) / full);
  ctx.save();
  ctx.beginPath();
  ctx.rect(origin - space, origin - space, W * scale + 2 * space, H * scale + 2 * space);
  ctx.clip();
  ctx.fillStyle = css("--edge");
  ctx.fillRect(0, 0, full, full * 2 * H / W);
  ctx.translate(origin, origin);
  ctx.drawImage(bitmap(shown(logits), H, W, grey(1)), 0, 0, W * scale, H * scale);
  if (known) drawKnown(ctx, known, scale);
  for (const scope of SCOPES) if (step?.[scope]) drawWindow(ctx, scope, step[scope], scale, true);
  ctx.restore();
  const base = {read: [origin - space, origin - space], write: [right + space, bottom + space]};
  for (const scope of SCOPES)
    if (step?.[scope]) drawFilters(ctx, scope, step[scope], base[scope], origin, scale, tall);
}

// ------------------------------------------------------------ numbers

// A grid of n x n values, each written into its cell where there is room for it.
function drawGrid(id, values, colour, caption) {
  const n = Math.sqrt(values.length / C), sheet = bitmap(values, n, n, colour);
  const [ctx, width] = surface($(id), 1), cell = width / n;
  $(id).nextElementSibling.textContent = caption;
  $(id).setAttribute("aria-label", `${caption}: ${list(values)}`);
  ctx.drawImage(sheet, 0, 0, width, width);
  if (C !== 1 || cell < 20) return;
  const shades = sheet.getContext("2d").getImageData(0, 0, n, n).data;
  const texts = Array.from(values, v => {
    const size = Math.abs(v), digits = size < 1 ? 2 : size < 100 ? 1 : 0;
    return size < 0.005 ? "0" : v.toFixed(digits).replace("-", "\u2212").replace("0.", ".");
  });
  const widest = Math.max(...texts.map(text => ctx.measureText(text).width));
  const points = Math.min(13, 13 * 0.84 * cell / widest);
  if (points < 7) return;
  ctx.font = `${points}px system-ui, sans-serif`;
  texts.forEach((text, k) => {
    ctx.fillStyle = shades[4 * k] + 2 * shades[4 * k + 1] > 330 ? "#000" : "#fff";
    ctx.fillText(text, (k % n + 0.5) * cell, (Math.floor(k / n) + 0.5) * cell);
  });
}

// What each step costs, upward, and what it brings, downward: each with a scale of its own.
function drawBars(run, step) {
  const kl = run.steps.map(({kl_nats}) => kl_nats), recon = reconstructions(run);
  const gains = kl.map((_, k) => recon[k] - recon[k + 1]);
  const wide = $("bars").clientWidth, [ctx, width, height] = surface($("bars"), 136 / wide);
  const left = 34, middle = height / 2, tall = middle - 20, pitch = (width - left) / T;
  const most = [largest(kl), largest(gains)];
  const every = [1, 2, 4, 8, 16].find(n => n * pitch > 26) || 32;  // steps between two numbers
  ctx.fillStyle = css("--soft");
  ctx.fillText(short(most[0], 2), left / 2 - 2, middle - tall);
  ctx.fillText(short(most[1], 2), left / 2 - 2, middle + tall);
  for (let k = 0; k < T; k++) {
    const x = left + k * pitch, current = k + 1 === step, far = Math.abs(k + 1 - step) * pitch > 24;
    const bar = (name, size) => {
      ctx.fillStyle = css(current ? "--ink" : name);
      ctx.fillRect(x + pitch * 0.08, middle + Math.sign(size) * 8, pitch * 0.84, size);
    };
    bar("--cost", -tall * kl[k] / most[0] * 0.86);
    if (gains[k] >= 0) bar("--gain", tall * gains[k] / most[1] * 0.86);
    ctx.fillStyle = css(current ? "--ink" : "--soft");
    const center = clamp(x + pitch / 2, left + 14, width - 24);
    if (current || k % every === 0 && far)
      ctx.fillText(k + 1, Math.min(x + pitch / 2, width - 10), middle);
    if (!current) continue;
    ctx.fillText(short(kl[k]), center, Math.max(8, middle - 17 - tall * kl[k] / most[0] * 0.86));
    const drop = Math.max(0, gains[k]) / most[1];
    ctx.fillText(short(gains[k]).replace("-", "\u2212"), center, middle + 18 + tall * drop * 0.86);
  }
  const paid = sum(kl.slice(0, step));
  $("sum").textContent = `After step ${step}: ${short(paid)} nats paid, reconstruction ` +
    `${short(recon[0])} \u2192 ${short(recon[step])}, loss ${short(paid + recon[step])} nats.`;
  $("bars").setAttribute("aria-label", `What each step costs, its KL in nats: ${list(kl)}. ` +
    `What each step brings, the drop of the reconstruction in nats: ${list(gains)}.`);
}

// The numbers of a window as rows of a table.
function windowRows({xs, ys, ...window}) {
  const row = (name, text) => `<tr><th scope="row"><code>${name}</code><td>${text}`;
  const middle = points => (points[0] + points.at(-1)) / 2;
  const rows = ["gx", "gy", "delta", "sigma2", "gamma"].map(
    name => row(name, short(window[name], 4)));
  if (CONFIG.equations === "article")
    rows.push(row("grid", `${short(middle(xs))}, ${short(middle(ys))}`));
  return rows.join("");
}
