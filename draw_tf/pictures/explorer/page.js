// The page: what a visitor asks for, and how it is played, stopped and looked into.
"use strict";
const Z = CONFIG.latent_size, IMAGINATIONS = 6, NEW = 12, WAY = 9;
const SHARED = CONFIG.shared_noise;
// Numbers in base64 as a Float32Array.
const floats = text => text && new Float32Array(
  Uint8Array.from(atob(text), character => character.charCodeAt(0)).buffer);
const part = (all, k, size) => all.subarray(k * size, (k + 1) * size);
const same = (a, b) => a.every((v, k) => v === b[k]);

// Standard normal noise [T Z].
const normal = () => Float32Array.from({length: T * Z}, () =>
  Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));

// Noise on the way from one to another, which stays as likely as its ends; as `draw_tf.noise`.
function between(a, b, way) {
  const dot = (p, q) => p.reduce((total, v, k) => total + v * q[k], 0);
  const angle = Math.acos(clamp(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)), -1, 1));
  const [p, q] = Math.sin(angle) < 1e-6 ? [1 - way, way]
    : [1 - way, way].map(share => Math.sin(share * angle) / Math.sin(angle));
  return a.map((v, k) => p * v + q * b[k]);
}

// ------------------------------------------------------------ the computation, in a worker

window.draw = {
  config: CONFIG,
  redraw: (image, noise, known = null) => collect([...model.steps({image, noise, known})]),
  generate: noise => collect([...model.steps({noise})]),
};

const asked = new Map();  // runs that are not finished, by their id
let count = 0;

function answer({id, steps, done}) {
  const run = asked.get(id);
  if (!run) return;
  run.steps.push(...steps);
  run.done = done;
  if (done) asked.delete(id);
  run.changed(run);
}

let start = (() => {
  const here = serve(model, answer);
  try {
    const code = `${$("model").textContent}
      onmessage = ({data: [config, shapes, numbers]}) => {
        const ask = serve(new Model(config, unpack(shapes, numbers)), postMessage);
        onmessage = ({data}) => ask(data);
      };`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    worker.onmessage = ({data}) => answer(data);
    worker.onerror = event => {  // the browser forbids it: compute here, in slices
      event.preventDefault();
      start = here;
      for (const [id, run] of asked) {
        run.steps = [];
        here(jobOf(id, run));
      }
    };
    worker.postMessage([CONFIG, D.shapes, weights]);
    return job => worker.postMessage(job);
  } catch {
    return here;
  }
})();
const jobOf = (id, {lane, image, noise, known}) => ({id, lane, image, noise, known});

// Computes a run; `changed` is called as its steps come.
function compute(run, lane, changed) {
  Object.assign(run, {lane, changed, steps: [], done: false});
  asked.set(++count, run);
  start(jobOf(count, run));
}

// ------------------------------------------------------------ what is given, and what is asked for

// The images of the page; those that are completed come several times, with other noise each.
const [NOISE, IMAGES] = [floats(D.noise), floats(D.images)], examples = [], given = [];
for (let k = 0; k < D.count; k++) {
  const noise = part(NOISE, k, T * Z);
  if (!IMAGES) given.push(noise);
  else {
    const image = part(IMAGES, k, SIZE), last = examples.at(-1);
    if (D.known && last && same(last.image, image)) last.noises.push(noise);
    else examples.push({image, noises: [noise], label: D.labels?.[k] ?? null});
  }
}
const drawing = {strokes: [], base: null, ground: "#000", noise: normal()};
const cover = {known: floats(D.known) || new Float32Array(SIZE)};
const ends = [given[0] || normal(), given.at(-1) === given[0] ? normal() : given.at(-1)];
let mode = "", tool = "brush";
let items = [];  // the runs that #results shows
let run = null, step = 1, finished = false;  // the run that is looked into; steps count from 1
let newest = null;  // the run that was asked for last, and will be looked into
let timer = 0, chosen = 0;  // `chosen` is the image of #examples or #results, from 0

const image = () => drawing.image ||= imageOf(drawing);
// What is known where one half is covered, [H W C] of 0 and 1; as `kept_half` of the other half.
const halfOf = side => Float32Array.from({length: SIZE}, (_, k) => {
  const [x, y] = [Math.floor(k / C) % W, Math.floor(k / C / W)];
  return Number({left: x >= W - (W >> 1), right: x < W >> 1, top: y >= H - (H >> 1),
    bottom: y < H >> 1, none: true}[side]);
});

