/** `relight-collector check`: everything the configuration needs of this machine, before the service is restarted with it. */
import { systemClock } from '@relight/shared/clock';
import { findingsText, hasError, ok, warning, type Finding } from '@relight/shared/finding';
import { columnsOf } from '@relight/shared/text-columns';
import type { Command } from 'commander';
import { statSync } from 'node:fs';
import type { CollectorConfig } from '../config.ts';
import { checkCertificate, checkConfigFile, checkDataDir, checkOpenness } from '../preflight/files.ts';
import { checkPort } from '../preflight/port.ts';
import { checkSinks } from '../preflight/sinks.ts';
import { configBeside, fileBeside, usualConfig, type ConfigFlags } from './load-config.ts';
import { becomeOwnerOf } from './tokens-beside.ts';

interface CheckFlags extends ConfigFlags {
  readonly json?: true;
}

const exitCodesHelp = `
Exit codes: 0 nothing is wrong, 1 a finding is an error,
            2 the configuration is not valid or cannot be read.
`;

export function addCheck(program: Command, exitWith: (code: 1) => void): void {
  program
    .command('check')
    .summary('preflight: what is wrong with the configuration or missing on this machine, and how to fix it')
    .description(
      'Reads the configuration, and looks at what it needs: data directory, certificate and key, port, and whether the sinks of alerts can be ' +
        'reached (nothing is posted: relight test-alert does that). Run it as root: files are looked at as the account of the service. A ' +
        'service that runs goes on as it is, and has the file from its next start on.',
    )
    .option('-c, --config <file>', 'YAML configuration, as for serve (default: /etc/relight/collector.yaml, where it is)')
    .option('--data-dir <dir>', 'where the store lives')
    .option('--json', 'one JSON document {ok, findings}')
    .addHelpText('after', exitCodesHelp)
    .action(async (flags: CheckFlags) => {
      const config = configBeside(flags);
      const findings = await preflight(config, fileBeside(flags));
      process.stdout.write(findingsText(findings, flags.json === true, columnsOf(process.stdout)));
      if (hasError(findings)) exitWith(1);
    });
}

/** What it cannot see is no fault of the installation. */
const notTheService = warning(
  'this is neither root nor the account of the service: what is said of files and ports is what this account sees',
  'sudo relight-collector check',
);

function isOfAnother(dataDir: string): boolean {
  const self = process.geteuid?.();
  if (self === 0) return false;
  try {
    return (statSync(dataDir, { throwIfNoEntry: false })?.uid ?? self) !== self;
  } catch {
    // It lies where this account may not look.
    return true;
  }
}

async function preflight(config: CollectorConfig, file: string | undefined): Promise<readonly Finding[]> {
  const { dataDir, alerts, listen } = config;
  const said = ok(file === undefined ? 'no configuration file: the defaults hold' : `the configuration ${file} is valid`);
  // As root, who sees whose the port is; from then on as the account of the service, which must be able to read what root wrote.
  const port = await checkPort(config, file, systemClock);
  const open = file === undefined ? [] : checkOpenness(file, usualConfig);
  becomeOwnerOf(dataDir);
  const data = checkDataDir(dataDir);
  // What lies in a directory that cannot be used says nothing of its own.
  const looksAtCertificate = config.tls !== null || !hasError(data);
  return [
    said,
    ...(isOfAnother(dataDir) ? [notTheService] : []),
    ...(file === undefined ? [] : checkConfigFile(file, usualConfig)),
    ...open,
    ...data,
    ...(looksAtCertificate ? checkCertificate(config, listen, systemClock.now()) : []),
    ...port,
    ...(await checkSinks(alerts.sinks, systemClock)),
  ];
}
