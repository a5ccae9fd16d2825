/**
 * The ledger of issued lines: writers in a container's output, a file in it, its process, a setup step and a mount issue lines that can be checked, while
 * agent, collector and engine are struck at random: killed, out of disk, out of power (what no fsync stands behind is thrown away), with
 * files torn and clocks that jump. After every round a fresh line has come, every line before it is there, once, unchanged and in order, and
 * no line has been given up. Replay: RELIGHT_LEDGER_SEED; RELIGHT_LEDGER_ROUNDS=200 for more of them.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { dockerApi } from '../support/docker-api.ts';
import { startPrivateEngine, type PrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { startLab, type Lab, type LabAgent } from '../support/lab.ts';
import { logWriter } from '../support/log-faults/compile.ts';
import { Power, tear } from '../support/log-faults/power-loss.ts';
import { Ledger } from '../support/log-ledger.ts';
import { LedgerReader } from '../support/log-ledger-reader.ts';
import { own } from '../support/owned-directory.ts';
import { LineWriter } from '../support/log-shapes/line-writer.ts';

const seed = Number(process.env['RELIGHT_LEDGER_SEED'] ?? Date.now() % 2 ** 31);
const rounds = Number(process.env['RELIGHT_LEDGER_ROUNDS'] ?? 20);
const host = 'ledger';
const workload = 'writers';
const containerName = `ledger-${process.pid}`;
/** From the end of a fault to fresh lines of every writer: an agent dials again after at most 30 s, on a busy machine perhaps in vain. */
const freshMs = 120_000;

function writers(image: string, control: string): Record<string, unknown> {
  const write = (source: string, perSecond: number, ...more: number[]): string =>
    `/control/log-writer ${source} ${perSecond} /control/ledger ${more.join(' ')}`;
  const soon = { initial: '100ms', max: '1s', reset_after: '10m', budget: '10000 per 10m' };
  return {
    name: workload,
    container: {
      name: containerName,
      image,
      pull_policy: 'never',
      init: true,
      volumes: [`${control}:/control`],
      command: ['sh', '-c', `mkdir -p /issued; ${write('file:lines', 150)} >> /issued/lines & exec ${write('container', 400)}`],
      cap_add: ['SYS_ADMIN'],
      devices: ['/dev/fuse'],
      security_opt: ['apparmor=unconfined'],
    },
    mounts: [
      {
        name: 'data',
        type: 'command',
        run: `${write('mount', 60)} & exec bindfs -f --no-allow-other -o fsname=${containerName} /src /data`,
        target: '/data',
        check: { interval: '1s', timeout: '1s', failures: 3 },
      },
    ],
    setup: [{ name: 'source', run: `mkdir -p /src; ${write('setup', 20_000, 800)}` }, { mount: 'data' }],
    process: { run: `exec ${write('process', 900)}`, stop_timeout: '1s' },
    logs: { files: ['/issued/*'] },
    restart: { process: { ...soon, escalate_after: 1_000 }, container: soon },
  };
}

/** A disk of its own, which fills up when it is told to. */
function mountDisk(path: string, megabytes: number): void {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path]);
}

class Host {
  readonly ledger: Ledger;
  readonly agent: LabAgent;
  readonly lab: Lab;
  readonly #agentPower: Power;
  readonly #collectorPower: Power;
  readonly #engine: PrivateEngine;
  readonly #random: LineWriter;

