/**
 * Asks the cloud's metadata server every few seconds whether this machine is about to be taken away or worked on. Off the cloud
 * nothing is asked at all.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import type { ReportedCondition } from '../condition-diff.ts';
import { awsNotices } from './aws.ts';
import { azureNotices } from './azure.ts';
import { gcpNotices } from './gcp.ts';
import { metadataServer, type AskMetadata } from './metadata.ts';
import { noticeCondition, worstImminent, type CloudNotice, type CloudProvider } from './notice.ts';

/** GCP leaves about 30 s, AWS 120 s, Azure 30 s for a preemption: each provider says 5 s or 1 s is fine to ask. */
export const askMs = 5_000;
const linkLocal = 'http://169.254.169.254';
/** One answer that fails says nothing; this many in a row end what was announced before. */
const silentMax = 24;
/** What is called off is missing in this many answers in a row: one of several paths may have failed in between. */
const missingMax = 3;

const sources: Readonly<Record<CloudProvider, (ask: AskMetadata) => Promise<readonly CloudNotice[] | null>>> = {
  gcp: gcpNotices,
  aws: awsNotices,
  azure: azureNotices,
};

export interface CloudWatchOptions {
  readonly clock: Clock;
  readonly provider: CloudProvider;
  readonly base?: string;
  /** Of each question; default: as long as a metadata server may take. */
  readonly timeoutMs?: number;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  /** The machine is about to go; null: that is over. Told only when it changes. */
  readonly onDeparture: (notice: CloudNotice | null) => void;
}

export class CloudWatch {
  readonly #options: CloudWatchOptions;
  readonly #ask: AskMetadata;
  #timer: Timer | null = null;
  #notices: readonly CloudNotice[] = [];
  #silent = 0;
  #missing = 0;
  #departure: CloudNotice | null = null;

  constructor(options: CloudWatchOptions) {
    this.#options = options;
    this.#ask = metadataServer(options.base ?? linkLocal, options.timeoutMs);
  }

  start(): void {
    const tick = async (): Promise<void> => {
      await this.look();
      if (this.#timer !== null) this.#timer = this.#options.clock.after(askMs, () => void tick());
    };
    this.#timer = this.#options.clock.after(0, () => void tick());
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** What was announced and has not been called off. */
  get departure(): CloudNotice | null {
    return this.#departure;
  }

  /** Never rejects; over within a few seconds. */
  async look(): Promise<void> {
    const { clock, provider, report, onDeparture } = this.#options;
    const answer = await sources[provider](this.#ask);
    this.#silent = answer === null ? this.#silent + 1 : 0;
    // A server that was never there, or is gone for good, announces nothing; one that stumbles has not called anything off.
    const now = clock.now();
    const known = worstImminent(this.#notices, now) !== null;
    this.#missing = answer !== null && known && worstImminent(answer, now) === null ? this.#missing + 1 : 0;
    if (answer !== null && (this.#missing === 0 || this.#missing >= missingMax)) this.#notices = answer;
    else if (this.#silent >= silentMax) this.#notices = [];
    report(this.#notices.map((notice) => noticeCondition(notice, provider, now)));
    const departure = worstImminent(this.#notices, now);
    if (sameNotice(departure, this.#departure)) return;
    this.#departure = departure;
    onDeparture(departure);
  }
}

const sameNotice = (a: CloudNotice | null, b: CloudNotice | null): boolean => a?.kind === b?.kind && a?.at === b?.at && a?.text === b?.text;