// Asks for a run that is looked into when it is there; until then its windows move over the last.
function look(wanted, then) {
  newest = wanted;
  stop();
  compute(wanted, "now", changed => {
    if (!changed.done) return live(changed);
    if (changed.image || !run || changed === newest) [run, step, finished] = [changed, T, true];
    render();
    if (changed === newest) then?.();
  });
}

// The picture of a run that is not finished: its windows over the last picture that was.
function live(changed) {
  const latest = changed.steps.at(-1);
  const canvas = run?.done ? run.steps.at(-1).canvas : latest?.canvas;
  if (!canvas) return;
  drawStage(canvas, $("boxes").checked && latest, changed.known);
  if (mode === "draw") drawPicture($("answer"), shown(canvas), grey(1), latest, SCOPES);
}

// Redraws what is on the pad; while the pen moves, as often as the computation allows.
function redraw(then = play) {
  drawing.image = null;
  showPad();
  look({image: image(), noise: drawing.noise, known: null}, then);
}

// Fills #results with runs, and looks into one of them.
function fill(runs, first = 0, then = play) {
  items = runs;
  chosen = first;
  thumbs($("results"), runs.map((_, k) => ({name: `Image ${k + 1}`})), choose);
  runs.forEach((item, k) => compute(item, k === first ? "now" : `item ${k}`, changed => {
    if (items !== runs) return;
    drawThumb(k);
    if (k !== chosen) return;
    newest = run = changed;
    [step, finished] = [Math.max(1, changed.steps.length), changed.done];
    render();
    if (changed.done) then?.();
  }));
}

function choose(k) {
  chosen = k;
  [run, newest] = [items[k], items[k]];
  if (mode === "walk") $("way").value = 100 * k / (WAY - 1);
  if (run.done) play();
}

function drawThumb(k) {
  const item = items[k], at = item === run && !finished ? step : Math.min(step, item.steps.length);
  const now = item.steps[(timer ? at : item.steps.length) - 1];
  if (now) drawPicture($("results").children[k].firstChild, shown(now.canvas), grey(1), {}, [],
    item.known);
}

// Buttons with a picture each; the arrow keys go from one to the next.
function thumbs(group, entries, pick) {
  group.replaceChildren(...entries.map(({name, text}, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", name);
    button.append(document.createElement("canvas"), text ?? "");
    button.onclick = () => pick(k);
    return button;
  }));
  group.onkeydown = event => {
    const all = [...group.children], at = all.indexOf(document.activeElement);
    const across = getComputedStyle(group).gridTemplateColumns.split(" ").length;
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across,
      Home: -at, End: all.length - 1 - at}[event.key];
    if (by === undefined || at < 0 || !all[at + by]) return;
    event.preventDefault();
    event.stopPropagation();
    all[at + by].focus();
    all[at + by].click();
  };
}

const nameOf = k => examples[k].label === null ? `image ${k + 1}` : `image ${k + 1}, a ${examples[k].label}`;

function pickExample(k, then = play) {
  const {image: base, noises: [noise]} = examples[k];
  Object.assign(drawing, {strokes: [], base, noise, image: null, example: k});
  chosen = k;
  if (mode === "finish") imagine(then);
  else redraw(then);
}

// Several imaginations of what is covered.
function imagine(then = play) {
  if (!drawing.base && !drawing.strokes.length) {  // nothing is drawn yet
    if (examples.length) return pickExample(0, then);
    if (D.digits) drawing.strokes.push({points: ghost.curve(), width: penWidth(), ink: "#fff"});
    drawing.image = null;
  }
  showPad();
  const known = cover.known.slice(), noises = [...examples[drawing.example]?.noises ?? []];
  while (noises.length < IMAGINATIONS) noises.push(normal());
  fill(noises.map(noise => ({image: image(), noise, known})), 0, then);
}

const invent = noises => fill(noises.map(noise => ({image: null, noise, known: null})));

function walk() {
  fill(Array.from({length: WAY}, (_, k) => (
    {image: null, noise: between(...ends, k / (WAY - 1)), known: null})),
  Math.round($("way").value / 100 * (WAY - 1)));
}

