/**
 * The victim of crash-upkeep.test.ts: brings a data directory to the present schema, which moves its logs into log files, and seals
 * those; says where it is, one word each, until it is killed. Argument: data directory.
 */
import { systemClock } from '@relight/shared/clock';
import { writeSync } from 'node:fs';
import { openStore } from './sqlite-store.ts';

const [dataDir = ''] = process.argv.slice(2);
const say = (line: string): void => void writeSync(1, `${line}\n`);
say('opening');
const store = await openStore({ dataDir, clock: systemClock });
say('sealing');
await store.sealLogs();
say('sealed');
await store.close();
