/** Once per run of the tests of installed packages: the packages themselves, and an engine with the image of a machine. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { buildPackages, lastCommit } from '../../../scripts/package/build-packages.ts';
import { startPrivateEngine } from '../engine.ts';
import { importTar } from '../image.ts';
import { ownedDirectory } from '../owned-directory.ts';
import { laterVersion } from './later-version.ts';
import { machineImage, prepareMachineImage } from './machine-image.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Directory with the packages of this version, and with the Debian packages of a later one. */
    packages: string;
    machineImage: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const began = performance.now();
  // Sources without their history, or a machine without git: any date does, if it is the same for all that is built here.
  if ((process.env['SOURCE_DATE_EPOCH'] ?? '') === '' && lastCommit() === '') process.env['SOURCE_DATE_EPOCH'] = '1700000000';
  const tar = await prepareMachineImage();
  const packages = ownedDirectory('relight-packages-');
  const engine = await startPrivateEngine();
  const dispose = async (): Promise<void> => {
    await engine.dispose();
    await rm(packages, { recursive: true, force: true });
  };
  try {
    await importTar(engine.socket, machineImage, tar);
    const architectures = [process.arch === 'arm64' ? 'arm64' : 'amd64'] as const;
    await buildPackages({ architectures, out: packages });
    await buildPackages({ architectures, out: join(packages, 'later'), version: laterVersion, formats: ['deb'] });
    project.provide('engineSocket', engine.socket);
    project.provide('packages', packages);
    project.provide('machineImage', machineImage);
    console.log(`packages in ${packages}, machines on ${engine.socket}, ready after ${Math.round(performance.now() - began)} ms`);
  } catch (error) {
    await dispose();
    throw error;
  }
  return dispose;
}