function setMode(name, then) {
  stop();
  mode = name;
  [run, newest, items, step, finished] = [null, null, [], 1, false];
  for (const button of document.querySelectorAll("[data-mode]"))
    button.setAttribute("aria-pressed", button.dataset.mode === mode);
  tool = mode === "finish" ? "cover" : "brush";
  arrange();
  then ??= {draw: () => redraw(), new: () => invent(given.length ? given : Array.from({length: NEW}, normal)),
    walk, finish: () => imagine()}[mode];
  then();
}

// Hides what does not belong to this mode or to this model.
function arrange() {
  const have = {infer: mode === "draw" || mode === "finish", known: mode === "finish",
    read: CONFIG.read_attention, write: CONFIG.write_attention, windows: SCOPES.length,
    colour: C === 3, digits: D.digits, article: CONFIG.equations === "article"};
  for (const element of document.querySelectorAll("[data-needs], [data-modes]")) {
    const {needs = "", modes = mode} = element.dataset;
    element.hidden = !modes.split(" ").includes(mode) || needs.split(" ").some(
      need => need[0] === "!" ? have[need.slice(1)] : need && !have[need]);
  }
  if (!examples.length) $("given").hidden = true;
  for (const id of ["brush", "eraser", "cover", "uncover"])
    $(id).setAttribute("aria-pressed", id === tool);
}

// ------------------------------------------------------------ the whole page

function sentence() {
  const now = run.steps[step - 1], where = SCOPES.filter(scope => now[scope]).map(scope => {
    const [x, y] = [now[scope].xs, now[scope].ys].map(
      points => ((points[0] + points.at(-1)) / 2).toFixed(1).replace("-", "\u2212"));
    return `${scope}s around column ${x}, row ${y}`;
  });
  const windows = where.length ? ` The model ${where.join(" and ")}.` : "";
  if (!run.image) return `Step ${step} of ${T}.${windows}`;
  const recon = reconstructions(run), gain = recon[step - 1] - recon[step];
  return `Step ${step} of ${T}.${windows} The step costs ${short(now.kl_nats)} nats and ` +
    `${gain < 0 ? "loses" : "brings"} ${short(Math.abs(gain))}.`;
}

function title() {
  if (mode === "draw") return drawing.base ? nameOf(drawing.example) : drawing.strokes.length ? "of your drawing" : "";
  return {new: `new image ${chosen + 1}`, walk: `${Math.round($("way").value)}% of the way`,
    finish: `imagination ${chosen + 1}`}[mode];
}

function render() {
  if (!run?.steps.length) return;
  step = clamp(step, 1, run.steps.length);
  const now = run.steps[step - 1], last = before(run, step), drawn = shown(last);
  drawStage(now.canvas, !finished && $("boxes").checked && now, run.known);
  const stroke = now.canvas.map((v, k) => v - last[k]);
  const windows = scope => $("boxes").checked ? [scope] : [];
  drawPicture($("before"), drawn, grey(1), now, windows("read"));
  drawPicture($("stroke"), stroke, signed(largest(stroke)), now, windows("write"));
  $("stroke").nextElementSibling.textContent = `stroke, in logits: \u00b1${short(largest(stroke), 2)}`;
  if (run.image) {
    const x = seen(run, drawn);
    drawPicture($("x"), x, grey(1), now, windows("read"), run.known);
    drawPicture($("x_hat"), x.map((v, k) => v - drawn[k]), signed(1), now, windows("read"));
    if (run.done) drawBars(run, step);
  }
  if (now.read) {
    const half = now.r.length / 2, [x, x_hat] = [now.r.slice(0, half), now.r.slice(half)];
    drawGrid("read_x", x, grey(largest(x)), "x, read");
    drawGrid("read_x_hat", x_hat, signed(largest(x_hat)), "x\u0302, read");
  }
  if (now.write) drawGrid("w", now.w, signed(largest(now.w)), "patch w");
  for (const scope of SCOPES)
    if (now[scope]) $(`${scope}-numbers`).innerHTML = windowRows(now[scope]);
  if ($("details").open) $("numbers").textContent = ["kl_nats", "recon_nats", "mu", "logsigma", "z",
    "r", "w"].filter(name => name in now).map(
    name => `${name} = ${now[name].length ? list(now[name]) : short(now[name], 5)}`).join("\n\n");
  if (mode === "draw") {
    drawPicture($("input"), run.image, grey(1));
    drawPicture($("answer"), shown(run.steps.at(-1).canvas), grey(1));
  }
  $("results").childNodes.forEach((_, k) => items[k] && drawThumb(k));
  for (const group of ["examples", "results"]) [...$(group).children].forEach((button, k) =>
    button.setAttribute("aria-pressed", group === "results" ? k === chosen : k === drawing.example));
  $("slider").value = step;
  $("slider").setAttribute("aria-valuetext", `step ${step} of ${T}`);
  $("place").textContent = finished ? "finished" : `step ${step} of ${T}`;
  $("what").textContent = title();
  $("status").textContent = sentence();
  $("stage").setAttribute("aria-label", `Canvas after the step. ${sentence()}`);
  note();
}

