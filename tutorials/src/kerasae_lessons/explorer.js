"use strict";

// Element by element, as Keras defines them; the second argument is the slope or alpha.
const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => Math.max(0, x),
  leaky_relu: (x, slope) => (x > 0 ? x : slope * x),
  elu: (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x)),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  softplus: (x) => Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x))),
  exponential: Math.exp,
};

// Abramowitz and Stegun, 7.1.26: off by less than 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 +
    t * (-1.453152027 + t * 1.061405429))));
  const y = 1 - poly * Math.exp(-x * x);
  return x < 0 ? -y : y;
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

// Half-precision numbers, least significant byte first.
function halves(base64) {
  const raw = bytes(base64);
  const values = new Float32Array(raw.length / 2);
  for (let i = 0; i < values.length; i++) {
    const word = raw[2 * i] | (raw[2 * i + 1] << 8);
    const exponent = (word >> 10) & 31;
    const fraction = (word & 1023) / 1024;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction;
    values[i] = word & 32768 ? -size : size;
  }
  return values;
}

// A function from two numbers to the pixels, in raw units.
function makeDecoder(spec) {
  const weights = halves(spec.weights);
  let at = 0;
  const take = (count) => weights.subarray(at, (at += count));
  const steps = spec.steps.map((step) => {
    if (step.kind !== "dense") return step;
    return { ...step, kernel: take(step.inputs * step.units), bias: take(step.units) };
  });
  return (z) => {
    let x = Float64Array.from(z);
    for (const step of steps) {
      if (step.kind === "activation") {
        const activation = ACTIVATIONS[step.name];
        x = x.map((value) => activation(value, step.parameter));
      } else if (step.kind === "affine") {
        const { scale, offset } = step;
        x = x.map((value, i) => value * scale[i % scale.length] + offset[i % offset.length]);
      } else {
        const y = Float64Array.from(step.bias);
        for (let i = 0; i < step.inputs; i++) {
          const row = i * step.units;
          if (x[i] !== 0) for (let j = 0; j < step.units; j++) y[j] += x[i] * step.kernel[row + j];
        }
        x = y;
      }
    }
    return x;
  };
}

function text(value) {
  const size = Math.abs(value);
  const digits = size !== 0 && size < 0.01 ? 4 : size < 100 ? 2 : 0;
  return value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "\u2212");
}

const MARKERS = [
  (c, r) => c.arc(0, 0, r, 0, 7),
  (c, r) => c.rect(-0.9 * r, -0.9 * r, 1.8 * r, 1.8 * r),
  (c, r) => polygon(c, [[0, -1.3], [1.15, 0.8], [-1.15, 0.8]], r),
  (c, r) => polygon(c, [[0, -1.35], [1.1, 0], [0, 1.35], [-1.1, 0]], r),
  (c, r) => polygon(c, [[0, 1.3], [1.15, -0.8], [-1.15, -0.8]], r),
  (c, r) => cross(c, r, 0),
  (c, r) => cross(c, r, Math.PI / 4),
  (c, r) => polygon(c, [[-1.3, 0], [0.8, 1.15], [0.8, -1.15]], r),
  (c, r) => polygon(c, [[1.3, 0], [-0.8, 1.15], [-0.8, -1.15]], r),
  (c, r) => star(c, r),
];

function polygon(c, corners, r) {
  corners.forEach(([x, y], i) => (i ? c.lineTo(x * r, y * r) : c.moveTo(x * r, y * r)));
  c.closePath();
}

function cross(c, r, turn) {
  const arms = [[-0.4, -1.3], [0.4, -1.3], [0.4, -0.4], [1.3, -0.4], [1.3, 0.4], [0.4, 0.4],
    [0.4, 1.3], [-0.4, 1.3], [-0.4, 0.4], [-1.3, 0.4], [-1.3, -0.4], [-0.4, -0.4]];
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  polygon(c, arms.map(([x, y]) => [x * cos - y * sin, x * sin + y * cos]), r);
}

function star(c, r) {
  const corners = [];
  for (let i = 0; i < 10; i++) {
    const size = i % 2 ? 0.6 : 1.5;
    corners.push([size * Math.sin((i * Math.PI) / 5), -size * Math.cos((i * Math.PI) / 5)]);
  }
  polygon(c, corners, r);
}

const THEMES = {
  light: {
    ink: "#222222", soft: "#5a636d", line: "#c9ced3", face: "#ffffff", shade: "0, 103, 163",
    classes: ["#0072B2", "#D55E00", "#009E73", "#AA4499", "#C98600", "#56B4E9", "#444444"],
  },
  dark: {
    ink: "#eceef0", soft: "#a9b2bb", line: "#4a525a", face: "#16191c", shade: "116, 189, 236",
    classes: ["#4FB0EE", "#FF8A4C", "#3FD3A6", "#E07ED0", "#F0B942", "#A5DBFA", "#D0D4D8"],
  },
};

