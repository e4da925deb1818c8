// The pad: strokes of a pen, and the image [H W C] that the model sees of them.
"use strict";
const FINE = clamp(Math.floor(512 / Math.max(H, W)), 1, 8);  // points per pixel, each way
const BOX = 20;  // pixels: MNIST's digits are fitted to such a square
const sheet = document.createElement("canvas");

// A drawing on the fine grid: RGBA levels. It is {strokes, base, ground}: strokes in image pixels,
// each {points, width, ink, erase}, over an image or null, and the colour of the ground. The
// strokes are made `scale` times as large and moved by `shift`, but ink keeps its width.
function raster({strokes, base, ground}, scale = 1, shift = [0, 0]) {
  [sheet.width, sheet.height] = [W * FINE, H * FINE];
  const ctx = sheet.getContext("2d", {willReadFrequently: true});
  ctx.fillStyle = ground;
  ctx.fillRect(0, 0, sheet.width, sheet.height);
  ctx.scale(FINE, FINE);
  ctx.imageSmoothingEnabled = false;
  if (base) ctx.drawImage(bitmap(base, H, W, grey(1)), 0, 0, W, H);
  paint(ctx, strokes, ground, scale, shift);
  return ctx.getImageData(0, 0, sheet.width, sheet.height).data;
}

// The strokes as lines, in a context whose unit is a pixel of the image.
function paint(ctx, strokes, ground, scale = 1, shift = [0, 0]) {
  ctx.lineCap = ctx.lineJoin = "round";
  for (const {points, width, ink, erase} of strokes) {
    ctx.strokeStyle = erase ? ground : ink;
    ctx.lineWidth = erase ? width * scale : width;
    ctx.beginPath();
    for (const [x, y] of [points[0], ...points])
      ctx.lineTo(x * scale + shift[0], y * scale + shift[1]);
    ctx.stroke();
  }
}

// Where there is ink, in pixels: the ends of its box, and its middle by mass, [2] each.
function extent(levels) {
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity], mass = [0, 0];
  let total = 0;
  for (let p = 0; p < levels.length / 4; p++) {
    const ink = levels[4 * p], place = [p % (W * FINE), Math.floor(p / (W * FINE))];
    if (ink < 128) continue;
    total += ink;
    place.forEach((v, axis) => {
      low[axis] = Math.min(low[axis], v / FINE);
      high[axis] = Math.max(high[axis], (v + 1) / FINE);
      mass[axis] += ink * (v + 0.5) / FINE;
    });
  }
  return total ? {low, high, mass: mass.map(v => v / total)} : null;
}

// The image that the model sees. A digit is brought to the manner of MNIST: fitted to 20 x 20
// pixels and centred by its mass. The pen keeps its width, as small digits of MNIST are not drawn
// with a finer one.
function imageOf(drawing) {
  const {strokes, base} = drawing;
  if (base && !strokes.length) return base;
  let levels = raster(drawing);
  if (D.digits && !base && C === 1) {
    const drawn = extent(levels);
    if (!drawn) return new Float32Array(SIZE);
    const width = Math.max(...strokes.map(stroke => stroke.erase ? 0 : stroke.width));
    const side = Math.max(drawn.high[0] - drawn.low[0], drawn.high[1] - drawn.low[1]);
    const scale = clamp((BOX - width) / Math.max(side - width, 0.1), 0.1, 4);
    const shift = [0, 1].map(axis => 14 - scale * (drawn.low[axis] + drawn.high[axis]) / 2);
    const fitted = extent(raster(drawing, scale, shift));
    if (!fitted) return new Float32Array(SIZE);
    levels = raster(drawing, scale, shift.map((v, axis) => v + 14 - fitted.mass[axis]));
  }
  const image = new Float32Array(SIZE);
  for (let k = 0; k < SIZE; k++) {
    const [x, y] = [Math.floor(k / C) % W, Math.floor(k / C / W)];
    let total = 0;  // over the fine points of this pixel
    for (let i = 0; i < FINE; i++) for (let j = 0; j < FINE; j++)
      total += levels[4 * ((y * FINE + i) * W * FINE + x * FINE + j) + k % C];
    image[k] = total / FINE ** 2 / 255;
  }
  return D.binary ? image.map(Math.round) : image;
}