// Keeps the address in step: #mode=new&image=2&step=5. A drawing has none.
function note() {
  const place = mode === "draw" && !drawing.base ? "" : `&image=${
    (mode === "draw" ? drawing.example : chosen) + 1}&step=${step}`;
  const hash = `#mode=${mode}${place}`;
  $("link").href = hash;
  if (!timer && location.hash !== hash) history.replaceState(null, "", hash);
}

function show(at) {
  [step, finished] = [clamp(at, 1, T), false];
  render();
}

// Plays every step once; then the finished image stays, without windows.
function tick() {
  const pause = clamp($("speed").value / T, 25, 600);
  if (step < T) {
    timer = setTimeout(tick, pause);
    show(step + 1);
  } else {
    finished = true;
    stop();
    render();
  }
}

function play() {
  stop();
  if (!run?.done) return;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches && !play.wanted) return render();
  $("play").textContent = "Stop";
  $("status").setAttribute("aria-live", "off");
  timer = setTimeout(tick, clamp($("speed").value / T, 25, 600));
  show(1);
}

function stop() {
  clearTimeout(timer);
  timer = 0;
  $("play").textContent = "Play";
  $("status").setAttribute("aria-live", "polite");
}

function toggle() {
  if (timer) {
    stop();
    return render();
  }
  play.wanted = true;
  const from = finished || step === T ? 1 : step;
  play();
  if (timer) show(from);
}

function go(at) {
  stop();
  show(at);
}

// Another image, by the keys up and down.
function other(by) {
  const group = mode === "draw" ? $("examples") : $("results");
  const at = mode === "draw" ? drawing.example ?? -1 : chosen;
  group.children[clamp(at + by, 0, group.children.length - 1)]?.click();
}

// ------------------------------------------------------------ the pad

const pen = {down: false, at: null, scale: 1};

// The pad as the visitor sees it: the drawing, or in finish mode the image and its cover.
function showPad() {
  if (mode !== "draw" && mode !== "finish") return;
  const [ctx, width, height] = surface($("pad"), H / W), scale = width / W;
  const covered = mode === "finish", base = drawing.base;
  $("hint").hidden = covered || Boolean(base) || drawing.strokes.length > 0;
  ctx.fillStyle = drawing.ground;
  ctx.fillRect(0, 0, width, height);
  if (base) ctx.drawImage(bitmap(base, H, W, grey(1)), 0, 0, width, height);
  if (covered) {
    const shade = image().map((v, k) => cover.known[k] ? v : 0.5);
    ctx.drawImage(bitmap(shade, H, W, grey(1)), 0, 0, width, height);
    drawKnown(ctx, cover.known, scale);
  } else {
    ctx.save();
    ctx.scale(scale, scale);
    paint(ctx, drawing.strokes, drawing.ground);
    ctx.restore();
  }
  if (pen.at && document.activeElement === $("pad")) {
    ctx.strokeStyle = pen.down ? "#ffb000" : "#4c9aff";
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(pen.at[0] * scale, pen.at[1] * scale, 0.6 * penWidth() * scale + 2, 0, 2 * Math.PI);
    ctx.stroke();
  }
}

const penWidth = () => Math.min(H, W) / 28 * 2.4 * $("width").value;

// The pen comes down at a point of the image, moves to another, and is lifted.
function penDown(point, erase = false) {
  ghost.stop();
  pen.down = true;
  if (mode === "finish") return penMove(point);
  delete drawing.example;
  drawing.strokes.push({points: [], width: penWidth(), ink: C === 3 ? $("ink").value : "#fff",
    erase: erase || tool === "eraser"});
  penMove(point);
}