function element(name, attributes, parent) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

// Build one explorer inside `root`, in place of the picture that stands there.
function explore(root, spec, number) {
  const decode = makeDecoder(spec);
  const codes = halves(spec.codes);
  const labels = spec.labels ? bytes(spec.labels) : null;
  const total = codes.length / 2;
  const [[xLow, xHigh], [yLow, yHigh]] = spec.limits;
  const [height, width, channels] = spec.shape;
  const name = (axis) => `z${"\u2080\u2081"[axis]}`;

  root.replaceChildren();
  root.dataset.ready = "yes";
  const top = element("div", { class: "kx-row" }, root);
  const status = `kx-${spec.id}-${number}`;
  const map = element("canvas", {
    class: "kx-map", tabindex: "0", role: "application", "aria-describedby": status,
    "aria-label": "Map of the codes. Drag the point, or move it with the arrow keys; " +
      "with Shift it moves farther.",
  }, top);
  const side = element("div", { class: "kx-side" }, top);
  const image = element("canvas", { class: "kx-image", role: "img", width, height }, side);
  image.style.aspectRatio = `${width} / ${height}`;
  const two = element("div", { class: "kx-sliders" }, side);
  const sliders = [0, 1].map((axis) => {
    const [low, high] = spec.limits[axis];
    const label = element("label", { class: "kx-slider" }, two);
    element("span", {}, label).textContent = name(axis);
    return element("input", { type: "range", min: low, max: high, step: (high - low) / 400 }, label);
  });
  const line = element("p", { class: "kx-status", id: status, role: "status" }, root);
  element("p", { class: "kx-help" }, root).textContent = spec.help;

  let z = [...spec.start];
  let theme = THEMES.light;
  const back = document.createElement("canvas");
  const picture = image.getContext("2d");
  const pixels = picture.createImageData(width, height);

  const place = (code, size) => [
    ((code[0] - xLow) / (xHigh - xLow)) * size, ((yHigh - code[1]) / (yHigh - yLow)) * size,
  ];

  function marker(c, index, x, y, r) {
    c.save();
    c.translate(x, y);
    c.beginPath();
    MARKERS[index % MARKERS.length](c, r);
    c.restore();
  }

  // All that stays while the point moves: shading, grid, training codes, names.
  function drawBack(size, ratio) {
    back.width = back.height = map.width;
    const c = back.getContext("2d");
    c.scale(ratio, ratio);
    c.fillStyle = theme.face;
    c.fillRect(0, 0, size, size);
    c.font = "12px system-ui, sans-serif";
    if (spec.quantiles) {
      const [x0, y0] = place([0, 0], size);
      const unit = size / (xHigh - xLow);
      const glow = c.createRadialGradient(x0, y0, 0, x0, y0, 3 * unit);
      for (let i = 0; i <= 12; i++) {
        const r = (3 * i) / 12;
        glow.addColorStop(i / 12, `rgba(${theme.shade}, ${0.34 * Math.exp(-r * r / 2)})`);
      }
      c.fillStyle = glow;
      c.fillRect(0, 0, size, size);
      c.strokeStyle = theme.line;
      c.fillStyle = theme.soft;
      c.lineWidth = 1;
      for (const [value, share] of spec.quantiles) {
        const [x, y] = place([value, value], size).map((v) => Math.round(v) + 0.5);
        c.beginPath();
        c.moveTo(x, 0);
        c.lineTo(x, size);
        c.moveTo(0, y);
        c.lineTo(size, y);
        c.stroke();
        c.textAlign = "center";
        c.textBaseline = "bottom";
        c.fillText(share, x, size - 3);
        c.textAlign = "left";
        c.textBaseline = "middle";
        c.fillText(share, 3, y);
      }
    } else {
      c.fillStyle = theme.soft;
      c.textBaseline = "bottom";
      c.textAlign = "left";
      c.fillText(`${name(0)} from ${text(xLow)} to ${text(xHigh)}`, 6, size - 4);
      c.save();
      c.translate(6, size - 24);
      c.rotate(-Math.PI / 2);
      c.textBaseline = "top";
      c.fillText(`${name(1)} from ${text(yLow)} to ${text(yHigh)}`, 0, 0);
      c.restore();
    }
    const radius = total > 600 ? 2.5 : 3.2;
    c.globalAlpha = 0.6;
    for (let i = 0; i < total; i++) {
      const group = labels ? labels[i] : 0;
      const [x, y] = place([codes[2 * i], codes[2 * i + 1]], size);
      c.fillStyle = theme.classes[group % theme.classes.length];
      marker(c, group, x, y, radius);
      c.fill();
    }
    c.globalAlpha = 1;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.font = "bold 16px system-ui, sans-serif";
    c.lineJoin = "round";
    spec.places.forEach(([x, y], group) => {
      const at = place([x, y], size);
      c.strokeStyle = theme.face;
      c.lineWidth = 4;
      c.strokeText(spec.names[group], ...at);
      c.fillStyle = theme.ink;
      c.fillText(spec.names[group], ...at);
    });
  }

  function drawMap() {
    const ratio = map.width / map.clientWidth;
    const c = map.getContext("2d");
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(back, 0, 0);
    c.scale(ratio, ratio);
    const [x, y] = place(z, map.clientWidth);
    for (const [colour, thick] of [[theme.face, 6], [theme.ink, 2.5]]) {
      c.strokeStyle = colour;
      c.lineWidth = thick;
      c.beginPath();
      c.arc(x, y, 9, 0, 7);
      c.moveTo(x - 16, y);
      c.lineTo(x - 9, y);
      c.moveTo(x + 9, y);
      c.lineTo(x + 16, y);
      c.moveTo(x, y - 16);
      c.lineTo(x, y - 9);
      c.moveTo(x, y + 9);
      c.lineTo(x, y + 16);
      c.stroke();
    }
  }

  function drawImage() {
    const values = decode(z);
    const [low, high] = spec.range;
    for (let i = 0; i < width * height; i++) {
      for (let k = 0; k < 3; k++) {
        const value = values[i * channels + (channels === 3 ? k : 0)];
        pixels.data[4 * i + k] = 255 * Math.min(1, Math.max(0, (value - low) / (high - low)));
      }
      pixels.data[4 * i + 3] = 255;
    }
    picture.putImageData(pixels, 0, 0);
  }

  function describe() {
    let nearest = 0;
    let least = Infinity;
    for (let i = 0; i < total; i++) {
      const distance = Math.hypot(codes[2 * i] - z[0], codes[2 * i + 1] - z[1]);
      if (distance < least) [nearest, least] = [i, distance];
    }
    const found = labels
      ? `nearest training ${spec.noun} ${spec.names[labels[nearest]]}, ${text(least)} away`
      : `nearest training ${spec.noun} ${text(least)} away`;
    const share = Math.exp(-(z[0] * z[0] + z[1] * z[1]) / 2);
    const prior = spec.quantiles ? `; prior density ${text(share)} of its peak` : "";
    line.textContent = `z = (${text(z[0])}, ${text(z[1])}); ${found}${prior}`;
    image.setAttribute("aria-label", `Decoded ${spec.noun} at ${line.textContent}`);
  }

  let waiting = false;
  function show() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      drawImage();
      if (map.clientWidth) drawMap();
    });
  }

  function move(x, y) {
    z = [Math.min(xHigh, Math.max(xLow, x)), Math.min(yHigh, Math.max(yLow, y))];
    sliders.forEach((slider, axis) => {
      slider.value = z[axis];
      slider.setAttribute("aria-valuetext", `${name(axis)} = ${text(z[axis])}`);
    });
    describe();
    show();
  }

  function fit() {
    const size = map.clientWidth;
    if (!size) return;
    const ratio = window.devicePixelRatio || 1;
    map.width = map.height = Math.round(size * ratio);
    // The page may be light or dark by its own switch: its text says which.
    const [r, g, b] = getComputedStyle(root.parentElement).color.match(/[\d.]+/g).map(Number);
    const dark = 0.299 * r + 0.587 * g + 0.114 * b > 128;
    theme = dark ? THEMES.dark : THEMES.light;
    root.dataset.theme = dark ? "dark" : "light";
    drawBack(size, ratio);
    show();
  }

  function follow(event) {
    const box = map.getBoundingClientRect();
    move(
      xLow + ((event.clientX - box.left) / box.width) * (xHigh - xLow),
      yHigh - ((event.clientY - box.top) / box.height) * (yHigh - yLow),
    );
  }
  map.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    map.setPointerCapture(event.pointerId);
    map.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  map.addEventListener("pointermove", (event) => {
    if (map.hasPointerCapture(event.pointerId)) follow(event);
  });
  map.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (step) {
      const share = event.shiftKey ? 0.1 : 0.02;
      move(z[0] + step[0] * share * (xHigh - xLow), z[1] + step[1] * share * (yHigh - yLow));
    } else if (event.key === "Home") {
      move(...spec.start);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  sliders.forEach((slider, axis) => {
    slider.addEventListener("input", () => {
      const value = Number(slider.value);
      move(axis === 0 ? value : z[0], axis === 1 ? value : z[1]);
    });
  });

  new ResizeObserver(fit).observe(map);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);
  const watch = new MutationObserver(fit);
  for (const node of [document.documentElement, document.body]) {
    watch.observe(node, { attributes: true });
  }
  move(...z);
  fit();
}

function start(spec) {
  const roots = document.querySelectorAll(`[data-kerasae-explorer="${spec.id}"]:not([data-ready])`);
  roots.forEach((root, i) => explore(root, spec, i));
}
