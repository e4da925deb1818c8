// DRAW itself: the same computation as `draw_tf.models`, for one image at a time.
//
// Letters in shapes: T steps, H height, W width, C channels, D hidden size, Z latent size,
// R numbers read, n side of an attention grid. Images lie in [0, 1], a canvas holds logits. Weights
// are Float32Arrays, which were rounded to 16 bits; the computation is in 64 bits.
"use strict";

const MINIMUM_SUM = 1e-8;  // of a row of filter weights
const LARGEST_LOG = 20;  // of sigma2 and delta, either way

const sigmoid = v => 1 / (1 + Math.exp(-v));

// Numbers of 16 bits, in base64, as a Float32Array.
function halves(text) {
  const raw = atob(text), values = new Float32Array(raw.length / 2);
  const table = new Float32Array(65536);  // what each pattern of 16 bits means
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = bits >> 10 & 31, fraction = bits & 1023;
    table[bits] = (bits >> 15 ? -1 : 1) * (
      exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction / 1024 * 2 ** -14);
  }
  for (let k = 0; k < values.length; k++)
    values[k] = table[raw.charCodeAt(2 * k) | raw.charCodeAt(2 * k + 1) << 8];
  return values;
}

// Named weights from `shapes`, pairs of a name and a shape, and all numbers one after the other.
function unpack(shapes, numbers) {
  const weights = {};
  let first = 0;
  for (const [name, shape] of shapes) {
    const size = shape.reduce((a, b) => a * b, 1);
    weights[name] = numbers.subarray(first, first += size);
  }
  return weights;
}

// bias + x kernel: x [inputs] and kernel [inputs, units] to [units]. Eight rows at a time are three
// times as fast as one, and rows for inputs that are zero, as most of an image is, take no part.
function affine(x, kernel, bias) {
  const units = bias.length, out = new Float64Array(bias);  // [units]
  let i = 0;
  for (; i + 8 <= x.length; i += 8) {
    const a = x[i], b = x[i + 1], c = x[i + 2], d = x[i + 3];
    const e = x[i + 4], f = x[i + 5], g = x[i + 6], h = x[i + 7];
    if (!(a || b || c || d || e || f || g || h)) continue;
    for (let j = 0, k = i * units; j < units; j++, k++)
      out[j] += a * kernel[k] + b * kernel[k + units] + c * kernel[k + 2 * units]
        + d * kernel[k + 3 * units] + e * kernel[k + 4 * units] + f * kernel[k + 5 * units]
        + g * kernel[k + 6 * units] + h * kernel[k + 7 * units];
  }
  for (; i < x.length; i++)
    for (let j = 0; j < units; j++) out[j] += x[i] * kernel[i * units + j];
  return out;
}

// Several vectors as one.
function join(...vectors) {
  const out = new Float64Array(vectors.reduce((size, v) => size + v.length, 0));
  let first = 0;
  for (const vector of vectors) {
    out.set(vector, first);
    first += vector.length;
  }
  return out;
}

class Model {
  // `config` has the fields of DRAWConfig, `weights` are named as `named_weights` names them.
  constructor(config, weights) {
    Object.assign(this, {config, weights});
    [this.H, this.W, this.C] = config.image_shape;
    this.size = this.H * this.W * this.C;
    for (const cell of ["encoder", "decoder"])  // one product, as in the listing: [inputs + D, 4 D]
      weights[`${cell}/joined`] = new Float32Array(
        join(weights[`${cell}/kernel`], weights[`${cell}/recurrent_kernel`]));
  }

  dense(name, x) {
    return affine(x, this.weights[`${name}/kernel`], this.weights[`${name}/bias`]);
  }

  // One step of an LSTM from {h, c} [D]: its gates are i, f, g and o, [D] each.
  lstm(name, input, {h, c}) {
    const units = h.length, next = {h: new Float64Array(units), c: new Float64Array(units)};
    const gates = affine(join(input, h), this.weights[`${name}/joined`],
      this.weights[`${name}/bias`]);  // [4 D]
    for (let k = 0; k < units; k++) {
      const i = sigmoid(gates[k]), f = sigmoid(gates[units + k]);
      const g = Math.tanh(gates[2 * units + k]), o = sigmoid(gates[3 * units + k]);
      next.c[k] = f * c[k] + i * g;
      next.h[k] = o * Math.tanh(next.c[k]);
    }
    return next;
  }

  // The state before the first step: zeros, or what was learned under the paper's equations.
  first() {
    const {weights, config} = this;
    const part = (name, size) => new Float64Array(
      weights[`first/${name}`] || new Float64Array(size));
    const [encoder, decoder] = ["encoder", "decoder"].map(cell => ({
      h: part(`${cell}_h`, config.hidden_size), c: part(`${cell}_c`, config.hidden_size)}));
    const canvas = part("canvas", this.size);
    return {encoder, decoder, canvas, drawn: canvas.map(sigmoid)};
  }

