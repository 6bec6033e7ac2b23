// Policies and sessions of a page that robometa page wrote, in Node.
import fs from 'node:fs';
import zlib from 'node:zlib';
import { Session } from '../src/session.js';

export function policiesOf(path) {
  const [, packed] = fs.readFileSync(path, 'utf8').match(/id="policies">([^<]*)</);
  return JSON.parse(zlib.gunzipSync(Buffer.from(packed.trim(), 'base64')).toString());
}

export const simulator = async () => (await import('@mujoco/mujoco')).default();

export const sessionOf = async policy => new Session(await simulator(), policy);

export const given = () => JSON.parse(fs.readFileSync(0, 'utf8'));

export const answer = found => process.stdout.write(JSON.stringify(found));

export function control(session, steps) {
  const before = session.steps;
  while (session.steps < before + steps) session.advance();
}
