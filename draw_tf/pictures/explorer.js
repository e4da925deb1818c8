// Plays the strokes in `D` and shows what happened in each step; `page.py` puts this into the page.
"use strict";
const $ = id => document.getElementById(id);
const D = JSON.parse($("data").textContent);
const [H, W, C] = D.shape, T = D.steps, N = D.images, SIZE = H * W * C;
const SCOPES = ["read", "write"].filter(scope => D[scope]);
const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
const [canvases, inputs, known] = [D.canvases, D.inputs, D.known].map(text => text && bytes(text));
const imageOf = (all, k) => all.subarray(k * SIZE, (k + 1) * SIZE);
const canvasOf = (i, t) => imageOf(canvases, i * (T + 1) + t);  // the first canvas is at t = 0
const now = {image: 0, step: 1, finished: false};  // images count from 0, steps from 1
let timer = 0;

const short = (v, digits = 3) => String(Number(v.toPrecision(digits)));
const list = values => Array.from(values, v => short(v)).join(" ");
const sum = values => values.reduce((a, b) => a + b, 0);
const largest = values => values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-9);
const clamp = (v, low, high) => Math.min(Math.max(Math.round(v) || low, low), high);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);

// ------------------------------------------------------------ the numbers of a step

const number = (scope, name, i, step) => D[scope][name][i][step - 1];

// The grid points in pixels: columns [n] and rows [n].
const points = (scope, i, step) => ["gx", "gy"].map(centre => D[scope].offsets.map(
  offset => number(scope, centre, i, step) + offset * number(scope, "delta", i, step)));

// The filters Fx [n][W] and Fy [n][H].
function filters(scope, i, step) {
  const sigma = number(scope, "sigma", i, step);
  return points(scope, i, step).map((mus, axis) => mus.map(mu => {
    const pixels = Array.from({length: axis ? H : W}, (_, a) => a);
    const weights = pixels.map(a => Math.exp(-(((a - mu) / sigma) ** 2) / 2));
    return weights.map(weight => weight / Math.max(sum(weights), 1e-8));
  }));
}

const change = (after, before) => Array.from(after, (v, k) => (v - before[k]) / 255);

// What the encoder sees: where a pixel of the image is not known, the canvas so far.
const seen = (i, step) => imageOf(inputs, i).map(
  (v, k) => known && !known[k] ? canvasOf(i, step - 1)[k] : v);

// What the stroke adds to the canvas, [SIZE] in logits; without attention, the image's change.
function strokeOf(i, step) {
  if (!D.write) return change(canvasOf(i, step), canvasOf(i, step - 1));
  const [Fx, Fy] = filters("write", i, step), gamma = number("write", "gamma", i, step);
  return Array.from({length: SIZE}, (_, k) => sum(D.w[i][step - 1].map((w, j) => {
    const [a, b] = [Math.floor(j / C / Fx.length), Math.floor(j / C) % Fx.length];
    const [y, x] = [Math.floor(k / C / W), Math.floor(k / C) % W];
    return j % C === k % C ? Fy[a][y] * w * Fx[b][x] / gamma : 0;
  })));
}

// ------------------------------------------------------------ drawing

// Colours of a pixel's values [3]: grey levels, or orange for positive and blue for negative.
const grey = scale => rgb => rgb.map(v => 255 * v / scale);
const signed = scale => rgb => {
  if (C === 3) return rgb.map(v => 128 + 127 * v / scale);
  const t = Math.abs(rgb[0] / scale), over = 140 * Math.max(0, t - 0.6);
  const glow = [460 * t, 190 * t ** 1.2 + over, over];
  return rgb[0] > 0 ? glow : glow.reverse();
};

// Values [height * width * C] as a picture of one screen pixel each.
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

const showsWindows = () => $("boxes").checked && !now.finished;