  constructor(
    lab: Lab,
    agent: LabAgent,
    engine: PrivateEngine,
    ledger: Ledger,
    powers: { readonly agent: Power; readonly collector: Power },
    random: LineWriter,
  ) {
    [this.lab, this.agent, this.#engine, this.ledger] = [lab, agent, engine, ledger];
    [this.#agentPower, this.#collectorPower, this.#random] = [powers.agent, powers.collector, random];
  }

  /** Each strikes, and has everything running again when it is done; returns what it did where its name does not say it. */
  readonly faults: Readonly<Record<string, () => Promise<string>>> = {
    'agent killed': () => this.#strike([this.agent.service]),
    'collector killed': () => this.#strike([this.lab.collector]),
    'both killed': () => this.#strike([this.agent.service, this.lab.collector]),
    'agent loses power': () => this.#strike([this.agent.service], () => this.#lose(this.#agentPower)),
    'collector loses power': () => this.#strike([this.lab.collector], () => this.#lose(this.#collectorPower)),
    'both lose power': () =>
      this.#strike([this.agent.service, this.lab.collector], () => `${this.#lose(this.#agentPower)}; ${this.#lose(this.#collectorPower)}`),
    'files of the agent torn': () =>
      this.#strike([this.agent.service], () => tear([join(this.agent.stateDir, 'logs'), join(this.agent.stateDir, 'outbox')], this.#below)),
    'engine killed': async () => {
      await this.#engine.kill();
      await this.#pause(300);
      await this.#engine.start();
      return '';
    },
    'container killed': async () => {
      await dockerApi(this.#engine.socket).kill(containerName);
      return '';
    },
    "agent's disk full": () => this.#full(this.agent.stateDir, this.agent.service),
    "collector's disk full": () => this.#full(join(this.lab.directory, 'collector'), this.lab.collector),
    "agent's clock jumps": () => this.#jump(this.#agentPower),
    "collector's clock jumps": () => this.#jump(this.#collectorPower),
    'collector frozen': async () => {
      this.lab.collector.freeze();
      await this.#pause(2_000);
      this.lab.collector.thaw();
      return '';
    },
  };

  readonly #below = (limit: number): number => this.#random.below(limit);

  /** Random moments are the point: nothing is waited for here. */
  async #pause(maxMs: number): Promise<void> {
    await sleep(this.#below(maxMs));
  }

  async #strike(services: readonly Lab['collector'][], between: () => string = () => ''): Promise<string> {
    await this.#pause(800);
    await Promise.all(services.map((service) => service.kill()));
    const done = between();
    await this.#pause(500);
    // In either order.
    for (const service of this.#below(2) === 0 ? services : services.toReversed()) await service.start();
    return done;
  }

  #lose(power: Power): string {
    const loss = { kept: this.#below(4) / 4, zeros: this.#below(3) === 0, namesStay: this.#below(3) === 0 };
    return `${power.lose(loss)} changes undone (${JSON.stringify(loss)})`;
  }

  async #full(disk: string, service: Lab['collector']): Promise<string> {
    const ballast = join(disk, 'ballast');
    execFileSync('sh', ['-c', `dd if=/dev/zero of='${ballast}' bs=64k 2>/dev/null; true`]);
    await this.#pause(2_500);
    const killed = this.#below(2) === 0;
    if (killed) await service.kill();
    rmSync(ballast);
    if (killed) await service.start();
    return killed ? 'and killed meanwhile' : '';
  }

  async #jump(power: Power): Promise<string> {
    const ahead = (this.#below(72) - 36) * 3_600_000 + this.#below(3_600_000);
    power.moveClock(ahead);
    await this.#pause(2_500);
    power.moveClock(0);
    return `${Math.round(ahead / 60_000)} min, and back`;
  }
}

test(`${rounds} rounds of faults, seed ${seed}`, { timeout: 120_000 + rounds * (freshMs + 10_000) }, async () => {
  console.log(`seed ${seed}, ${rounds} rounds`);
  await using engine = await startPrivateEngine({ liveRestore: false });
  const image = await buildTestImage(engine);
  const directory = mkdtempSync(join(tmpdir(), 'relight-lab-'));
  own(directory);
  const control = join(directory, 'control');
  mkdirSync(join(control, 'ledger'), { recursive: true });
  copyFileSync(await logWriter(), join(control, 'log-writer'));
  const disks = { collector: join(directory, 'collector'), agent: join(directory, 'hosts', host, 'state') };
  // Every round leaves about a megabyte there.
  mountDisk(disks.collector, 256 + 4 * rounds);
  // Logs may take 5 % of it: nothing has to be given up here.
  mountDisk(disks.agent, 1_024);
  const agentPower = await Power.over({ root: disks.agent, directory: join(directory, 'power-agent'), except: ['runs', 'ballast'] });
  const collectorPower = await Power.over({ root: disks.collector, directory: join(directory, 'power-collector'), except: ['ballast'] });
  const lab = await startLab({ engineSocket: engine.socket, directory, collectorThrough: collectorPower.through });
  try {
    const agent = await lab.addAgent({ host, workloads: [writers(image, control)], service: { through: agentPower.through } });
    const ledger = new Ledger(join(control, 'ledger'));
    const random = new LineWriter(seed, 0, 1);
    const struck = new Host(lab, agent, engine, ledger, { agent: agentPower, collector: collectorPower }, random);
    const reader = new LedgerReader(lab.fleet, { host, workload }, ledger);
    await lab.fleet.waitForPhase(host, workload, 'ready');
    let deck: string[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      // Every fault comes before one comes again.
      if (deck.length === 0) deck = Object.keys(struck.faults);
      const fault = deck.splice(random.below(deck.length), 1)[0] ?? '';
      const began = performance.now();
      let did = '';
      try {
        did = (await struck.faults[fault]?.()) ?? '';
        const back = performance.now();
        await lab.fleet.waitForPhase(host, workload, 'ready', freshMs);
        const lines = await reader.fresh(freshMs - (performance.now() - back));
        const [faultMs, backMs] = [back - began, performance.now() - back].map(Math.round);
        console.log(`${round}. ${fault} ${did}: ${faultMs} ms, fresh after ${backMs} ms, ${lines} lines`);
        expect(reader.judge.wrong).toEqual([]);
        expect(reader.judge.gaps).toEqual([]);
      } catch (error) {
        const words = `agent:\n${agent.service.logTail(15)}\ncollector:\n${lab.collector.logTail(15)}`;
        throw new Error(`seed ${seed}, round ${round} (${fault} ${did})\n${words}`, { cause: error });
      }
    }
    await ledger.stop();
    await reader.whole(freshMs);
    expect({ wrong: reader.judge.wrong, gaps: reader.judge.gaps }).toEqual({ wrong: [], gaps: [] });
    // Once more from the beginning: nothing that was there has gone, or comes twice.
    const again = new LedgerReader(lab.fleet, { host, workload }, ledger);
    await again.whole(freshMs);
    expect({ wrong: again.judge.wrong, gaps: again.judge.gaps, lines: again.lines }).toEqual({ wrong: [], gaps: [], lines: reader.lines });
    console.log(`${reader.lines} lines of ${ledger.lives().length} writers, each once, unchanged and in order`);
  } finally {
    // With the disks that are mounted in it.
    await lab.dispose();
  }
});
