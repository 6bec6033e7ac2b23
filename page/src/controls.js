// The handles on what is commanded and what is hidden, as ordinary form elements.

import { inWords } from './words.js';

export const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, one] of Object.entries(attributes)) {
    if (name in made && typeof one !== 'string') made[name] = one;
    else made.setAttribute(name, one);
  }
  made.append(...children);
  return made;
};

function slider(handle, change) {
  const output = element('output', { for: handle.id });
  const input = element('input', { type: 'range', id: handle.id });
  Object.assign(input, { min: handle.min, max: handle.max, step: handle.step });
  const show = value => {
    input.value = value;
    output.textContent = inWords(handle, value);
    input.setAttribute('aria-valuetext', output.textContent);
  };
  input.addEventListener('input', () => {
    show(Number(input.value));
    change(handle.id, Number(input.value));
  });
  const row = element('div', { class: 'handle' }, element('label', { for: handle.id }, handle.label), output, input);
  return { row, show };
}

function choice(handle, change) {
  const buttons = handle.choices.map(({ label, value }) => {
    const input = element('input', { type: 'radio', name: handle.id, value: String(value) });
    input.addEventListener('change', () => change(handle.id, value));
    return { value, input, shown: element('label', { class: 'choice' }, input, element('span', {}, label)) };
  });
  const row = element('fieldset', { class: 'handle choices' }, element('legend', {}, handle.label),
    element('div', { class: 'chips' }, ...buttons.map(one => one.shown)));
  return { row, show: value => buttons.forEach(one => { one.input.checked = one.value === value; }) };
}

const row = (handle, change) => (handle.choices ? choice : slider)(handle, change);

// Fills a place with the commands; returns a function that shows their values.
export function commands(place, policy, change) {
  const asked = policy.handles.filter(one => one.kind === 'command'), rows = asked.map(one => row(one, change));
  place.replaceChildren(...rows.map(one => one.row));
  return values => asked.forEach(({ id }, n) => rows[n].show(values[id]));
}

// Fills a place with the handles on what is hidden; returns a function that shows their values.
export function handles(place, policy, change) {
  const hidden = policy.handles.filter(one => one.kind !== 'command');
  const groups = [
    ['Its training varied', hidden.filter(one => one.trained)],
    ['It has never met', hidden.filter(one => !one.trained)],
  ];
  const rows = {};
  place.replaceChildren(...groups.filter(([, members]) => members.length).map(([title, members]) => {
    for (const handle of members) rows[handle.id] = row(handle, change);
    return element('section', { class: 'group' }, element('h3', {}, title), ...members.map(one => rows[one.id].row));
  }));
  return values => Object.entries(rows).forEach(([id, { show }]) => show(values[id]));
}