// A window over a picture whose corner is the origin: a line; in detail also sigma and the points.
function drawWindow(ctx, scope, i, step, scale, detail) {
  if (!showsWindows()) return;
  const [xs, ys] = points(scope, i, step).map(mus => mus.map(mu => (mu + 0.5) * scale));
  const box = [xs[0], ys[0], xs.at(-1) - xs[0], ys.at(-1) - ys[0]], reads = scope === "read";
  ctx.strokeStyle = ctx.fillStyle = reads ? "#2ee07f" : "#ff4538";
  if (detail) {
    ctx.globalAlpha = 0.3;
    ctx.lineJoin = "round";
    ctx.lineWidth = number(scope, "sigma", i, step) * scale;
    ctx.strokeRect(...box);
    ctx.globalAlpha = 1;
  }
  ctx.lineWidth = detail ? 2 : 1.25;
  ctx.setLineDash(reads ? (detail ? [7, 4] : [3, 2]) : []);
  ctx.strokeRect(...box);
  ctx.setLineDash([]);
  ctx.lineWidth = 1;
  ctx.strokeStyle = "#000";
  const r = Math.max(2.5, Math.min(5, scale / 4));
  for (const x of detail ? xs : []) for (const y of ys) {
    ctx.beginPath();
    if (reads) ctx.rect(x - r, y - r, 2 * r, 2 * r);
    else ctx.arc(x, y, r, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
  }
}

// A small picture with windows over it.
function drawPicture(element, values, colour, scopes, i = now.image) {
  const [ctx, width, height] = surface(element, H / W);
  ctx.drawImage(bitmap(values, H, W, colour), 0, 0, width, height);
  for (const scope of scopes)
    if (D[scope]) drawWindow(ctx, scope, i, now.step, width / W, false);
}

// A grid of n x n values, each written into its cell where there is room.
function drawGrid(id, values, n, colour, caption) {
  const sheet = bitmap(values, n, n, colour), [ctx, width] = surface($(id), 1), cell = width / n;
  $(id).nextElementSibling.textContent = caption;
  $(id).setAttribute("aria-label", `${caption}: ${list(values)}`);
  ctx.drawImage(sheet, 0, 0, width, width);
  if (C !== 1 || cell < 24) return;
  const shades = sheet.getContext("2d").getImageData(0, 0, n, n).data;
  ctx.font = `${Math.min(13, cell / 2.7)}px system-ui, sans-serif`;
  values.forEach((v, k) => {
    ctx.fillStyle = shades[4 * k] + 2 * shades[4 * k + 1] > 330 ? "#000" : "#fff";
    const size = Math.abs(v), digits = size < 1 ? 2 : size < 100 ? 1 : 0;
    ctx.fillText(size < 0.005 ? "0" : v.toFixed(digits),
      (k % n + 0.5) * cell, (Math.floor(k / n) + 0.5) * cell);
  });
}

// The filters of a window as curves: those that read above and to the left of the picture, those
// that write below and to the right. They stand on `base`, [x, y], and are `tall` at most.
function drawFilters(ctx, scope, base, origin, scale, tall) {
  ctx.strokeStyle = ctx.fillStyle = css(`--${scope}`);
  ctx.lineWidth = 1.5;
  filters(scope, now.image, now.step).forEach((rows, axis) => {
    const most = Math.max(0.2, ...rows.flat()), reads = scope === "read";
    const place = (pixel, weight) => {
      const along = origin + (pixel + 0.5) * scale;
      const across = base[1 - axis] + (reads ? -1 : 1) * tall * weight / most;
      return axis ? [across, along] : [along, across];
    };
    for (const row of rows) {
      ctx.beginPath();
      [0, ...row, 0].forEach((v, k) => ctx.lineTo(...place(clamp(k - 1, 0, row.length - 1), v)));
      ctx.globalAlpha = 0.15;
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.stroke();
    }
    ctx.fillText(axis ? "Fy" : "Fx", ...place(reads ? -1.5 : (axis ? H : W) + 0.5, most / 2));
  });
}

// The canvas after the step, large, with its windows and their filters.
function drawStage() {
  const full = $("stage").clientWidth, tall = 0.085 * full, space = SCOPES.length ? 0.05 * full : 0;
  const origin = space + (D.read ? tall + 2 : 0);
  const scale = (full - origin - space - (D.write ? tall + 2 : 0)) / W;
  const [right, bottom] = [origin + W * scale, origin + H * scale];
  const [ctx] = surface($("stage"), (full - right + bottom) / full);
  ctx.save();
  ctx.beginPath();
  ctx.rect(origin - space, origin - space, W * scale + 2 * space, H * scale + 2 * space);
  ctx.clip();
  ctx.fillStyle = css("--edge");
  ctx.fillRect(0, 0, full, full);
  ctx.translate(origin, origin);
  const sheet = bitmap(canvasOf(now.image, now.step), H, W, grey(255));
  ctx.drawImage(sheet, 0, 0, W * scale, H * scale);
  for (const scope of SCOPES) drawWindow(ctx, scope, now.image, now.step, scale, true);
  ctx.restore();
  const base = {read: [origin - space, origin - space], write: [right + space, bottom + space]};
  for (const scope of showsWindows() ? SCOPES : [])
    drawFilters(ctx, scope, base[scope], origin, scale, tall);
}

function drawBars() {
  const kl = D.kl[now.image], most = largest(kl), wide = $("bars").clientWidth;
  const [ctx, width, height] = surface($("bars"), Math.min(0.45, 150 / wide));
  const left = 34, top = 20, base = height - 18, pitch = (width - left) / T;
  const every = [1, 2, 4, 8, 16].find(count => count * pitch > 26) || 32;
  ctx.fillStyle = css("--soft");
  ctx.fillText(short(most, 2), left / 2, top + 4);
  ctx.fillText("0", left / 2, base - 4);
  kl.forEach((nats, k) => {
    const tall = (base - top) * nats / most, x = left + k * pitch, current = k + 1 === now.step;
    ctx.fillStyle = css(current ? "--ink" : "--bar");
    ctx.fillRect(x + pitch * 0.08, base - tall, pitch * 0.84, tall);
    ctx.fillStyle = css(current ? "--ink" : "--soft");
    if (current) ctx.fillText(short(nats), clamp(x + pitch / 2, left, width - 16), base - tall - 9);
    if (current || k % every === 0 && Math.abs(k + 1 - now.step) * pitch > 24)
      ctx.fillText(k + 1, x + pitch / 2, height - 8);
  });
  $("sum").textContent = `${short(sum(kl.slice(0, now.step)))} of ${short(sum(kl))} nats so far`;
  $("bars").setAttribute("aria-label", `KL in nats, one bar per step: ${list(kl)}`);
}

// ------------------------------------------------------------ the whole page

function sentence(i, step) {
  const windows = SCOPES.map(scope => {
    const [x, y] = points(scope, i, step).map(mus => ((mus[0] + mus.at(-1)) / 2).toFixed(1));
    return ` The model ${scope}s around column ${x}, row ${y}.`;
  });
  const cost = D.kl ? ` The step costs ${short(D.kl[i][step - 1])} nats.` : "";
  return `Image ${i + 1}, step ${step} of ${T}.${windows.join("")}${cost}`;
}

function render() {
  const {image: i, step} = now, before = canvasOf(i, step - 1), stroke = strokeOf(i, step);
  drawStage();
  [...$("thumbs").children].forEach((button, k) => {
    button.setAttribute("aria-pressed", k === i);
    drawPicture(button.firstChild, canvasOf(k, step), grey(255), SCOPES, k);
  });
  drawPicture($("before"), before, grey(255), ["read"]);
  drawPicture($("stroke"), stroke, signed(largest(stroke)), ["write"]);
  $("stroke").nextElementSibling.textContent = `${D.write ? "stroke, in logits" :
    "change of the image"}: \u00b1${short(largest(stroke), 2)}`;
  if (inputs) {
    drawPicture($("x"), seen(i, step), grey(255), ["read"]);
    drawPicture($("x_hat"), change(seen(i, step), before), signed(1), ["read"]);
    drawBars();
  }
  if (D.read) {
    const n = D.read.offsets.length, r = D.r[i][step - 1];
    const x = r.slice(0, n * n * C), x_hat = r.slice(n * n * C);
    drawGrid("read_x", x, n, grey(largest(x)), "x, read");
    drawGrid("read_x_hat", x_hat, n, signed(largest(x_hat)), "x\u0302, read");
  }
  if (D.write) {
    const w = D.w[i][step - 1];
    drawGrid("w", w, D.write.offsets.length, signed(largest(w)), "patch w");
  }
  for (const scope of SCOPES)
    $(`${scope}-numbers`).innerHTML = ["gx", "gy", "delta", "sigma2", "gamma"].map(name => `<tr>
      <th scope="row"><code>${name}</code><td>${short(number(scope, name, i, step), 4)}`).join("");
  $("slider").value = step;
  $("slider").setAttribute("aria-valuetext", `step ${step} of ${T}`);
  $("place").textContent = now.finished ? "finished" : `step ${step} of ${T}`;
  $("link").href = `#image=${i + 1}&step=${step}`;
  $("status").textContent = sentence(i, step);
  $("stage").setAttribute("aria-label", `Canvas after the step. ${sentence(i, step)}`);
}

function show(image, step) {
  Object.assign(now, {image: clamp(image, 0, N - 1), step: clamp(step, 1, T), finished: false});
  render();
}

// Plays every step, then the finished images without windows for a second.
function tick() {
  if (now.step < T || now.finished) show(now.image, now.step % T + 1);
  else {
    now.finished = true;
    render();
  }
  timer = setTimeout(tick, now.finished ? 1000 : Number($("speed").value));
}

function play(on) {
  clearTimeout(timer);
  timer = on ? setTimeout(tick, Number($("speed").value)) : 0;
  $("play").textContent = on ? "Stop" : "Play";
  $("status").setAttribute("aria-live", on ? "off" : "polite");
}

function go(step) {
  play(false);
  show(now.image, step);
}

function openLink() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  play(!wanted.has("step") && !matchMedia("(prefers-reduced-motion: reduce)").matches);
  show(Number(wanted.get("image")) - 1, Number(wanted.get("step")));
}

