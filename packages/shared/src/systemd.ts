/**
 * sd_notify(3). Node cannot open the datagram socket it needs, so `systemd-notify` says it for us; the unit must have
 * NotifyAccess=all. Without NOTIFY_SOCKET (not started by systemd) nothing is ever spawned.
 */
import { spawn } from 'node:child_process';
import { systemClock, type Clock, type Timer } from './clock.ts';
import { errorMessage } from './errors.ts';

export interface SystemdOptions {
  /** NOTIFY_SOCKET is taken out of it: the commands that a service runs must not speak in its name. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Told once, when systemd cannot be told: it will kill the service for not reporting, and the log should say why. */
  readonly onError: (message: string) => void;
}

const notifyDeadlineMs = 5_000;
/** The next word, which may be the one that keeps the service alive, waits no longer for one that does not end. */
const givenUpMs = 2 * notifyDeadlineMs;
/** A workload on its way changes its phase several times a second; nobody reads that from `systemctl status`. */
const statusEveryMs = 1_000;

export class Systemd {
  readonly #clock: Clock;
  readonly #onError: (message: string) => void;
  /** Null: nobody to tell. */
  readonly #env: NodeJS.ProcessEnv | null;
  readonly #watchdogMs: number | null;
  /** What is to be told next, by variable: only the last status counts. */
  readonly #waiting = new Map<string, string>();
  #telling: Promise<void> | null = null;
  #timer: Timer | null = null;
  #status = '';
  /** `clock.monotonic()` of the last sign of life; null before ready, when systemd does not count yet. */
  #fedAt: number | null = null;
  #failed = false;

  constructor(options: SystemdOptions) {
    this.#clock = options.clock;
    this.#onError = options.onError;
    const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: pid, PATH: path } = options.env;
    this.#env = socket === undefined || socket === '' ? null : { NOTIFY_SOCKET: socket, ...(path === undefined ? {} : { PATH: path }) };
    const mine = pid === undefined || pid === String(process.pid);
    this.#watchdogMs = this.#env !== null && mine && Number(usec) > 0 ? Number(usec) / 1_000 : null;
    delete options.env['NOTIFY_SOCKET'];
    delete options.env['WATCHDOG_USEC'];
    delete options.env['WATCHDOG_PID'];
  }

  /** Call when the service serves. From here on systemd counts the time since the last progress. */
  ready(status: string): void {
    this.#status = status;
    this.#fedAt = this.#clock.monotonic();
    // The period of the unit again, where `starting` had asked for another one.
    const period: Record<string, string> = this.#watchdogMs === null ? {} : { WATCHDOG_USEC: String(this.#watchdogMs * 1_000) };
    this.#say({ READY: '1', STATUS: oneLine(status), ...period });
  }

  /**
   * It was ready while it waited for something, and begins only now. So long it may take until it is ready again, as when it had begun at
   * once (`TimeoutStartSec`). Resolves when systemd has it.
   */
  async starting(allowedMs: number): Promise<void> {
    if (this.#watchdogMs === null) return;
    this.#fedAt = null;
    // What is being told has the period of the unit in it: that one must not come behind this.
    await this.#telling;
    await this.#notify(['WATCHDOG=1', `WATCHDOG_USEC=${Math.max(allowedMs, this.#watchdogMs) * 1_000}`]);
  }

  /** What it is doing, for `systemctl status`; told within a second. */
  status(status: string): void {
    if (this.#env === null || status === this.#status) return;
    this.#status = status;
    this.#timer ??= this.#clock.after(statusEveryMs, () => {
      this.#timer = null;
      this.#say({ STATUS: oneLine(this.#status) });
    });
  }

  /**
   * A round of the service's own work has ended, well or badly. Nothing else feeds the watchdog: a timer would go on when
   * the work hangs. Told four times per period at most, so one that is lost or late does not kill the service.
   */
  progress(): void {
    if (this.#watchdogMs === null || this.#fedAt === null) return;
    const now = this.#clock.monotonic();
    if (now - this.#fedAt < this.#watchdogMs / 4) return;
    this.#fedAt = now;
    this.#say({ WATCHDOG: '1' });
  }

  /** Resolves when systemd has it, so that the process may end. */
  async stopping(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    this.#fedAt = null;
    this.#waiting.clear();
    await this.#notify(['STOPPING=1']);
  }

  /** It ends before it has served. Resolves when systemd has it: `systemctl status` shows it until the next start. */
  async failing(status: string): Promise<void> {
    await this.#notify([`STATUS=${oneLine(status)}`]);
  }

  /** One after the other: a later status must not be overtaken by an earlier one. */
  #say(assignments: Readonly<Record<string, string>>): void {
    for (const [variable, value] of Object.entries(assignments)) this.#waiting.set(variable, value);
    this.#telling ??= this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const assignments = [...this.#waiting].map(([variable, value]) => `${variable}=${value}`);
      this.#waiting.clear();
      await this.#notify(assignments);
    }
    this.#telling = null;
  }

  async #notify(assignments: readonly string[]): Promise<void> {
    if (this.#env === null) return;
    const env = this.#env;
    const failure = await new Promise<string | null>((resolve) => {
      try {
        const child = spawn('systemd-notify', assignments, { env, stdio: 'ignore', timeout: notifyDeadlineMs, killSignal: 'SIGKILL' });
        child.once('error', (error) => resolve(error.message));
        child.once('exit', (code, signal) => resolve(code === 0 ? null : `exit ${code ?? signal}`));
        // One that waits for a disk does not die of a signal. By the clock that the kill goes by.
        systemClock.after(givenUpMs, () => resolve(`it cannot be killed, ${givenUpMs / 1_000} s after it was started`));
      } catch (thrown) {
        // Some errors are thrown and not emitted: there is no memory for another process.
        resolve(errorMessage(thrown));
      }
    });
    if (failure === null || this.#failed) return;
    this.#failed = true;
    this.#onError(`systemd-notify ${assignments[0]}: ${failure}`);
  }
}

/** A newline would begin another assignment. */
const oneLine = (status: string): string => status.replaceAll(/\p{Cc}+/gu, ' ');
