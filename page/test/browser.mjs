// Opens a page in headless Chromium and runs a script there: { page, script, picture } in, what it gives out.
import puppeteer from 'puppeteer-core';
import { answer, given } from './page.mjs';

const { page: path, script, picture, chromium, watch, width } = given();
const drawing = picture ? ['--use-angle=swiftshader', '--enable-unsafe-swiftshader'] : ['--disable-gpu', '--disable-software-rasterizer'];
const browser = await puppeteer.launch({
  executablePath: chromium,
  headless: true,
  protocolTimeout: 280_000,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', ...drawing],
});
try {
  const page = await browser.newPage(), errors = [], requests = [];
  page.on('console', one => ['error', 'warning', 'warn'].includes(one.type()) && errors.push(one.text()));
  page.on('pageerror', error => errors.push(String(error.stack ?? error)));
  page.on('request', one => requests.push(one.url()));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: watch ? 'no-preference' : 'reduce' }]);
  await page.goto(`file://${path}`);
  await page.waitForFunction('window.robometa?.ready === true', { timeout: 120_000, polling: 100 });
  const found = await page.evaluate(script);
  answer({ found, errors, requests });
} finally {
  await browser.close();
}
