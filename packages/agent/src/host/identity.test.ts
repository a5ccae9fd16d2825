import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadIdentity } from './identity.ts';

const machineId = '1111111111111111.2222222222222222';
const otherMachine = '1111111111111111.3333333333333333';
let base: string;
let stateDir: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'relight-identity-'));
  stateDir = join(base, 'state');
});

describe('identity', () => {
  test('is made once and kept', () => {
    const first = loadIdentity({ stateDir, machineId });
    expect(first).toMatchObject({ created: true, agentId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/) });
    expect(loadIdentity({ stateDir, machineId })).toMatchObject({ created: false, agentId: first.agentId });
  });

  test('comes back the same when the state directory was deleted', () => {
    const first = loadIdentity({ stateDir, machineId });
    rmSync(stateDir, { recursive: true });
    expect(loadIdentity({ stateDir, machineId })).toMatchObject({ created: true, agentId: first.agentId });
  });

  test.each(['', '{"agentId": "1234', '{"agentId": 5}', '[]'])('comes back the same when the file is damaged: %j', (content) => {
    const first = loadIdentity({ stateDir, machineId });
    writeFileSync(join(stateDir, 'identity.json'), content);
    expect(loadIdentity({ stateDir, machineId }).agentId).toBe(first.agentId);
  });

  test('a full disk is told as one, in a sentence', () => {
    mkdirSync(stateDir);
    symlinkSync('/dev/full', join(stateDir, 'identity.json.new'));
    expect(() => loadIdentity({ stateDir, machineId })).toThrow(
      expect.objectContaining({ code: 'disk-full', message: expect.stringMatching(/identity\.json cannot be written: ENOSPC/) as string }),
    );
  });

  test('survives a move of the directory', () => {
    const first = loadIdentity({ stateDir, machineId });
    renameSync(stateDir, join(base, 'moved'));
    expect(loadIdentity({ stateDir: join(base, 'moved'), machineId }).agentId).toBe(first.agentId);
  });

  test('a copy on another machine is another agent, for good', () => {
    const first = loadIdentity({ stateDir, machineId });
    const clone = loadIdentity({ stateDir, machineId: otherMachine });
    expect(clone.agentId).not.toBe(first.agentId);
    expect(clone.reason).toContain(first.agentId);
    expect(loadIdentity({ stateDir, machineId: otherMachine })).toMatchObject({ created: false, agentId: clone.agentId });
  });

  test('does not change when the hardware id becomes readable', () => {
    const first = loadIdentity({ stateDir, machineId: '1111111111111111.-' });
    expect(loadIdentity({ stateDir, machineId }).agentId).toBe(first.agentId);
  });

  test('two state directories on one machine are two agents', () => {
    loadIdentity({ stateDir, machineId });
    const other = join(base, 'other');
    expect(loadIdentity({ stateDir: other, machineId }).agentId).not.toBe(loadIdentity({ stateDir, machineId }).agentId);
  });
});
