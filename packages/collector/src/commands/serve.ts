/** `relight-collector serve`: the service. Logs are JSON lines on stderr; stdout stays empty. */
import { systemClock } from '@relight/shared/clock';
import type { RelightError } from '@relight/shared/errors';
import { isJournal, journalLine } from '@relight/shared/journal';
import { tellingWhy } from '@relight/shared/start-refusal';
import { Systemd } from '@relight/shared/systemd';
import type { Command } from 'commander';
import { type DestinationStream, pino } from 'pino';
import { createCollector } from '../app.ts';
import type { CollectorConfig } from '../config.ts';
import { startRounds } from '../service-rounds.ts';
import { loadConfig, type ConfigFlags } from './load-config.ts';

export function addServe(program: Command, version: string): void {
  program
    .command('serve')
    .summary('the service: API and agents on one port')
    .description('Runs the collector until SIGTERM or SIGINT: API and agents on one port. Its log is JSON on stderr.')
    .option('--config <file>', 'YAML configuration')
    .option('--listen <host:port>', 'where to listen (default: 127.0.0.1:7460; port 0: any free one, see the log)')
    .option('--data-dir <dir>', 'where the store lives (default: /var/lib/relight-collector)')
    .action((flags: ConfigFlags) =>
      tellingWhy(async (serves) => serve(loadConfig(flags), version, serves), {
        env: process.env,
        clock: systemClock,
        check: 'relight-collector check',
      }),
    );
}

/** Resolves after a clean end. */
async function serve(config: CollectorConfig, version: string, serves: () => void): Promise<void> {
  const form = { formatters: { level: (level: string) => ({ level }) }, timestamp: pino.stdTimeFunctions.isoTime };
  const stderr = pino.destination({ dest: 2, sync: true });
  const journal: DestinationStream = { write: (line) => void stderr.write(journalLine(line)) };
  const logger = pino({ name: 'relight-collector', ...form }, isJournal(2, process.env) ? journal : stderr);
  const systemd = new Systemd({ env: process.env, clock: systemClock, onError: (message) => logger.warn(message) });
  const signalled = firstSignal(logger);
  const onFatal = (error: RelightError): never => {
    const { code, message, advice } = error;
    logger.fatal({ err: error, code, advice }, `${message}: nothing can be stored any more, ending`);
    // At once, agents keep what is not acknowledged; whoever starts services starts this one again.
    process.exit(1);
  };
  const collector = await createCollector({ config, clock: systemClock, logger, version, onFatal });
  try {
    const { url } = await collector.listen();
    serves();
    logger.info({ url, dataDir: config.dataDir, version }, `listening on ${url}`);
    systemd.ready(collector.words(url));
    const onProgress = (): void => {
      systemd.progress();
      systemd.status(collector.words(url));
    };
    const rounds = startRounds({ clock: systemClock, prove: () => collector.proveProgress(), onProgress });
    await signalled;
    rounds.close();
    await systemd.stopping();
  } finally {
    await collector.close();
  }
  logger.info('stopped');
}

/** The first signal ends the service in order; the second one at once. */
function firstSignal(logger: { info(message: string): void }): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      let seen = false;
      process.on(signal, () => {
        if (seen) process.exit(1);
        seen = true;
        logger.info(`${signal}: stopping`);
        resolve();
      });
    }
  });
}
