/**
 * The server behind everything: HTTP, or HTTPS with a certificate that is renewed without a restart. What is said before a token has been
 * shown is bounded in size and time. Tells of a certificate that runs out, and of clients that do not trust it.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { fingerprintOf } from '@relight/shared/certificate';
import { RelightError, toRelightError } from '@relight/shared/errors';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { statSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { MetricFamily } from '../api/metrics-text.ts';
import type { TlsConfig } from '../config.ts';
import type { CollectorEvent } from '../store/store.ts';
import { networkOf } from './client-address.ts';
import { readTls, type TlsMaterial } from './tls-files.ts';

export interface FrontDeps {
  /** Null: plain HTTP. */
  readonly files: TlsConfig | null;
  readonly clock: Clock;
  readonly warn: (message: string, error: RelightError) => void;
  readonly info: (message: string) => void;
  readonly tell: (event: CollectorEvent) => void;
}

/** Of the header of a request, and of the whole of it: bodies are small here. */
const limits: ServerOptions = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 72_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16 * 1024,
};
const handshakeTimeout = 10_000;
const lookMs = 60_000;
const dayMs = 86_400_000;
const warningMs = 30 * dayMs;
const errorMs = 7 * dayMs;
/** One line per address (IPv6: per /64) and time about clients that end a TLS connection at once. */
const distrustMs = 10 * 60_000;
const addressesMax = 1_000;

export class Front {
  readonly #deps: FrontDeps;
  #material: TlsMaterial | null;
  #stamp = '';
  #toldAt = -Infinity;
  #timer: Timer | null = null;
  #server: Server | null = null;
  readonly #asked = new Set<string>();
  readonly #distrust = new Map<string, number>();
  #handshakeFailures = 0;

  /** @throws RelightError `config-invalid`: the files cannot be used */
  constructor(deps: FrontDeps) {
    this.#deps = deps;
    this.#material = deps.files === null ? null : readTls(deps.files);
    this.#stamp = this.#stampOf();
  }

  get secure(): boolean {
    return this.#material !== null;
  }

  /** Once. */
  serve(listener: RequestListener): Server {
    const material = this.#material;
    if (material === null) return (this.#server = createServer(limits, listener));
    const { cert, key } = material;
    const server = createSecureServer({ ...limits, cert, key, minVersion: 'TLSv1.2', handshakeTimeout }, listener);
    for (const event of ['request', 'upgrade'])
      server.prependListener(event, ({ socket }: IncomingMessage) => this.#asked.add(keyOf(socket)));
    server.on('connection', (socket: Socket) => this.#watchFirstWord(socket));
    // Everything that is used of it here is the same in both.
    return (this.#server = server as unknown as Server);
  }

  /** From now on files and time are looked at. */
  start(): void {
    if (this.#material !== null) this.#look();
  }

  close(): void {
    this.#timer?.cancel();
  }

  families(): MetricFamily[] {
    if (this.#material === null) return [];
    return [
      {
        name: 'relight_collector_certificate_expiry_timestamp_seconds',
        help: 'When the certificate of the collector runs out, in seconds since the epoch.',
        type: 'gauge',
        samples: [{ value: this.#material.certificate.validToDate.getTime() / 1_000 }],
      },
      {
        name: 'relight_collector_tls_failures_total',
        help: 'TLS connections that ended before anything was asked.',
        type: 'counter',
        samples: [{ value: this.#handshakeFailures }],
      },
    ];
  }

  #look(): void {
    this.#reload();
    this.#tellOfExpiry();
    this.#timer = this.#deps.clock.after(lookMs, () => this.#look());
  }

  /** What cannot be used leaves the old one at work. */
  #reload(): void {
    const { files, warn, info } = this.#deps;
    const stamp = this.#stampOf();
    if (files === null || stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      const material = readTls(files);
      (this.#server as unknown as { setSecureContext(options: object): void }).setSecureContext({ cert: material.cert, key: material.key });
      this.#material = material;
      this.#toldAt = -Infinity;
      info(
        `the certificate was renewed: ${fingerprintOf(material.certificate)}, valid until ${material.certificate.validToDate.toISOString()}`,
      );
    } catch (error) {
      warn('the new certificate cannot be used, the old one stays at work', toRelightError(error));
    }
  }

  #stampOf(): string {
    const { files } = this.#deps;
    if (files === null) return '';
    try {
      return [files.certFile, files.keyFile].map((file) => statSync(file).mtimeMs).join(' ');
    } catch {
      // In the middle of being replaced, or gone: what was read stays.
      return this.#stamp;
    }
  }

  #tellOfExpiry(): void {
    const { clock, tell, warn } = this.#deps;
    const until = this.#material?.certificate.validToDate.getTime() ?? Infinity;
    const left = until - clock.now();
    if (left > warningMs || clock.monotonic() - this.#toldAt < dayMs) return;
    this.#toldAt = clock.monotonic();
    const at = new Date(until).toISOString();
    const message =
      left <= 0
        ? `the certificate of this collector expired at ${at}: agents refuse it`
        : `the certificate of this collector expires at ${at}`;
    const advice = 'relight-collector certificate renew, or put a new one in its place: it is used within a minute.';
    warn(message, new RelightError('certificate-refused', message, { advice }));
    const severity = left <= 0 ? 'critical' : left <= errorMs ? 'error' : 'warning';
    const data = { certificate: this.#deps.files?.certFile ?? '', expiresAt: until, advice };
    tell({ at: clock.now(), host: '', workload: null, generation: null, kind: 'host.notice', severity, message, data });
  }

  /** A client that pins checks the certificate when TLS stands, and leaves without a word when it is another one. */
  #watchFirstWord(socket: Socket): void {
    const key = keyOf(socket);
    const { remoteAddress = '' } = socket;
    socket.once('close', () => {
      if (!this.#asked.delete(key)) this.#distrusted(remoteAddress);
    });
  }

  #distrusted(remoteAddress: string): void {
    this.#handshakeFailures += 1;
    const now = this.#deps.clock.monotonic();
    const network = networkOf(remoteAddress);
    if (now - (this.#distrust.get(network) ?? -Infinity) < distrustMs || this.#material === null) return;
    if (this.#distrust.size >= addressesMax) this.#distrust.clear();
    this.#distrust.set(network, now);
    const { certificate } = this.#material;
    const expired = certificate.validToDate.getTime() < this.#deps.clock.now();
    const why = expired ? `it expired at ${certificate.validToDate.toISOString()}` : `its fingerprint is ${fingerprintOf(certificate)}`;
    const message = `${remoteAddress} ended its TLS connection before it asked anything: it may not trust this certificate; ${why}`;
    this.#deps.warn(message, new RelightError('certificate-refused', message));
  }
}

/** The TLS socket is another object than the one below it. */
const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
