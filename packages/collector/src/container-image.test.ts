/** The Dockerfile and the Compose file hold to the program that they start. That they build and run: test/system/image.test.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { imageOperatorFile, operatorFiles } from './cli/operator-file.ts';
import { overridesFromEnvironment, readConfig } from './config.ts';
import { collectorProgram } from './program.ts';

const folder = join(import.meta.dirname, '../docker');
const repository = join(import.meta.dirname, '../../..');
const lines = readFileSync(join(folder, 'Dockerfile'), 'utf8').replaceAll(/\\\n/g, ' ').split('\n');
/** What stands behind an instruction, of the last stage: there is one of each there. */
const instruction = (name: string): string =>
  lines.findLast((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? `no ${name} in the Dockerfile`;
const unit = readFileSync(join(folder, '../systemd/relight-collector.service'), 'utf8');
const inUnit = (key: string): string | undefined => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1];

interface Compose {
  readonly services: {
    readonly collector: {
      readonly build: { readonly context: string; readonly dockerfile: string };
      readonly ports: readonly string[];
      readonly volumes: readonly string[];
      readonly stop_grace_period: string;
      readonly ulimits: { readonly nofile: number };
      readonly [key: string]: unknown;
    };
  };
  readonly volumes: Readonly<Record<string, unknown>>;
}
const text = readFileSync(join(folder, 'compose.yaml'), 'utf8');
const compose = parse(text) as Compose;
const { collector } = compose.services;

const environment = Object.fromEntries(
  lines.filter((line) => line.startsWith('ENV ')).map((line) => line.slice('ENV '.length).split('=', 2) as [string, string]),
);
const config = readConfig(null, [overridesFromEnvironment(environment)]);
const command = parse(instruction('CMD')) as readonly string[];

test('the image starts the service as the unit does', () => {
  expect([...(parse(instruction('ENTRYPOINT')) as string[]), ...command].join(' ')).toBe(inUnit('ExecStart')?.replace('/usr/bin/', ''));
  const serve = collectorProgram(() => {}).commands.find((each) => each.name() === command[0]);
  expect(serve?.options.map(({ long }) => long)).toEqual(expect.arrayContaining(command.filter((word) => word.startsWith('--'))));
  expect(instruction('USER')).toBe(inUnit('User'));
});

test('every variable is one that the program reads, and it listens where it is reached and asked', () => {
  expect(Object.keys(environment)).toEqual(['RELIGHT_COLLECTOR_LISTEN', 'RELIGHT_OPERATOR_FILE']);
  // In the volume: the rest is read only.
  expect(operatorFiles(environment)).toEqual([`${config.dataDir}/operator.yaml`]);
  expect(operatorFiles(environment)).toEqual([imageOperatorFile]);
  expect(config.listen).toEqual({ host: '0.0.0.0', port: Number(instruction('EXPOSE')) });
  const { port } = config.listen;
  expect(collector.ports).toEqual([`\${RELIGHT_COLLECTOR_PORT:-${port}}:${port}`]);
  expect(instruction('HEALTHCHECK')).toContain(`127.0.0.1:${config.listen.port}/healthz`);
});

test('what it stores is in the volume', () => {
  expect(instruction('VOLUME')).toBe(config.dataDir);
  expect(instruction('RUN')).toContain(`install -d -m 700 -o relight-collector -g relight-collector ${config.dataDir}`);
  expect(collector.volumes).toEqual([`data:${config.dataDir}`]);
  expect(Object.keys(compose.volumes)).toEqual(['data']);
  // As the comment proposes it.
  expect(text).toContain(`:${command.at(-1)}:ro`);
});

test('Compose builds this Dockerfile from the directory that npm run package fills', () => {
  const context = join(folder, collector.build.context);
  expect(context).toBe(join(repository, 'dist'));
  expect(join(context, collector.build.dockerfile)).toBe(join(folder, 'Dockerfile'));
});

test('Compose gives it the time and the files that systemd gives it, and no rights', () => {
  expect(collector).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'], tmpfs: ['/tmp'] });
  expect(collector.stop_grace_period).toBe(`${inUnit('TimeoutStopSec')}s`);
  expect(collector.ulimits.nofile).toBe(Number(inUnit('LimitNOFILE')));
});
