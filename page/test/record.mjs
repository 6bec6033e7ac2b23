// node record.mjs PAGE FOLDER: frames of the page for its GIF, ten a second of simulated time, as PNG files.
import path from 'node:path';
import puppeteer from 'puppeteer-core';

const [file, folder] = process.argv.slice(2);
const EVENTS = { 22: ['velocity-0', 2.6], 62: ['broken', 4], 92: ['broken', -1] };
const FRAMES = 118, WIDTH = 600;
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  protocolTimeout: 600_000,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
});
const page = await browser.newPage();
await page.setViewport({ width: WIDTH, height: 900 });
await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }, { name: 'prefers-color-scheme', value: 'light' }]);
await page.goto(`file://${path.resolve(file)}`);
await page.waitForFunction('window.robometa?.ready === true', { timeout: 300_000, polling: 200 });
await page.evaluate(() => {
  const hidden = ['header', 'footer', '.tools', '#status', '.panel', '.charts table', '.charts h2:last-of-type'];
  hidden.forEach(one => document.querySelectorAll(one).forEach(found => { found.hidden = true; }));
  document.getElementById('view').style.height = '320px';
  document.querySelectorAll('.charts h2').forEach(one => { one.style.margin = '6px 0 2px'; });
  window.robometa.control(60);
});
const height = await page.evaluate(() => Math.ceil(document.querySelector('.charts').getBoundingClientRect().bottom));
for (let frame = 0; frame < FRAMES; frame++) {
  await page.evaluate(async event => {
    const { session } = window.robometa;
    if (event) session.set(...event);
    window.robometa.refresh();
    window.robometa.control(2);
    window.robometa.draw();
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  }, EVENTS[frame] ?? null);
  await page.screenshot({ path: path.join(folder, `${String(frame).padStart(4, '0')}.png`), clip: { x: 0, y: 0, width: WIDTH, height: height + 8 } });
}
await browser.close();
