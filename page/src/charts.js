// Charts of the last control steps, on canvases.

import { EPISODE } from './words.js';

const FONT = '12px system-ui, sans-serif';
const SMOOTHING = 0.15; // part of a new value in the rows of a long vector

// A pen whose unit is a CSS pixel.
function pen(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return { context, width, height };
}

function ticks(low, high) {
  const rough = (high - low) / 3, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(one => one * power).find(one => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push(Math.abs(at) < 1e-9 ? 0 : at);
  return { found, digits: Math.max(0, -Math.floor(Math.log10(step))) };
}

const LEFT = 34, RIGHT = 6, TOP = 14, BOTTOM = 6;

export function drawLines(canvas, history, kept, colors) {
  const { context, width, height } = pen(canvas);
  const numbers = history.flatMap(({ shown, twin, wanted }) => [shown, twin, wanted]).filter(one => one !== null);
  let low = Math.min(0, ...numbers), high = 1.12 * Math.max(1, ...numbers);
  [low, high] = [Math.max(low, -6), Math.min(high, 9)];
  const x = n => LEFT + (n + kept - history.length) / (kept - 1) * (width - LEFT - RIGHT);
  const y = one => TOP + (high - Math.min(Math.max(one, low), high)) / (high - low) * (height - TOP - BOTTOM);
  const { found, digits } = ticks(low, high);
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  context.lineWidth = 1;
  for (const at of found) {
    context.strokeStyle = colors.line;
    context.beginPath();
    context.moveTo(LEFT, Math.round(y(at)) + 0.5);
    context.lineTo(width - RIGHT, Math.round(y(at)) + 0.5);
    context.stroke();
    context.fillStyle = colors.quiet;
    context.fillText(at.toFixed(digits), LEFT - 6, y(at));
  }
  drawMarks(context, history, x, height, colors);
  const line = (name, color, dash, wide) => {
    context.strokeStyle = color;
    context.lineWidth = wide;
    context.setLineDash(dash);
    context.beginPath();
    let on = false;
    history.forEach((one, n) => {
      if (one[name] === null) on = false;
      else {
        context[on ? 'lineTo' : 'moveTo'](x(n), y(one[name]));
        on = true;
      }
    });
    context.stroke();
    context.setLineDash([]);
  };
  line('twin', colors.twin, [], 1.5);
  line('wanted', colors.asked, [6, 4], 2);
  line('shown', colors.accent, [], 2);
}

function drawMarks(context, history, x, height, colors) {
  let free = -Infinity;
  history.forEach(({ mark }, n) => {
    if (!mark) return;
    const begins = mark === EPISODE;
    context.strokeStyle = begins ? colors.line : colors.quiet;
    context.setLineDash(begins ? [2, 3] : []);
    context.beginPath();
    context.moveTo(Math.round(x(n)) + 0.5, begins ? 2 : TOP);
    context.lineTo(Math.round(x(n)) + 0.5, height);
    context.stroke();
    context.setLineDash([]);
    if (begins || x(n) < free) return;
    context.fillStyle = colors.quiet;
    [context.textAlign, context.textBaseline] = ['left', 'alphabetic'];
    const wide = context.measureText(mark).width;
    context.fillText(mark, Math.min(x(n) - 2, context.canvas.clientWidth - wide - 2), 11);
    free = x(n) + wide + 6;
  });
}

const channels = color => {
  const hex = color.trim().replace('#', '');
  return [0, 2, 4].map(at => parseInt(hex.slice(at, at + 2), 16));
};

// One row a number, one column a control step; the colour is its value.
export function drawStrip(canvas, history, kept, place, part, colors) {
  const { context, width, height } = pen(canvas), rows = part.rows;
  if (!history.length) return;
  let largest = 1e-6;
  for (const { parts } of history) for (const one of parts[place]) largest = Math.max(largest, Math.abs(one));
  if (part.name.startsWith('memory')) largest = 1;
  const image = new ImageData(history.length, rows), [zero, plus, minus] = [colors.zero, colors.plus, colors.minus].map(channels);
  const smooth = new Float32Array(rows), blend = rows > 24 ? SMOOTHING : 1;
  history.forEach(({ parts }, column) => {
    for (let row = 0; row < rows; row++) {
      smooth[row] += (column ? blend : 1) * (parts[place][row] - smooth[row]);
      const value = smooth[row] / largest, end = value < 0 ? minus : plus, mix = Math.min(1, Math.abs(value) ** 0.7);
      const at = 4 * (row * history.length + column);
      for (let channel = 0; channel < 3; channel++) image.data[at + channel] = zero[channel] + mix * (end[channel] - zero[channel]);
      image.data[at + 3] = 255;
    }
  });
  const buffer = drawStrip.buffer ??= document.createElement('canvas');
  [buffer.width, buffer.height] = [history.length, rows];
  buffer.getContext('2d').putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  const whole = width - LEFT - RIGHT, wide = history.length / kept * whole;
  context.drawImage(buffer, LEFT + whole - wide, 0, wide, height);
}