const have = {infer: D.kl, read: D.read, write: D.write, windows: SCOPES.length};
for (const element of document.querySelectorAll("[data-needs]"))
  element.hidden = element.dataset.needs.split(" ").some(
    need => need[0] === "!" ? have[need.slice(1)] : !have[need]);
if (D.kl) $("before").parentElement.dataset.sign = "\u2212";
$("caption").textContent = D.caption;
$("slider").max = T;
$("boxes").checked = D.boxes;
for (let i = 0; i < N; i++) {
  const button = $("thumbs").appendChild(document.createElement("button"));
  button.setAttribute("aria-label", `Image ${i + 1}`);
  button.appendChild(document.createElement("canvas"));
  button.onclick = () => show(i, now.step);
}
$("play").onclick = () => play(!timer);
$("back").onclick = () => go(now.step - 1);
$("next").onclick = () => go(now.step + 1);
$("slider").oninput = () => go(Number($("slider").value));
$("bars").onclick = event => go((event.offsetX - 34) / ($("bars").clientWidth - 34) * T + 0.5);
document.onkeydown = event => {
  const {key, target} = event, by = {ArrowLeft: -1, ArrowRight: 1}[key];
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("select, input")) return;
  if (by) go(now.step + by);
  if (key === " " && target === document.body) {
    play(!timer);
    event.preventDefault();
  }
};
$("boxes").onchange = window.onresize = window.onload = render;
matchMedia("(prefers-color-scheme: dark)").onchange = render;
window.onhashchange = openLink;
openLink();
