/**
 * The token that this host was given when it joined is renewed when two thirds of its life are over, long before it ends. The old one
 * stays valid until the new one is used, so an answer that is lost on its way costs nothing.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { toRelightError } from '@relight/shared/errors';
import { agentCredentialSchema, renewPath, type JoinRequest } from '@relight/shared/join';
import type { Logger } from 'pino';
import type { ReportedCondition } from '../host/condition-diff.ts';
import { postToCollector } from './access.ts';
import { readJoined, writeJoined, type Joined } from './joined.ts';

export interface TokenRenewalOptions {
  /** Of joined.ts. */
  readonly file: string;
  /** Whose the token is: nobody else is given a new one for it. */
  readonly identity: JoinRequest;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** The new token is in the file: whoever is connected with the old one comes back with it. */
  readonly onRenewed: () => void;
  readonly report: (conditions: readonly ReportedCondition[]) => void;
  readonly post?: typeof postToCollector;
}

const renewAfter = 2 / 3;
/** It should have been renewed many times over by then. */
const tellAfter = 5 / 6;
const looksPerLife = 50;
const lookMsMin = 1_000;
const lookMsMax = 3_600_000;

export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  #timer: Timer | null = null;
  #stopped = false;
  #said = '';

  constructor(options: TokenRenewalOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(lookMsMin);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(ms: number): void {
    if (!this.#stopped) this.#timer = this.#options.clock.after(ms, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { clock, file, logger } = this.#options;
    let next = lookMsMax;
    try {
      const joined = readJoined(file);
      if (joined === null) return;
      const life = joined.expiresAt - joined.issuedAt;
      next = Math.min(lookMsMax, Math.max(lookMsMin, life / looksPerLife));
      if (clock.now() >= joined.issuedAt + life * renewAfter) await this.#renew(joined);
      this.#options.report([]);
    } catch (thrown) {
      const error = toRelightError(thrown);
      if (this.#said !== error.message) {
        logger.warn({ code: error.code, advice: error.advice }, `the token of this host could not be renewed: ${error.message}`);
      }
      this.#said = error.message;
      this.#tell(error.message);
    } finally {
      this.#schedule(next);
    }
  }

  async #renew(joined: Joined): Promise<void> {
    const { file, identity, logger, onRenewed, post = postToCollector } = this.#options;
    const fresh = agentCredentialSchema.parse(await post(joined, renewPath, joined.token, identity));
    // Stopped meanwhile: the next life of the agent renews it.
    if (this.#stopped) return;
    const { url, fingerprint, caFile } = joined;
    writeJoined(file, { ...fresh, url, fingerprint, caFile });
    this.#said = '';
    logger.info({ token: fresh.tokenId }, `the token of this host was renewed, until ${new Date(fresh.expiresAt).toISOString()}`);
    onRenewed();
  }

  #tell(reason: string): void {
    const { clock, file, report } = this.#options;
    let joined: Joined | null = null;
    try {
      joined = readJoined(file);
    } catch {
      // Damaged: that is what the log has just said, and the uplink says it at every dial.
    }
    if (joined === null || clock.now() < joined.issuedAt + (joined.expiresAt - joined.issuedAt) * tellAfter) return;
    const until = new Date(joined.expiresAt).toISOString();
    report([
      {
        name: 'token-expiring',
        subject: '',
        severity: clock.now() >= joined.expiresAt ? 'error' : 'warning',
        reason: `the token for the collector is valid until ${until} and could not be renewed: ${reason}`,
        advice: 'Mend what the reason says, or join anew: relight-agent join.',
      },
    ]);
  }
}