  // Distances [n] of grid points from a window's centre, in units of delta (paper eq. 19-20).
  offsets(n) {
    const middle = this.config.equations === "paper" ? (n - 1) / 2 : n / 2 + 0.5;
    return Array.from({length: n}, (_, i) => i - middle);
  }

  // The window of a scope, "read" or "write" (paper eq. 21-26), with filters Fx [n W] and Fy [n H].
  window(scope, h_dec) {
    const {H, W, config} = this, paper = config.equations === "paper";
    const n = config[`${scope}_size`], [gx_, gy_, ...logs] = this.dense(scope, h_dec);
    const [logSigma2, logDelta] = logs.map(v => Math.min(Math.max(v, -LARGEST_LOG), LARGEST_LOG));
    const widest = (Math.max(H, W) - 1) / Math.max(n - 1, 1);
    const gx = (W + 1) / 2 * (gx_ + 1) - paper, gy = (H + 1) / 2 * (gy_ + 1) - paper;
    const delta = paper ? widest * Math.exp(logDelta) : widest / Math.exp(logDelta);
    const sigma2 = Math.exp(logSigma2);
    const [xs, ys] = [gx, gy].map(g => this.offsets(n).map(offset => g + offset * delta));  // [n]
    // the standard deviation of the filters in pixels
    const sigma = paper ? Math.sqrt(sigma2) : Math.SQRT2 * sigma2;
    return {gx, gy, delta, sigma2, gamma: Math.exp(logs[2]), sigma, xs, ys,
      Fx: this.filters(xs, sigma2, W), Fy: this.filters(ys, sigma2, H)};
  }

  // Filters [n length] around grid points [n]; each sums to 1, or to less where it has no weight.
  filters(points, sigma2, length) {
    const rows = new Float64Array(points.length * length);
    const paper = this.config.equations === "paper";
    points.forEach((mu, i) => {
      let sum = 0;
      for (let a = 0; a < length; a++) {
        const exponent = paper ? (a - mu) ** 2 / (2 * sigma2) : ((a - mu) / (2 * sigma2)) ** 2;
        sum += rows[i * length + a] = Math.exp(-exponent);
      }
      for (let a = 0; a < length; a++) rows[i * length + a] /= Math.max(sum, MINIMUM_SUM);
    });
    return rows;
  }

  // A glimpse, gamma Fy image Fx' per channel: [H W C] to [n n C] (paper eq. 27).
  glimpse(image, {Fx, Fy, gamma, xs: {length: n}}) {
    const {H, W, C} = this, out = new Float64Array(n * n * C), row = new Float64Array(n * C);
    for (let y = 0; y < H; y++) {
      row.fill(0);  // this row of image Fx'
      for (let j = 0; j < n; j++) for (let x = 0; x < W; x++) for (let c = 0; c < C; c++)
        row[j * C + c] += Fx[j * W + x] * image[(y * W + x) * C + c];
      for (let i = 0; i < n; i++) for (let k = 0; k < n * C; k++)
        out[i * n * C + k] += gamma * Fy[i * H + y] * row[k];
    }
    return out;
  }

  // A stroke, Fy' patch Fx / gamma per channel: [n n C] to [H W C] (paper eq. 29).
  stroke(patch, {Fx, Fy, gamma, xs: {length: n}}) {
    const {H, W, C} = this, out = new Float64Array(this.size), row = new Float64Array(W * C);
    for (let i = 0; i < n; i++) {
      row.fill(0);  // this row of patch Fx
      for (let j = 0; j < n; j++) for (let x = 0; x < W; x++) for (let c = 0; c < C; c++)
        row[x * C + c] += patch[(i * n + j) * C + c] / gamma * Fx[j * W + x];
      for (let y = 0; y < H; y++) for (let k = 0; k < W * C; k++)
        out[y * W * C + k] += Fy[i * H + y] * row[k];
    }
    return out;
  }

  // The second half of a step, and all of one when drawing from the prior (paper eq. 7, 8, 28).
  drawStep(state, z) {
    const decoder = this.lstm("decoder", z, state.decoder), w = this.dense("writeW", decoder.h);
    const write = this.config.write_attention ? this.window("write", decoder.h) : null;
    const stroke = write ? this.stroke(w, write) : w;  // [H W C]
    const canvas = state.canvas.slice();  // [H W C]
    for (let k = 0; k < canvas.length; k++) canvas[k] += stroke[k];
    return [{...state, decoder, canvas}, {z, w, write, canvas}];
  }

