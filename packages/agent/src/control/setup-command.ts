/** `relight-agent setup`: from a bare host to a configuration that is checked, and an agent that runs. */
import { existsSync, realpathSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { resolve } from 'node:path';
import { defaults } from '../config/defaults.ts';
import { loadConfig, parseConfig } from '../config/load.ts';
import { DockerEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { joinedFile, readJoined } from '../uplink/joined.ts';
import { hostDefaults } from './host-defaults.ts';
import { checkSpec } from './check-command.ts';
import { hostAnswers } from './host-answers.ts';
import { chosenStateDir, type ExitCode, type Io, usualConfig } from './io.ts';
import { join } from './join-command.ts';
import { RelightError, type ErrorCode } from '@relight/shared/errors';
import { fold } from '@relight/shared/text-columns';
import { answersOf, askJoinAgain, Interrupted, type Answers, type Asker, type JoinAnswer, type SetupFlags } from './setup/answers.ts';
import { choicesOf, type Choices } from './setup/choices.ts';
import { Done } from './setup/done.ts';
import { oneLine, type SetupFacts } from './setup/facts.ts';
import { nextSteps, startCommand, stepText, type Situation } from './setup/next.ts';
import { mustBeWritable, readOld, writeNew, writeOver } from './setup/place.ts';
import { seenAccelerators, seenContainers } from './setup/probe.ts';
import { findRayFiles, namedRayFile, readRay, trustedOwners, usualRayPlaces, type RayPlace } from './setup/ray-files.ts';
import { keptAs, mustLoseNothing, mustNotSurprise, runningAgent, takesUp, type RunningAgent } from './setup/replace.ts';
import { restartLine, startLine, systemdService, type AgentService } from './setup/service.ts';
import { terminalAsker } from './setup/terminal.ts';
import { setupYaml } from './setup/write-config.ts';

export interface SetupSurroundings {
  readonly hostname: string;
  readonly rayPlaces: readonly RayPlace[];
  readonly rayOwners: ReadonlySet<number>;
  readonly openEngine: (socketPath: string) => Engine;
  readonly service: AgentService;
  /** With this state directory. */
  readonly runningAgent: (stateDir: string) => Promise<RunningAgent | null>;
  /** Null: there is no terminal. */
  readonly openTerminal: () => Asker | null;
  /** Ctrl-C where nobody is asked: says that, and ends with 130. What takes it back. */
  readonly onInterrupt: (text: () => string) => () => void;
}

const here = (io: Io): SetupSurroundings => ({
  hostname: hostname(),
  rayPlaces: usualRayPlaces(process.cwd(), homedir(), io.env['SUDO_USER']),
  rayOwners: trustedOwners(process.getuid?.() ?? 0, io.env['SUDO_UID']),
  openEngine: (socketPath) => new DockerEngine({ socketPath }),
  service: systemdService,
  runningAgent,
  openTerminal: () => terminalAsker(),
  onInterrupt: (text) => {
    const leave = (): void => {
      io.note(`\n${text()}`);
      process.exit(interrupted);
    };
    process.once('SIGINT', leave);
    return () => process.off('SIGINT', leave);
  },
});

/** As a shell has it of a program that SIGINT has ended. */
const interrupted = 130;

/**
 * 1 when `check` finds an error, or when what was asked for was not done because the host is set up; 130 when the person leaves.
 * Fails with usage, cannot-adopt, not-found, engine-unreachable, and with whatever keeps it from joining: nothing is written then.
 */
export async function setupCommand(flags: SetupFlags, io: Io, around: SetupSurroundings = here(io)): Promise<ExitCode> {
  const file = resolve(flags.config);
  if (existsSync(file) && flags.force !== true && flags.dryRun !== true) return isSetUp(file, flags, io, around);
  if (flags.dryRun !== true) mustBeWritable(file);
  const asker = flags.yes === true ? null : around.openTerminal();
  const done = new Done(file);
  const listenNoMore = around.onInterrupt(() => done.text());
  try {
    return await setUp(file, flags, io, around, asker, done);
  } catch (thrown) {
    if (!(thrown instanceof Interrupted)) throw thrown;
    io.note(`\n${done.text()}`);
    return interrupted;
  } finally {
    listenNoMore();
  }
}

/** Text for a person, on a terminal in its width. */
const say = (io: Io, text: string): void => io.write(fold(text, io.columns));

async function setUp(
  file: string,
  flags: SetupFlags,
  io: Io,
  around: SetupSurroundings,
  asker: Asker | null,
  done: Done,
): Promise<ExitCode> {
  const stateDir = chosenStateDir(flags.stateDir, io.env);
  const facts = await look(flags, io, around, stateDir ?? defaults.stateDir);
  const choices = choicesOf(facts);
  tell(facts, choices, io);
  const first = await answersOf(facts, choices, flags, asker);
  const textOf = (given: Answers): string =>
    setupYaml({
      file,
      facts,
      ...given,
      collector: given.join?.url ?? facts.joined,
      stateDir: stateDir === undefined || stateDir === defaults.stateDir ? null : stateDir,
      socket: flags.socket === undefined || flags.socket === defaults.engineSocket ? null : flags.socket,
    });
  const text = textOf(first);
  // Nobody gets a file that the agent would refuse.
  const spec = parseConfig(text, file, { ...hostDefaults(), hostname: facts.hostname });
  for (const choice of first.chosen) if (choice.kind !== 'adopt') for (const line of choice.imported.notes) io.note(line);
  if (flags.dryRun === true) {
    io.write(text);
    io.note(`Nothing was written${existsSync(file) ? `; ${file} is there, and would be replaced with --force only` : ''}.`);
    return 0;
  }
  const isLive = await mayReplace(file, text, stateDir ?? defaults.stateDir, flags, around);
  // Where an agent runs nothing is between the file and the containers but this.
  if (isLive && (await checkSpec(spec, { config: file }, io, around.openEngine)) !== 0) {
    io.note('relight-agent: nothing was written: the agent that runs would take it up at once. Correct what is called an error first.');
    return 1;
  }
  const asks = typeof flags.collector === 'string' ? null : asker;
  const answers = { ...first, join: await joinAs(first, stateDir ?? defaults.stateDir, io, asks, done) };
  const before = flags.force === true ? readOld(file) : null;
  const backup = flags.force === true ? writeOver(file, textOf(answers)) : null;
  if (flags.force !== true) writeNew(file, textOf(answers));
  done.hasWritten(isLive);
  say(io, `${file} is written${backup === null ? '' : `; ${keptAs(backup, before ?? '')}`}\n\n`);
  const checked = isLive ? 0 : await checkSpec(spec, { config: file }, io, around.openEngine);
  return finish(file, flags, io, around, asker, facts, answers, checked, done);
}

/** So often a person may correct a line that the collector, or the check of who that is, has refused. */
const joinTriesMax = 4;
/** No other line mends what keeps this host from writing down what the collector gives. */
const ofThisHost: ReadonlySet<ErrorCode> = new Set(['config-invalid', 'config-unreadable', 'disk-full', 'internal']);

/** What was joined in the end; null: nothing. `asker` null: nobody was asked, so the first failure is the last. */
async function joinAs(
  { join: given, host }: Answers,
  stateDir: string,
  io: Io,
  asker: Asker | null,
  done: Done,
): Promise<JoinAnswer | null> {
  let answer = given;
  for (let tries = 1; answer !== null; tries += 1) {
    const { url, token, ...trust } = answer;
    try {
      done.joins(url);
      const what = await join(url, token, trust, { host: host.name, stateDir });
      done.hasJoined();
      say(io, `${what}\n`);
      return answer;
    } catch (thrown) {
      if (asker === null || tries === joinTriesMax || !(thrown instanceof RelightError) || ofThisHost.has(thrown.code)) throw thrown;
      answer = await askJoinAgain(asker, thrown);
    }
  }
  return null;
}

/** Whether an agent runs that takes the file up by itself. Fails with usage where something would be lost, or restarted unasked. */
async function mayReplace(file: string, text: string, stateDir: string, flags: SetupFlags, around: SetupSurroundings): Promise<boolean> {
  const before = readOld(file);
  if (before !== null) mustLoseNothing(file, before, text);
  const agent = await around.runningAgent(stateDir);
  if (agent === null && (await serviceAwaits(file, around))) {
    mustNotSurprise({ file, workloads: [] }, file, true, flags.start === false);
    return true;
  }
  if (agent === null || !takesUp(agent, file)) return false;
  mustNotSurprise(agent, file, before !== null && isConfig(before, file, around.hostname), flags.start === false);
  return true;
}

/** No agent answers, but its service is at it: it waits for the file, or fails over the one that is there, and begins with the next. */
const serviceAwaits = async (file: string, { service }: SetupSurroundings): Promise<boolean> =>
  isServiceFile(file) && (await service.state()) === 'running';

const isServiceFile = (file: string): boolean => file === usualConfig || (existsSync(file) && realpathSync(file) === usualConfig);

function isConfig(text: string, file: string, name: string): boolean {
  try {
    parseConfig(text, file, { ...hostDefaults(), hostname: name });
    return true;
  } catch {
    return false;
  }
}

async function look(flags: SetupFlags, io: Io, around: SetupSurroundings, stateDir: string): Promise<SetupFacts> {
  const socket = flags.socket ?? defaults.engineSocket;
  const files = flags.rayYaml === undefined ? await findRayFiles(around.rayPlaces, around.rayOwners) : [await namedRayFile(flags.rayYaml)];
  const host = files.length === 0 ? null : await hostAnswers(socket);
  const ray = {
    ...(flags.nodeType === undefined ? {} : { nodeType: flags.nodeType }),
    ...(flags.head === undefined ? {} : { head: flags.head }),
  };
  return {
    hostname: around.hostname,
    ...(await seenContainers(around.openEngine(socket), socket)),
    ...(await seenAccelerators(io.env['PATH'] ?? '')),
    rayFiles: host === null ? [] : files.map((found) => readRay(found, ray, host)),
    joined: readJoined(joinedFile(stateDir))?.url ?? null,
  };
}

function tell({ engine, accelerators, joined }: SetupFacts, { left }: Choices, io: Io): void {
  if ('version' in engine) io.note(`engine        Docker ${oneLine(engine.version)}`);
  else io.note(`engine        ${engine.problem}\n            → ${engine.advice}`);
  io.note(`accelerators  ${accelerators.length === 0 ? 'none' : accelerators.map(oneLine).join(', ')}`);
  if (joined !== null) io.note(`collector     ${oneLine(joined)}, joined already`);
  for (const line of left) io.note(`left out      ${line}`);
  io.note('');
}

async function finish(
  file: string,
  flags: SetupFlags,
  io: Io,
  around: SetupSurroundings,
  asker: Asker | null,
  facts: SetupFacts,
  answers: Answers,
  checked: ExitCode,
  done: Done,
): Promise<ExitCode> {
  const situation: Situation = {
    file,
    isServiceFile: isServiceFile(file),
    service: await around.service.state(),
    chosen: answers.chosen,
    running: new Set(facts.containers.filter(({ running, isOurs }) => running && !isOurs).map(({ name }) => name)),
    ours: facts.containers.flatMap(({ name, running, madeFor }) =>
      running && madeFor !== null ? [{ name: oneLine(name), workload: oneLine(madeFor) }] : [],
    ),
    hasCollector: answers.join !== null || facts.joined !== null,
    joinedNow: answers.join !== null,
    checkFailed: checked !== 0,
  };
  const started = await start(situation, flags, io, around, asker, done);
  io.write(
    `\nNext:\n${nextSteps(situation, started)
      .map((step) => `${stepText(step, io.columns)}\n`)
      .join('')}`,
  );
  return checked;
}

/** Never with a configuration that `check` has found errors in. */
async function start(
  situation: Situation,
  flags: SetupFlags,
  io: Io,
  { service }: SetupSurroundings,
  asker: Asker | null,
  done: Done,
): Promise<boolean> {
  const argv = startCommand(situation);
  if (argv === null || situation.checkFailed || flags.start === false) return false;
  const wanted =
    flags.yes === true || flags.start === true || (asker !== null && /^(y|yes)?$/i.test((await answerOrNo(asker, argv)).trim()));
  if (!wanted) return false;
  done.starts();
  const problem = await service.start(argv);
  if (problem === null) say(io, `\nthe agent has been started: ${argv.join(' ')}\n`);
  else io.note(`relight-agent: ${argv.join(' ')}: ${problem}\nLook at: systemctl status relight-agent, journalctl -u relight-agent`);
  return problem === null;
}

/** Everything is written by now: who leaves here has only not started it. */
async function answerOrNo(asker: Asker, argv: readonly string[]): Promise<string> {
  return asker.ask(`\nStart the agent now (${argv.join(' ')})? [yes] `).catch((thrown: unknown) => {
    if (!(thrown instanceof Interrupted)) throw thrown;
    return 'no';
  });
}

/** How an agent that has a configuration comes to the collector that it has joined just now. */
async function takeUp(file: string, { service }: SetupSurroundings): Promise<string> {
  const state = isServiceFile(file) ? await service.state() : 'none';
  if (state === 'running') return `let the agent report there, workloads go on meanwhile: ${restartLine.join(' ')}`;
  return `start the agent: ${state === 'none' ? `relight-agent run --config ${file}` : startLine.join(' ')}`;
}

/** Fails with config-invalid or config-unreadable when what is there is no configuration; and with whatever keeps it from joining. */
async function isSetUp(file: string, flags: SetupFlags, io: Io, around: SetupSurroundings): Promise<ExitCode> {
  const { collector, joinToken } = flags;
  const spec = await loadConfig(file, { ...hostDefaults(), hostname: around.hostname });
  const stateDir = chosenStateDir(flags.stateDir, io.env) ?? spec.stateDir;
  const joined = spec.collector?.url ?? readJoined(joinedFile(stateDir))?.url ?? null;
  if (typeof collector === 'string' && joinToken !== undefined && joined === null) {
    // The file says nothing of a collector, and needs not: what joins stands in the state directory.
    say(io, `${await join(collector, joinToken, flags, { host: spec.host.name, stateDir })}\n`);
    say(io, `${file} is there, and nothing of it was changed.\n\nNext:\n  - ${await takeUp(file, around)}\n`);
    return 0;
  }
  say(io, `${file} is there: this host is set up, and nothing was changed.\n`);
  const keeps = spec.workloads.map(({ name }) => name).join(', ');
  say(io, `It keeps ${keeps === '' ? 'nothing yet' : keeps}, and ${joined === null ? 'works alone' : `reports to ${joined}`}.\n`);
  const stopped = isServiceFile(file) && (await around.service.state()) === 'stopped';
  say(
    io,
    `\nNext:\n  - look at it: relight-agent check --config ${file}\n${stopped ? `  - start the agent: ${startLine.join(' ')}\n` : ''}${
      keeps === ''
        ? `  - make it anew, the old one kept as ${file}.bak: relight-agent setup --force\n`
        : `  - change it: edit it, the agent takes that up by itself; see what it has made of it: relight-agent status\n`
    }`,
  );
  if (typeof collector !== 'string' || (joined !== null && sameAddress(joined, collector))) return 0;
  if (joined !== null) {
    const how = spec.collector === null ? `relight-agent join ${collector} JOIN_TOKEN --fingerprint SHA256` : `name it in ${file}`;
    io.note(`relight-agent: this host reports to ${joined}, not to ${collector}. To move it: ${how}`);
    return 1;
  }
  io.note(`relight-agent: this host has not joined ${collector}: relight-agent join ${collector} JOIN_TOKEN --fingerprint SHA256`);
  return 1;
}

const sameAddress = (one: string, other: string): boolean => addressOf(one) === addressOf(other);
/** ws and wss are other names of the same; what is no address is itself. */
const addressOf = (url: string): string => URL.parse(url.replace(/^ws(s?):/, 'http$1:'))?.href.replace(/\/+$/, '') ?? url;
