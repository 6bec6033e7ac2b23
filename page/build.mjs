// node build.mjs: the template of the page, and MuJoCo in WebAssembly, into the Python package.
import crypto from 'node:crypto';
import fs from 'node:fs';
import zlib from 'node:zlib';
import esbuild from 'esbuild';

const out = new URL('../robometa/deployment/page/', import.meta.url);
const read = name => fs.readFileSync(new URL(name, import.meta.url), 'utf8');
const built = await esbuild.build({
  absWorkingDir: new URL('.', import.meta.url).pathname,
  entryPoints: ['src/main.js'],
  bundle: true,
  format: 'esm',
  minify: true,
  write: false,
  charset: 'utf8',
  target: 'es2022',
  legalComments: 'none',
  logLevel: 'warning',
  external: ['module', 'fs', 'path', 'url', 'crypto', 'worker_threads', 'node:*'],
});
const script = built.outputFiles[0].text.trim().replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
const style = (await esbuild.transform(read('style.css'), { loader: 'css', minify: true, charset: 'utf8' })).code.trim();
const hash = text => `'sha256-${crypto.createHash('sha256').update(text).digest('base64')}'`;
// Nothing but these two texts runs, and nothing is fetched: the browser refuses it.
const policy = `default-src 'none'; script-src ${hash(script)} 'unsafe-eval'; style-src ${hash(style)}; base-uri 'none'; form-action 'none'`;
const licenses = [
  `three.js\n\n${read('node_modules/three/LICENSE')}`,
  `MuJoCo, Copyright DeepMind Technologies Limited, Apache License 2.0\n\n${read('licenses/Apache-2.0.txt')}`,
].join('\n').replaceAll('<', '&lt;');
const parts = { POLICY: policy, STYLE: style, SCRIPT: script, LICENSES: licenses };
const page = read('template.html').replace(/@(POLICY|STYLE|SCRIPT|LICENSES)@/g, (_, name) => parts[name]);
fs.writeFileSync(new URL('page.html', out), page);
const simulator = zlib.gzipSync(fs.readFileSync(new URL('node_modules/@mujoco/mujoco/mujoco.wasm', import.meta.url)), { level: 9 });
fs.writeFileSync(new URL('mujoco.wasm.gz', out), simulator);
console.log(`page.html: ${page.length} characters, mujoco.wasm.gz: ${simulator.length} bytes`);