function penMove(...points) {
  if (!pen.down) return;
  if (mode === "draw") drawing.strokes.at(-1).points.push(...points);
  else for (const [x, y] of points) for (let k = 0; k < SIZE; k++) {
    const [px, py] = [Math.floor(k / C) % W + 0.5, Math.floor(k / C / W) + 0.5];
    if (Math.hypot(px - x, py - y) < penWidth()) cover.known[k] = Number(tool === "uncover");
  }
  pen.frame ||= requestAnimationFrame(() => {
    pen.frame = 0;
    if (mode === "draw") redraw(() => pen.down || play());
    else showPad();
  });
}

function penUp() {
  if (!pen.down) return;
  pen.down = false;
  if (mode === "finish") imagine();
  else if (!pen.frame && newest?.done) play();
}

function place(event) {
  const box = $("pad").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * W, (event.clientY - box.top) / box.height * H];
}

$("pad").onpointerdown = event => {
  if (event.button > 0 && event.button !== 5) return;
  $("pad").setPointerCapture(event.pointerId);
  pen.at = null;
  penDown(place(event), event.button === 5);
};
$("pad").onpointermove = event => {
  if (pen.down) penMove(...(event.getCoalescedEvents?.() ?? []).concat(event).map(place));
};
$("pad").onpointerup = $("pad").onpointercancel = penUp;
$("pad").onkeydown = event => {
  const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  const does = {" ": () => pen.down ? penUp() : penDown(pen.at), e: () => setTool("eraser"), b: () => setTool("brush"),
    z: undo, Delete: clear, Backspace: clear}[event.key];
  if (!by && !does || event.altKey || (event.ctrlKey || event.metaKey) && event.key !== "z") return;
  event.preventDefault();
  event.stopPropagation();
  pen.at ??= [W / 2, H / 2];
  if (by) {
    const far = event.shiftKey ? 0.25 : 1;
    pen.at = [clamp(pen.at[0] + by[0] * far, 0, W), clamp(pen.at[1] + by[1] * far, 0, H)];
    penMove(pen.at);
  } else does();
  showPad();
};
$("pad").onfocus = $("pad").onblur = () => {
  pen.at = document.activeElement === $("pad") && $("pad").matches(":focus-visible") ? [W / 2, H / 2] : null;
  if (!pen.at) penUp();
  showPad();
};

function setTool(name) {
  tool = mode === "finish" ? {eraser: "uncover", brush: "cover"}[name] ?? name : name;
  arrange();
}

function undo() {
  ghost.stop();
  if (drawing.strokes.length) drawing.strokes.pop();
  redraw();
}

function clear() {
  ghost.stop();
  if (mode === "finish") {
    cover.known.fill(1);
    return imagine();
  }
  Object.assign(drawing, {strokes: [], base: null});
  delete drawing.example;
  redraw(() => {});
}

// A pen that draws a digit by itself when the page opens, until the visitor does something.
const ghost = {
  path: [[8, 7.5], [10, 5.6], [13, 4.8], [16.5, 5.4], [18.6, 7.6], [18.4, 10.2], [16.4, 12.2],
    [13, 13.2], [16.6, 13.9], [19.2, 16], [19.6, 19], [18, 21.8], [14.6, 23.4], [11, 23.2],
    [8, 21.4]],
  frame: 0,
  stop() {
    if (this.frame) cancelAnimationFrame(this.frame);
    if (this.frame) Object.assign(drawing, {strokes: []});
    this.frame = 0;
    pen.down = false;
  },
  // The path as a smooth curve (Catmull and Rom's spline).
  curve() {
    const {path} = this, at = k => path[clamp(k, 0, path.length - 1)];
    return Array.from({length: 8 * (path.length - 1)}, (_, p) => [0, 1].map(axis => {
      const [a, b, c, d] = [-1, 0, 1, 2].map(by => at((p >> 3) + by)[axis]), t = p % 8 / 8;
      return b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))) / 2;
    }));
  },
  draw(whole) {
    const curve = this.curve();
    penDown(curve[0]);
    if (whole) {
      penMove(...curve);
      return penUp();
    }
    const first = performance.now();
    let drawn = 0;
    const move = () => {
      const upto = Math.min(curve.length, Math.ceil((performance.now() - first) / 2000 * curve.length));
      if (upto > drawn) penMove(...curve.slice(drawn, upto));
      drawn = upto;
      this.frame = drawn < curve.length ? requestAnimationFrame(move) : 0;
      if (!this.frame) penUp();
    };
    this.frame = requestAnimationFrame(move);
  },
};

