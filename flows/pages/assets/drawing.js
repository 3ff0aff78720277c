"use strict";
// What the pages draw with: SVG elements, numbers as text, scales and their ticks.
function element(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// Numbers as text.
function short(value) {
  const size = Math.abs(value);
  if (size >= 1e12) return `${+(value / 1e12).toPrecision(4)}T`;
  if (size >= 1e9) return `${+(value / 1e9).toPrecision(4)}G`;
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)}k`;
  if (size !== 0 && size < 1e-3) return (+value.toPrecision(4)).toExponential();
  return String(+value.toPrecision(5));
}

// Scales and their ticks.
function scale(low, high, from, to, log) {
  const measure = log ? Math.log : (value) => value;
  const start = measure(low), span = measure(high) - start || 1;
  return (value) => from + ((measure(value) - start) / span) * (to - from);
}

function linearTicks(low, high, about) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) ticks.push(+(n * step).toPrecision(12));
  return ticks;
}

function logTicks(low, high, about) {
  for (const factors of [[1], [1, 3], [1, 2, 5]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const factor of factors) {
        const tick = factor * 10 ** power;
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(+tick.toPrecision(6));
      }
    }
    const every = Math.ceil(ticks.length / (about + 2));
    if (ticks.length >= 3) return ticks.filter((_, number) => number % every === 0);
  }
  return linearTicks(low, high, about);
}
