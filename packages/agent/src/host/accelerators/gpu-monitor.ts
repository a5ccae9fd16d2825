/**
 * Watches the GPUs of this host: a look at `nvidia-smi` every 30 s, judged by gpu-health.ts. What the machine has shown since
 * it booted (its cards, Xids) is kept in a file, so that a restart of the agent forgets no loss. Without nvidia-smi it costs
 * one search of the PATH in ten minutes.
 */
import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '@relight/shared/clock';
import * as z from 'zod';
import { replaceFile } from '../atomic-file.ts';
import { type GpuHealth, gpuHealth } from './gpu-health.ts';
import type { GpuLook } from './gpu-look.ts';
import type { GpuReading, GpuReport } from './gpu-report.ts';
import { type KnownXid, knownXidSchema, rememberXid, stillMatter } from './xid.ts';

const intervalMs = 30_000;
/** A driver may be installed while the agent runs. */
const absentIntervalMs = 600_000;

const fileSchema = z.object({
  bootId: z.string(),
  gpus: z.array(z.object({ index: z.number(), uuid: z.string(), pciAddress: z.string(), model: z.string() })),
  xids: z.array(knownXidSchema),
});

export interface GpuMonitorOptions {
  readonly clock: Clock;
  readonly look: () => Promise<GpuLook | null>;
  /** Where the memory of this boot is kept. */
  readonly file: string;
  readonly bootId: string;
  /** From the configuration; null: nobody said. */
  readonly expected: number | null;
  /** Somebody wants GPUs here. */
  readonly needed: boolean;
  /** After every look. */
  readonly onLook: (health: GpuHealth) => void;
}

const nothing: GpuHealth = { accelerators: [], conditions: [], block: null };

export class GpuMonitor {
  readonly #options: GpuMonitorOptions;
  #known: readonly GpuReading[];
  #xids: readonly KnownXid[];
  #throttled: ReadonlyMap<string, number> = new Map();
  #last: GpuLook | null = null;
  #asked = false;
  #health: GpuHealth = nothing;
  #looking: Promise<GpuHealth> | null = null;
  #timer: Timer | null = null;
  #disposed = false;

  constructor(options: GpuMonitorOptions) {
    this.#options = options;
    const saved = load(options.file);
    const same = saved.bootId === options.bootId;
    this.#known = same ? saved.gpus.map((gpu) => ({ ...unread, ...gpu })) : [];
    this.#xids = same ? saved.xids : [];
  }

  start(): void {
    void this.look();
  }

  dispose(): void {
    this.#disposed = true;
    this.#timer?.cancel();
  }

  get health(): GpuHealth {
    return this.#health;
  }

  /** The newest report; null while the driver has none. */
  get report(): GpuReport | null {
    return this.#last?.kind === 'report' ? this.#last.report : null;
  }

  /** Has the driver been asked at all? */
  get looked(): boolean {
    return this.#asked;
  }

  /** For people: what there is to ask. Undefined before the first look. */
  get tools(): string | undefined {
    if (!this.#asked) return undefined;
    if (this.#last === null) return 'no nvidia-smi on this host';
    const { report } = this;
    return report === null ? 'nvidia-smi, without a report' : `nvidia-smi, driver ${report.driverVersion}, CUDA ${report.cudaVersion}`;
  }

  /** A fresh look, or the one under way. Settles within the probe's deadline; never rejects. */
  look(): Promise<GpuHealth> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  /** A look that begins now: one that is under way may have been answered before what is asked about. */
  async lookAnew(): Promise<GpuHealth> {
    await this.#looking;
    return await this.look();
  }

  /** An Xid that says more than "the application has a bug". */
  xid(xid: KnownXid): void {
    this.#xids = rememberXid(this.#xids, xid);
    this.#save();
    // The last words of the driver are judged anew at once; what it says now follows.
    if (this.#last !== null) this.#judge(this.#last);
    void this.look();
  }

  async #look(): Promise<GpuHealth> {
    this.#timer?.cancel();
    const look = await this.#options.look();
    if (this.#disposed) return this.#health;
    this.#timer = this.#options.clock.after(look === null ? absentIntervalMs : intervalMs, () => void this.look());
    this.#last = look;
    this.#asked = true;
    if (look === null) this.#tell(nothing);
    else {
      if (look.kind === 'report') this.#learn(look.report);
      this.#judge(look);
    }
    return this.#health;
  }

  #learn(report: GpuReport): void {
    const before = JSON.stringify([this.#known.map(({ uuid }) => uuid), this.#xids]);
    const present = new Set(report.gpus.map(({ uuid }) => uuid));
    this.#known = [...report.gpus, ...this.#known.filter(({ uuid }) => !present.has(uuid))].toSorted((a, b) => a.index - b.index);
    this.#xids = stillMatter(this.#xids, report, this.#options.clock.now());
    this.#throttled = new Map(
      report.gpus.flatMap(({ uuid, throttled }) => (throttled.length === 0 ? [] : [[uuid, (this.#throttled.get(uuid) ?? 0) + 1] as const])),
    );
    if (JSON.stringify([this.#known.map(({ uuid }) => uuid), this.#xids]) !== before) this.#save();
  }

  #judge(look: GpuLook): void {
    const { expected, needed } = this.#options;
    this.#tell(gpuHealth(look, { expected, needed, known: this.#known, xids: this.#xids, throttled: this.#throttled }));
  }

  #tell(health: GpuHealth): void {
    this.#health = health;
    this.#options.onLook(health);
  }

  /** A disk that takes nothing costs the memory of this boot, and is said elsewhere. */
  #save(): void {
    const { file, bootId } = this.#options;
    const gpus = this.#known.map(({ index, uuid, pciAddress, model }) => ({ index, uuid, pciAddress, model }));
    try {
      replaceFile(file, JSON.stringify({ bootId, gpus, xids: this.#xids }));
    } catch {
      // The next change tries again.
    }
  }
}

/** A card of an earlier life of the agent, of which nothing is known now. */
const unread: Omit<GpuReading, 'index' | 'uuid' | 'pciAddress' | 'model'> = {
  memoryTotalBytes: undefined,
  memoryUsedBytes: undefined,
  utilisation: undefined,
  temperatureCelsius: undefined,
  powerWatts: undefined,
  eccVolatile: undefined,
  eccAggregate: undefined,
  eccThresholdExceeded: false,
  remapFailed: false,
  remapPending: false,
  pagesPending: false,
  throttled: [],
  recovery: null,
  saysRecovery: false,
  unreadable: [],
  migDevices: 0,
  processes: [],
};

/** A file that cannot be read is as good as none. */
function load(file: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return { bootId: '', gpus: [], xids: [] };
  }
}
