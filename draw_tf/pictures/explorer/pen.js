// The pen: a mouse, a finger, the keys, or one that draws by itself when the page opens.
"use strict";

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
  const all = event.getCoalescedEvents?.() ?? [];
  penMove(...(all.length ? all : [event]).map(place));
};
$("pad").onpointerup = $("pad").onpointercancel = penUp;
$("pad").onkeydown = event => {
  const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
    ArrowDown: [0, 1]}[event.key];
  const does = {" ": () => pen.down ? penUp() : penDown(pen.at), e: () => setTool("eraser"),
    b: () => setTool("brush"), z: undo, Delete: clear, Backspace: clear}[event.key];
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
$("pad").onfocus = () => {
  if ($("pad").matches(":focus-visible")) pen.at = [W / 2, H / 2];
  showPad();
};
$("pad").onblur = () => {
  penUp();
  pen.at = null;
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
      const share = Math.min(1, (performance.now() - first) / 2000);
      const upto = Math.ceil(share * curve.length);
      if (upto > drawn) penMove(...curve.slice(drawn, upto));
      drawn = upto;
      this.frame = drawn < curve.length ? requestAnimationFrame(move) : 0;
      if (!this.frame) penUp();
    };
    this.frame = requestAnimationFrame(move);
  },
};
