// Words for numbers.

export const EPISODE = 'episode'; // mark of a step that begins one

const digits = step => Math.max(0, Math.min(3, -Math.floor(Math.log10(step) + 1e-9)));

export function number(value, places = 2) {
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', '−');
}

// The value of a handle as the page shows it.
export function inWords(handle, value) {
  if (handle.choices) return handle.choices.find(one => one.value === value)?.label ?? String(value);
  const shown = number(value, digits(handle.step));
  if (handle.unit === '×') return `×${shown}`;
  return shown + (handle.unit === '°' ? '°' : handle.unit && ` ${handle.unit}`);
}
