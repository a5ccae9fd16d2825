/** What each recorded release has left on disk (test/releases), opened by the programs of this version, which go on from there. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ControlClient } from '@relight/agent/control/client';
import type { ApiIncident } from '@relight/shared/api';
import { version } from '@relight/shared/version';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import {
  linesOf,
  recordedFacts,
  recordedHost as host,
  releases,
  unpackAgentState,
  unpackCollectorData,
} from '../support/release-recording.ts';
import { ownedDirectory } from '../support/owned-directory.ts';
import { waitFor } from '../support/wait.ts';

const lineFilter = { host, workload: 'worker', source: 'process' };

describe.each(releases())('of %s', (release) => {
  const facts = recordedFacts(release);
  let lab: Lab;
  let agent: LabAgent;

  beforeAll(async () => {
    const directory = ownedDirectory('relight-lab-');
    unpackCollectorData(release, join(directory, 'collector'));
    // What was recorded gets older, and is not to be removed for that.
    const collector = { retention: { logs: '36500d', events: '36500d' } };
    lab = await startLab({ engineSocket: inject('engineSocket'), directory, collector });
    agent = await lab.addAgent({ host, workloads: facts.workloads, start: false });
    unpackAgentState(release, agent.stateDir);
    writeFileSync(join(lab.directory, 'hosts', host, 'agent.token'), facts.agentToken, { mode: 0o600 });
    writeFileSync(lab.operatorTokenFile, facts.operatorToken, { mode: 0o600 });
  });
  afterAll(() => lab?.dispose());

  test('the collector has its hosts, events, lines and incidents with their evidence, and lets its operators in', async () => {
    expect(await lab.fleet.host(host)).toMatchObject({ id: facts.agentId, agentVersion: facts.version });
    expect(linesOf(await lab.fleet.logs(lineFilter))).toEqual(facts.delivered);
    expect((await lab.fleet.events({ host, kind: 'workload.ready' })).length).toBeGreaterThan(0);
    const [incident] = (await lab.fleet.api.list<ApiIncident>('incidents', { host })).items;
    const { cause, evidence } = await lab.fleet.api.get<ApiIncident>(`incidents/${incident?.id}`);
    expect(cause).toContain('docker kill');
    expect(evidence).toContainEqual(expect.objectContaining({ name: 'log:process', text: expect.stringContaining('line 1\n') as string }));
  });

  test('the agent remembers who it is, what it was told and what it has not delivered, and the collector lets it in', async () => {
    await agent.service.start();
    await lab.fleet.waitForHost(host, 'connected');
    // Its containers are gone with the machine: it counts on.
    const fourth = async (): Promise<boolean> => {
      const { generation, phase } = (await lab.fleet.workload(host, 'worker')) ?? {};
      return generation === 4 && phase === 'ready';
    };
    await waitFor(fourth, { what: 'the worker to be ready', timeoutMs: 60_000 });
    expect(await lab.fleet.host(host)).toMatchObject({ id: facts.agentId, agentVersion: version });
    expect(await lab.fleet.workload(host, 'paused')).toMatchObject({
      phase: 'paused',
      reason: expect.stringContaining('recorded') as string,
    });
    const all = async (): Promise<readonly string[]> => linesOf(await lab.fleet.logs(lineFilter)).filter((line) => !line.startsWith('4 '));
    await waitFor(async () => (await all()).length >= facts.delivered.length + facts.undelivered.length, { what: 'the lines it had kept' });
    expect(await all()).toEqual([...facts.delivered, ...facts.undelivered]);
    const control = new ControlClient(agent.stateDir);
    await waitFor(async () => (await control.status()).collector?.lagEvents === 0, { what: 'every event to be delivered' });
    const events = await lab.fleet.events({ host, limit: 1_000 });
    expect(events.filter(({ kind, generation }) => kind === 'workload.ready' && generation === 3)).toHaveLength(1);
    expect(events.filter(({ kind, data }) => kind === 'log.gap' && data['lane'] === 'events')).toEqual([]);
    const told = async (): Promise<readonly ApiIncident[]> => (await lab.fleet.api.list<ApiIncident>('incidents', { host })).items;
    await waitFor(async () => (await told()).some(({ generation }) => generation === 2), { what: 'the incident it had kept' });
    const warnings = readFileSync(agent.service.logFile, 'utf8').match(/^.*(?:set aside|damaged|cannot be read).*$/gm);
    expect(warnings).toBeNull();
  });
});
