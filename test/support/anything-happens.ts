/** Anything may happen to a simulated host at any moment: each step is one fault or one bit of progress. */
import type { SupervisorEvent } from '@relight/agent/supervisor/event';
import type { Failure } from '@relight/agent/supervisor/op';
import { failureOf, type SimulatedWorld } from './simulated-world.ts';

const lastWords = [
  'RuntimeError: Version mismatch: The cluster was started with Ray 2.9.3',
  'OSError: [Errno 98] Address already in use: 0.0.0.0:6379',
  'HTTP Error 401: Unauthorized',
  'No space left on device',
  'The TPU is already in use by process with pid 12',
  'Failed to initialize NVML: Unknown Error',
];

function diesSaying(world: SimulatedWorld, line: string): void {
  world.lastLines = [line];
  world.killProcess(1);
  world.lastLines = [];
}

export const steps: Record<string, (world: SimulatedWorld) => void> = {
  finishOp: (world) => world.finishOp(),
  failOp: (world) => world.finishOp(failureOf('setup-failed')),
  failOpForGood: (world) => world.finishOp(failureOf('create-rejected', false)),
  engineTimeout: (world) => world.finishOp(failureOf('engine-timeout')),
  report: (world) => world.report(),
  observe: (world) => world.observe(),
  second: (world) => world.advance(1_000),
  minutes: (world) => world.advance(300_000),
  killContainer: (world) => world.killContainer(),
  removeContainer: (world) => world.removeContainer(),
  renameContainer: (world) => world.renameContainer(),
  strangerComes: (world) => world.addStranger(),
  strangerGoes: (world) => world.removeStranger(),
  startRetired: (world) => world.startRetired(),
  dyingStarts: (world) => void (world.diesAtStart = !world.diesAtStart),
  killProcess: (world) => world.killProcess(),
  endProcess: (world) => world.endProcess(),
  ...Object.fromEntries(lastWords.map((line) => [`dies saying ${line}`, (world: SimulatedWorld) => diesSaying(world, line)])),
  mountDaemonEnds: (world) => world.endMountRun(1),
  inputsChange: (world) => world.send({ type: 'inputs-changed', what: ['/etc/secrets.env'], container: true }),
  variableChanges: (world) => world.send({ type: 'inputs-changed', what: ['variable HEAD'], container: false }),
  imageAppears: (world) => world.send({ type: 'image-changed' }),
  fleetGrows: (world) => world.send({ type: 'fleet', size: 10_000 }),
  loseMount: (world) => world.loseMount(),
  stopEngine: (world) => world.stopEngine(),
  containerSilent: (world) => world.send({ type: 'container-silent', reason: 'it says nothing about the container' }),
  engineBackAlone: (world) => world.startEngine(false),
  engineBack: (world) => world.startEngine(true),
  headDown: (world) => void (world.dependencyUp = false),
  headUp: (world) => void (world.dependencyUp = true),
  checksFail: (world) => void (world.checksPass = false),
  checksPass: (world) => void (world.checksPass = true),
  unanswered: (world) => world.send({ type: 'check', list: 'live', name: 'health', ok: false, message: 'no answer', unanswered: true }),
  crash: (world) => world.crashAgent(false, false),
  crashAfterOp: (world) => world.crashAgent(true, false),
  stateLost: (world) => world.crashAgent(true, true),
  pause: (world) => world.send({ type: 'pause', reason: 'test', until: null }),
  resume: (world) => world.send({ type: 'resume' }),
  restartProcess: (world) => world.send({ type: 'restart', level: 'process', reason: 'test' }),
  restartContainer: (world) => world.send({ type: 'restart', level: 'container', reason: 'test' }),
  oom: (world) => world.oom(true),
  oomAndDeath: (world) => world.oom(false),
  gateCloses: (world) => world.send({ type: 'gate', open: false, reason: 'apt is busy' }),
  gateOpens: (world) => world.send({ type: 'gate', open: true, reason: '' }),
  drain: (world) => world.send({ type: 'drain', reason: 'preempted', until: null }),
  drainAWhile: (world) => world.send({ type: 'drain', reason: 'maintenance', until: world.now + 120_000 }),
  drainOver: (world) => world.send({ type: 'drain-over' }),
  gpuLost: (world) => world.send(acceleratorFault('gpu-lost', 'container', true)),
  gpuProcess: (world) => world.send(acceleratorFault('tpu-busy', 'process', true)),
  gpuDead: (world) => world.send(acceleratorFault('gpu-driver-mismatch', 'host', false)),
};

export function acceleratorFault(code: Failure['code'], level: 'process' | 'container' | 'host', recoverable: boolean): SupervisorEvent {
  return { type: 'accelerator', code, message: `accelerator: ${code}`, level, recoverable, data: {} };
}
