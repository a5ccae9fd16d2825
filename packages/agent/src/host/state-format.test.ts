import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentVersion } from '../version.ts';
import { claimStateDir, stateFormat } from './state-format.ts';

let directory: string;
let stateDir: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'relight-format-'));
  stateDir = join(directory, 'state');
  file = join(stateDir, 'format.json');
  mkdirSync(stateDir);
});
afterEach(() => rmSync(directory, { recursive: true }));
const written = (): unknown => JSON.parse(readFileSync(file, 'utf8'));

describe('the format of a state directory', () => {
  it('is written down, with the version that writes it, and raised by an upgrade', () => {
    claimStateDir(stateDir, '0.1.0', 1);
    expect(written()).toEqual({ format: 1, version: '0.1.0' });
    claimStateDir(stateDir, '0.2.0', 2);
    expect(written()).toEqual({ format: 2, version: '0.2.0' });
  });

  it('goes back between versions of the same format', () => {
    claimStateDir(stateDir, '0.2.0', 1);
    claimStateDir(stateDir, '0.1.0', 1);
    expect(written()).toEqual({ format: 1, version: '0.1.0' });
  });

  it.each(['', '{', '{"format":"new"}', '[]'])('is none where the file says %j: the directory is taken', (text) => {
    writeFileSync(file, text);
    claimStateDir(stateDir, '0.1.0', 1);
    expect(written()).toEqual({ format: 1, version: '0.1.0' });
  });

  it('a disk that takes nothing keeps no agent from starting', () => {
    rmSync(stateDir, { recursive: true });
    expect(() => claimStateDir(stateDir, '0.1.0', 1)).not.toThrow();
  });
});

it('an agent refuses a newer state directory, names both versions and the way on, and touches nothing', () => {
  const config = join(directory, 'agent.yaml');
  writeFileSync(config, 'version: 1\nworkloads: []\n');
  mkdirSync(join(stateDir, 'workloads'));
  writeFileSync(join(stateDir, 'workloads', 'w.json'), '{"state":{"version":2}}');
  writeFileSync(file, JSON.stringify({ format: stateFormat + 1, version: '9.8.7' }));
  const main = join(import.meta.dirname, '../main.ts');
  const words = [main, 'run', '--config', config, '--state-dir', stateDir];
  // One that takes the directory would never end.
  const agent = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000, killSignal: 'SIGKILL' });
  expect(agent).toMatchObject({
    status: 2,
    stderr: expect.stringContaining(
      `relight-agent 9.8.7 wrote the state directory ${stateDir} in format ${stateFormat + 1}; ` +
        `this is relight-agent ${agentVersion}, which knows only up to ${stateFormat}`,
    ),
  });
  expect(agent.stderr).toContain('Install relight-agent 9.8.7 or newer again; the workloads go on meanwhile.');
  expect(written()).toEqual({ format: stateFormat + 1, version: '9.8.7' });
  expect(readdirSync(join(stateDir, 'workloads'))).toEqual(['w.json']);
});