// ------------------------------------------------------------ controls

for (const button of document.querySelectorAll("[data-mode]"))
  button.onclick = () => {
    ghost.stop();
    setMode(button.dataset.mode);
  };
for (const id of ["brush", "eraser", "cover", "uncover"]) $(id).onclick = () => setTool(id);
$("undo").onclick = undo;
$("clear").onclick = clear;
$("paper").oninput = () => {
  drawing.ground = $("paper").value;
  redraw();
};
$("half").onchange = () => {
  if ($("half").value) cover.known = halfOf($("half").value);
  $("half").value = "";
  imagine();
};
$("noise").onclick = () => {
  drawing.noise = normal();
  redraw();
};
$("more").onclick = () => mode === "new" ? invent(Array.from({length: NEW}, normal))
  : (delete drawing.example, imagine());
[$("from").onclick, $("to").onclick] = [0, 1].map(end => () => {
  ends[end] = normal();
  $("way").value = 100 * end;
  walk();
});
$("way").oninput = () => {
  const way = $("way").value / 100;
  chosen = Math.round(way * (WAY - 1));
  look({image: null, noise: between(...ends, way), known: null});
};
$("play").onclick = toggle;
$("back").onclick = () => go(step - 1);
$("next").onclick = () => go(step + 1);
$("slider").oninput = () => go(Number($("slider").value));
$("bars").onclick = event => go(Math.round((event.offsetX - 34) / ($("bars").clientWidth - 34) * T + 0.5));
$("link").onclick = event => {
  event.preventDefault();
  note();
  navigator.clipboard?.writeText(location.href).catch(() => {});
  $("link").textContent = "Link copied";
  setTimeout(() => $("link").textContent = "Link to this step", 2000);
};
document.onkeydown = event => {
  const {key, target} = event;
  const does = {ArrowLeft: () => go(step - 1), ArrowRight: () => go(step + 1), Home: () => go(1),
    End: () => go(T), ArrowUp: () => other(-1), ArrowDown: () => other(1),
    " ": target === document.body && toggle}[key];
  if (!does || event.ctrlKey || event.metaKey || event.altKey || target.closest("select, input")) return;
  event.preventDefault();
  does();
};
$("boxes").onchange = $("details").ontoggle = render;
window.onresize = matchMedia("(prefers-color-scheme: dark)").onchange = () => {
  showPad();
  showExamples();
  render();
};

function showExamples() {
  examples.forEach(({image}, k) => drawPicture($("examples").children[k].firstChild, image, grey(1)));
}

// Opens what the address asks for; without one, what the page was made of.
function openLink() {
  const wanted = new URLSearchParams(location.hash.slice(1)), at = Number(wanted.get("step"));
  const k = Math.max(0, Number(wanted.get("image")) - 1), then = at ? () => go(at) : play;
  const name = wanted.get("mode") ?? (D.known ? "finish" : D.images ? "draw" : "new");
  const index = clamp(Math.floor(k) || 0, 0, Math.max(0, examples.length - 1));
  if (name === "draw" && !wanted.has("image") && D.digits && C === 1)
    setMode("draw", () => ghost.draw(matchMedia("(prefers-reduced-motion: reduce)").matches));
  else if (name === "draw") setMode("draw", examples.length ? () => pickExample(index, then) : undefined);
  else setMode(["new", "walk", "finish"].includes(name) ? name : "draw", name === "new" ? () => {
    invent(given.length ? given : Array.from({length: NEW}, normal));
    chosen = clamp(k, 0, items.length - 1);
  } : undefined);
}

$("count").textContent = T;
$("caption").textContent = D.caption;
$("slider").max = T;
$("boxes").checked = D.boxes;
if (D.digits && C === 1) $("manner").textContent = "It sees your drawing as its training images " +
  `were: fitted to 20 \u00d7 20 pixels, centred${D.binary ? ", black and white" : ""}.`;
$("pad").setAttribute("aria-label", "Pad. Arrow keys move the pen, space puts it down and lifts it.");
thumbs($("examples"), examples.map(({label}, k) => ({name: nameOf(k), text: label ?? ""})), k => {
  ghost.stop();
  pickExample(k);
});
if (!D.known) cover.known = halfOf("right");
if (D.images && examples.length) Object.assign(drawing, {noise: examples[0].noises[0]});
showExamples();
window.onhashchange = openLink;
openLink();
