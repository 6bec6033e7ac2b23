// node page/test/paint.mjs PAGE.html [SECONDS]: time to the first paint, and control steps per second in headless Chromium.
import fs from 'node:fs';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const [file, seconds = '20'] = process.argv.slice(2);
if (!file || !(Number(seconds) > 0)) {
  console.error('usage: node page/test/paint.mjs PAGE.html [SECONDS]');
  process.exit(2);
}
const address = `file://${path.resolve(file)}`, MEGABYTE = 1e6;
const OPENINGS = 5;

async function opened(drawing) {
  const flags = drawing ? ['--use-angle=swiftshader', '--enable-unsafe-swiftshader'] : ['--disable-gpu', '--disable-software-rasterizer'];
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    protocolTimeout: 600_000,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', ...flags],
  });
  return { browser, page: await open(browser) };
}

async function open(browser) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'no-preference' }]);
  await page.goto(address);
  await page.waitForFunction('window.robometa?.ready === true', { timeout: 300_000, polling: 50 });
  return page;
}

// First contentful paint and time until the robots run, ms since the page was asked for.
const times = page => page.evaluate(() => ({
  paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
  ready: performance.getEntriesByName('robots-run')[0]?.startTime,
}));

// Control steps and frames over a while, by the clock.
const rates = (page, wanted, coarse) => page.evaluate(async (span, coarsest) => {
  const { state, session, picture } = window.robometa;
  if (coarsest) picture?.coarsest();
  const control = session.policy.contract.control_hz;
  await new Promise(done => setTimeout(done, 1000));
  const from = { held: state.held, dropped: state.dropped, time: performance.now() };
  let frames = 0, counting = true;
  const count = () => { frames++; if (counting) requestAnimationFrame(count); };
  requestAnimationFrame(count);
  await new Promise(done => setTimeout(done, 1000 * span));
  counting = false;
  const elapsed = (performance.now() - from.time) / 1000;
  return {
    wanted: control,
    held: (state.held - from.held) / elapsed,
    frames: frames / elapsed,
    dropped: state.dropped - from.dropped,
    level: picture ? `${Math.round(100 * picture.ratio)} % of the pixels` : 'none',
  };
}, wanted, coarse);

// Control steps per second of two robots as fast as the simulator goes.
const unbound = page => page.evaluate(() => {
  const { pause, control } = window.robometa, STEPS = 200;
  pause(true);
  control(20);
  const began = performance.now();
  control(STEPS);
  return STEPS / ((performance.now() - began) / 1000);
});

const median = numbers => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
const line = (name, text) => console.log(`${name.padEnd(46)} ${text}`);

const plain = await opened(false);
try {
  const openings = [await times(plain.page)];
  while (openings.length < OPENINGS) {
    const page = await open(plain.browser);
    openings.push(await times(page));
    await page.close();
  }
  line('size', `${(fs.statSync(file).size / MEGABYTE).toFixed(1)} MB`);
  line('first contentful paint', `${Math.round(openings[0].paint)} ms at first, median of ${OPENINGS} ${Math.round(median(openings.map(one => one.paint)))} ms`);
  line('until the robots run', `${Math.round(openings[0].ready)} ms at first, median of ${OPENINGS} ${Math.round(median(openings.map(one => one.ready)))} ms`);
  await plain.page.bringToFront();
  const found = await rates(plain.page, Number(seconds), false);
  line(`control steps a second, no picture, ${seconds} s`, `${found.held.toFixed(2)} of ${found.wanted.toFixed(2)}, ${found.dropped.toFixed(2)} s dropped`);
  line('control steps a second, without the clock', (await unbound(plain.page)).toFixed(0));
} finally {
  await plain.browser.close();
}
const drawn = await opened(true);
try {
  const found = await rates(drawn.page, Number(seconds), true);
  line(`control steps a second, coarsest picture, ${seconds} s`, `${found.held.toFixed(2)} of ${found.wanted.toFixed(2)}, ${found.dropped.toFixed(2)} s dropped`);
  line('frames a second, software rendering', `${found.frames.toFixed(1)}, ${found.level}`);
} finally {
  await drawn.browser.close();
}