  // A whole step: read, encode, sample, draw (paper eq. 3-8). Where a pixel is not `known`, the
  // encoder sees the canvas so far, as in `draw_tf.models.completion`. `drawn` is that canvas as
  // an image [H W C].
  inferStep(state, image, noise, known) {
    const h_dec = state.decoder.h, {drawn} = state, x = new Float64Array(image);  // [H W C]
    const x_hat = new Float64Array(this.size);  // [H W C]
    for (let k = 0; k < this.size; k++) {
      if (known) x[k] = known[k] * image[k] + (1 - known[k]) * drawn[k];
      x_hat[k] = x[k] - drawn[k];
    }
    const read = this.config.read_attention ? this.window("read", h_dec) : null;
    const r = join(...[x, x_hat].map(v => read ? this.glimpse(v, read) : v));  // [R]
    const encoder = this.lstm("encoder", join(r, h_dec), state.encoder);
    const mu = this.dense("mu", encoder.h), logsigma = this.dense("sigma", encoder.h);  // [Z] each
    const z = mu.map((v, k) => v + Math.exp(logsigma[k]) * noise[k]);  // [Z]
    let kl_nats = 0;
    for (let k = 0; k < z.length; k++)
      kl_nats += (mu[k] ** 2 + Math.exp(2 * logsigma[k]) - 2 * logsigma[k] - 1) / 2;
    const [next, step] = this.drawStep({...state, encoder}, z);
    next.drawn = next.canvas.map(sigmoid);
    return [next, {...step, read, r, mu, logsigma, kl_nats,
      recon_nats: this.reconstruction(image, next, known)}];
  }

  // -log p(image | canvas) in nats (paper eq. 9), of the known pixels. A logarithm of every pixel
  // would take as long as a fifth of the step: that of their product is enough.
  reconstruction(image, {canvas, drawn}, known) {
    const gaussian = this.config.likelihood === "gaussian";
    let nats = 0, product = 1;
    for (let k = 0; k < this.size; k++) {
      if (known && !known[k]) continue;
      const v = canvas[k], x = image[k], p = drawn[k];
      if (gaussian) nats += ((x - p) ** 2 + Math.log(2 * Math.PI)) / 2;
      else {
        nats += Math.max(v, 0) - v * x;
        product *= Math.max(p, 1 - p);  // 1 / (1 + exp(-|v|))
        if (product < 1e-200) {
          nats -= Math.log(product);
          product = 1;
        }
      }
    }
    return nats - Math.log(product);
  }

  // All steps, one at a time: redraws `image` [H W C], or where it is null, draws from the prior.
  // Noise is [T Z].
  *steps({image = null, noise, known = null}) {
    const {glimpses, latent_size: Z, shared_noise} = this.config;
    const shared = shared_noise && image && !known;
    let state = this.first(), step;
    for (let t = 0; t < glimpses; t++) {
      const first = shared ? 0 : t * Z;
      const now = noise.subarray(first, first + Z);  // [Z]
      [state, step] = image ? this.inferStep(state, image, now, known) : this.drawStep(state, now);
      yield step;
    }
  }
}

// All steps as the functions of `window.draw` return them: arrays of T numbers or of T arrays.
function collect(steps) {
  const all = name => steps.map(step => step[name]);
  const windows = scope => !steps[0][scope] ? null : Object.fromEntries(
    ["gx", "gy", "delta", "sigma2", "gamma", "Fx", "Fy"].map(
      name => [name, steps.map(step => step[scope][name])]));
  const names = ["mu", "logsigma", "z", "kl_nats", "recon_nats", "r", "w"];
  return {canvases: all("canvas"), read: windows("read"), write: windows("write"),
    ...Object.fromEntries(names.filter(name => name in steps[0]).map(name => [name, all(name)]))};
}

// Does jobs in slices of a few milliseconds, so that whoever computes also answers meanwhile. A job
// is what `Model.steps` takes, with an `id` and a `lane`. Of a lane only the newest job waits, and
// the lane "now" goes first, in place of one that has only begun. After each slice `answer` is
// called with {id, steps, done}, and with {id, gone} for a job that will not be done.
function serve(model, answer) {
  const channel = new MessageChannel(), waiting = [];
  let job = null;
  channel.port1.onmessage = () => {
    const until = performance.now() + 8, steps = [];
    while (performance.now() < until) {
      const {value, done} = job.run.next();
      if (done) break;
      steps.push(value);
      job.left--;
    }
    answer({id: job.id, steps, done: !job.left});
    if (!job.left) job = null;
    next();
  };
  const begin = (wanted, kept) => job = {
    id: wanted.id, lane: wanted.lane, kept, run: model.steps(wanted), left: model.config.glimpses};
  const next = () => {
    if (!job && waiting.length) begin(waiting.shift(), false);
    if (job) channel.port2.postMessage(0);
  };
  return wanted => {
    const place = waiting.findIndex(({lane}) => lane === wanted.lane);
    const early = job && job.left > model.config.glimpses / 2 && !job.kept;
    if (early && job.lane === "now" && wanted.lane === "now") {  // but not twice in a row
      answer({id: job.id, gone: true});
      begin(wanted, true);
    } else if (place >= 0) {
      answer({id: waiting[place].id, gone: true});
      waiting[place] = wanted;
    } else if (wanted.lane === "now") waiting.unshift(wanted);
    else waiting.push(wanted);
    if (!job) next();
  };
}
