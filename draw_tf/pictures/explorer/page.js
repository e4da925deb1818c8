// The page: what a visitor asks for, and how it is played, stopped and looked into.
"use strict";
const STILL = "(prefers-reduced-motion: reduce)";
const Z = CONFIG.latent_size, IMAGINATIONS = 6, TRIES = 8, NEW = 12, WAY = 9;
const MOST = 2e7;  // numbers of canvases that are kept; of more images only the finished ones
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

function answer({id, steps, done, gone}) {
  const run = asked.get(id);
  if (gone || done) asked.delete(id);
  if (gone) return;
  run.steps.push(...steps);
  run.done = done;
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
const drawing = {strokes: [], base: null, ground: C === 3 ? $("paper").value : "#000",
  noise: examples[0]?.noises[0] ?? normal()};
const ends = [given[0] || normal(), given.at(-1) === given[0] ? normal() : given.at(-1)];
let mode = "", tool = "brush";
let items = [];  // the runs that #results shows
let run = null, step = 1, finished = false;  // the run that is looked into; steps count from 1
let newest = null;  // the run that was asked for last, and will be looked into
let era = 0;  // counts what is asked for; what was asked for in an earlier one is not shown
let timer = 0, chosen = 0;  // `chosen` is the image of #examples or #results, from 0

const image = () => drawing.image ||= imageOf(drawing);
// What is known where one half is covered, [H W C] of 0 and 1; as `kept_half` of the other half.
const halfOf = side => Float32Array.from({length: SIZE}, (_, k) => {
  const [x, y] = [Math.floor(k / C) % W, Math.floor(k / C / W)];
  return Number({left: x >= W - (W >> 1), right: x < W >> 1, top: y >= H - (H >> 1),
    bottom: y < H >> 1, none: true}[side]);
});
const GIVEN = floats(D.known) ?? [NaN], cover = {known: floats(D.known) ?? halfOf("right")};

// Asks for a run that is looked into when it is there; until then its windows move over the last.
function look(wanted, then) {
  const then_era = era;
  newest = wanted;
  stop();
  compute(wanted, "now", changed => {
    if (era !== then_era) return;
    if (!changed.done) return live(changed);
    [run, step, finished] = [changed, T, true];
    render();
    if (changed === newest) then?.();
  });
}

// The picture of a run that is not finished: its windows over the last picture that was.
function live(changed) {
  live.run = changed;
  live.frame ||= requestAnimationFrame(() => {
    live.frame = 0;
    const latest = live.run.steps.at(-1), canvas = run?.done ? run.steps.at(-1).canvas
      : latest?.canvas;
    if (live.run.done || !canvas) return;
    drawStage(canvas, $("boxes").checked && latest, live.run);
    if (mode === "draw") drawPicture($("answer"), shown(canvas), grey(1), latest, SCOPES);
  });
}

// log p(known part, z) - log q(z | known part, canvas) of a pass, but for a constant, in nats.
function logWeight({steps, noise}) {
  let nats = -steps.at(-1).recon_nats;
  steps.forEach(({z, logsigma}, t) => z.forEach((v, k) =>
    nats += (noise[t * Z + k] ** 2 - v ** 2) / 2 + logsigma[k]));
  return nats;
}

// An imagination: one of several passes, chosen at random in proportion to their weights, as in
// `draw_tf.models.completion`; the largest sum of logarithm and Gumbel noise is such a choice.
function select(run, lane, changed, left = run.tries) {
  const {image, known} = run, pass = {image, known, noise: run.steps ? normal() : run.noise};
  run.steps ??= [];
  compute(pass, lane, () => {
    if (!pass.done) return;
    const {steps, noise} = pass, score = logWeight(pass) - Math.log(-Math.log(Math.random()));
    if (!(run.score >= score)) Object.assign(run, {steps, noise, score});
    run.done = left === 1;
    if (changed(run) && !run.done) select(run, lane, changed, left - 1);
  });
}

// Redraws what is on the pad; while the pen moves, as often as the computation allows.
function redraw(then = play) {
  drawing.image = null;
  showPad();
  look({image: image(), noise: drawing.noise, known: null}, then);
}

// Fills #results with runs, and looks into one of them.
function fill(runs, first = 0, then = play) {
  const many = runs.length * T * SIZE > MOST;
  [items, chosen] = [runs, first];
  era++;
  thumbs($("results"), runs.map((_, k) => ({name: `Image ${k + 1}`})), choose);
  const shownAs = k => changed => {
    if (items !== runs) return false;
    drawThumb(k);
    if (k !== chosen) {
      if (many && changed.done) Object.assign(changed, {steps: changed.steps.slice(-1), cut: true});
      return true;
    }
    [newest, run] = [changed, changed];
    [step, finished] = [Math.max(1, changed.steps.length), changed.done];
    render();
    if (changed.done) (changed.then ?? then)();
    return true;
  };
  runs.forEach((item, k) => {
    item.show = shownAs(k);
    (item.tries > 1 ? select : compute)(item, k === first ? "now" : `item ${k}`, item.show);
  });
}

function choose(k) {
  chosen = k;
  stop();
  [run, newest] = [items[k], items[k]];
  if (mode === "walk") $("way").value = 100 * k / (WAY - 1);
  if (run.cut) compute(Object.assign(run, {cut: false}), "now", run.show);
  else if (run.done) play();
}

// At the step of the run that is played; at its end, all are finished.
function drawThumb(k) {
  const {steps, known} = items[k], now = steps[Math.min(timer ? step : T, steps.length) - 1];
  if (now) drawPicture($("results").children[k].firstChild, shown(now.canvas), grey(1), {}, [],
    known);
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

const nameOf = k => `image ${k + 1}` + (examples[k].label === null ? ""
  : `, ${examples[k].label === 8 ? "an" : "a"} ${examples[k].label}`);

function pickExample(k, then = play) {
  const {image: base, noises: [noise]} = examples[k];
  Object.assign(drawing, {strokes: [], base, noise, image: null, example: k});
  if (mode === "finish") imagine(then);
  else redraw(then);
}

// Several imaginations of what is covered, with the noise of the page where it has some.
function imagine(then = play, anew = false) {
  if (!drawing.base && !drawing.strokes.length) {  // nothing is drawn yet
    if (examples.length) return pickExample(0, then);
    if (D.digits) drawing.strokes.push({points: ghost.curve(), width: penWidth(), ink: "#fff"});
    drawing.image = null;
  }
  showPad();
  const known = cover.known.slice();
  const noises = anew || !same(known, GIVEN) ? [] : examples[drawing.example]?.noises ?? [];
  const length = Math.max(IMAGINATIONS, noises.length);
  fill(Array.from({length}, (_, k) => ({
    image: image(), noise: noises[k] ?? normal(), known, tries: k < noises.length ? 1 : TRIES})),
  0, then);
}

// New images, or those that the page was made of.
const invent = (noises = given.length ? given : Array.from({length: NEW}, normal)) =>
  fill(noises.map(noise => ({image: null, noise, known: null})));

function walk() {
  fill(Array.from({length: WAY}, (_, k) => (
    {image: null, noise: between(...ends, k / (WAY - 1)), known: null})),
  Math.round($("way").value / 100 * (WAY - 1)));
}

function setMode(name, then) {
  stop();
  mode = name;
  era++;
  [run, newest, items, step, finished] = [null, null, [], 1, false];
  for (const button of document.querySelectorAll("[data-mode]"))
    button.setAttribute("aria-pressed", button.dataset.mode === mode);
  tool = mode === "finish" ? "cover" : "brush";
  arrange();
  (then ?? {draw: () => redraw(), new: () => invent(), walk, finish: () => imagine()}[mode])();
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
  for (const name of ["new", "walk"])  // such a model cannot generate
    document.querySelector(`[data-mode=${name}]`).hidden = CONFIG.shared_noise && D.images;
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
  if (mode === "draw") return drawing.example !== undefined ? nameOf(drawing.example)
    : drawing.strokes.length ? "of your drawing" : "";
  return {new: `new image ${chosen + 1}`, walk: `${Math.round($("way").value)}% of the way`,
    finish: `imagination ${chosen + 1}`}[mode];
}

function render() {
  if (!run?.steps.length) return;
  step = clamp(step, 1, run.steps.length);
  const now = run.steps[step - 1], last = before(run, step), drawn = shown(last);
  drawStage(now.canvas, !finished && $("boxes").checked && now, run);
  const stroke = now.canvas.map((v, k) => v - last[k]);
  const windows = scope => $("boxes").checked ? [scope] : [];
  drawPicture($("before"), drawn, grey(1), now, windows("read"));
  drawPicture($("stroke"), stroke, signed(largest(stroke)), now, windows("write"));
  $("stroke").nextElementSibling.textContent = "stroke, in logits: " +
    `\u00b1${short(largest(stroke), 2)}`;
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
  [["results", chosen], ["examples", drawing.example]].forEach(([group, at]) =>
    [...$(group).children].forEach((button, k) => button.setAttribute("aria-pressed", k === at)));
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
  const k = mode === "draw" || mode === "finish" ? drawing.example : chosen;
  const hash = `#mode=${mode}${k === undefined ? "" : `&image=${k + 1}&step=${step}`}`;
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
  if (matchMedia(STILL).matches && !play.wanted) return render();
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
  play.wanted = true;  // also by those who prefer less motion
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
  : imagine(play, true);
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
$("bars").onclick = ({offsetX}) =>
  go(Math.round((offsetX - 34) / ($("bars").clientWidth - 34) * T + 0.5));
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
  if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.closest("select, input")) return;
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
  [...$("examples").children].forEach((button, k) =>
    drawPicture(button.firstChild, examples[k].image, grey(1)));
}

// Opens what the address asks for; without one, what the page was made of.
function openLink() {
  const wanted = new URLSearchParams(location.hash.slice(1)), at = Number(wanted.get("step"));
  const then = at ? () => go(at) : play, modes = ["draw", "new", "walk", "finish"];
  const natural = D.known ? "finish" : D.images ? "draw" : "new";
  const name = modes.includes(wanted.get("mode")) ? wanted.get("mode") : natural;
  const k = Math.max(0, Math.floor(Number(wanted.get("image"))) - 1 || 0);
  const example = clamp(k, 0, examples.length - 1), still = matchMedia(STILL).matches;
  setMode(name, {  // new images and walks as `setMode` asks for them
    draw: () => {
      const empty = !wanted.has("image") && !drawing.strokes.length;
      if (empty && D.digits && C === 1) ghost.draw(still);
      else if (examples.length) pickExample(example, then);
      else redraw();
    },
    finish: () => examples.length ? pickExample(example, then) : imagine(then),
  }[name]);
  if (name === "new" && items[k]) [chosen, items[k].then] = [k, then];
}

document.documentElement.style.setProperty("--shape", W / H);
$("count").textContent = T;
$("caption").textContent = D.caption;
$("slider").max = T;
$("boxes").checked = D.boxes;
if (D.digits && C === 1) $("manner").textContent = "It sees your drawing as its training images " +
  `were: fitted to 20 \u00d7 20 pixels, centred${D.binary ? ", black and white" : ""}.`;
thumbs($("examples"), examples.map(({label}, k) => ({name: nameOf(k), text: label ?? ""})), k => {
  ghost.stop();
  pickExample(k);
});
showExamples();
window.onhashchange = openLink;
openLink();
