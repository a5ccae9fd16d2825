/** What gcsfuse needs beside the rights to mount: a bucket that can exist, and credentials. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorMessage } from '@relight/shared/errors';
import { templateNames } from '../../config/interpolate.ts';
import type { ContainerSpec, MountSpec, WorkloadSpec } from '../../config/spec.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';

type Gcsfuse = Extract<MountSpec, { type: 'gcsfuse' }>;

/** @param root '/' is the host's own */
export async function checkBuckets(workload: WorkloadSpec, root: string): Promise<readonly Finding[]> {
  const mounts = workload.mounts.filter((mount) => mount.type === 'gcsfuse');
  if (mounts.length === 0) return [];
  const credentials = await Promise.all(mounts.map((mount) => checkCredentials(workload, mount, root)));
  return [...mounts.flatMap((mount) => bucketName(workload.name, mount)), ...credentials.flat()];
}

/** As Google has it: https://cloud.google.com/storage/docs/buckets#naming */
export function bucketFault(bucket: string): string | null {
  if (bucket.startsWith('gs://')) return 'write it without gs://';
  if (bucket.includes('/')) return 'a directory of it goes into only_dir';
  if (!/^[a-z0-9._-]+$/.test(bucket)) return 'lower-case letters, digits, "-", "_" and "." only';
  if (!/^[a-z0-9].*[a-z0-9]$/.test(bucket)) return 'it begins and ends with a letter or digit';
  if (bucket.length < 3 || bucket.length > 222 || bucket.split('.').some((part) => part.length > 63)) return 'it has 3 to 63 characters';
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bucket)) return 'it is no IP address';
  return /^goog|google/.test(bucket) ? 'no name begins with goog or contains google' : null;
}

function bucketName(workload: string, { name, bucket }: Gcsfuse): readonly Finding[] {
  // Known when it is mounted.
  if (bucket === '' || bucket === '_' || templateNames(bucket).names.length > 0) return [];
  const fault = bucketFault(bucket);
  if (fault === null) return [];
  return [error(`${workload}: mount ${name}: "${bucket}" cannot be the name of a bucket: ${fault}`, 'Correct bucket.')];
}

async function checkCredentials({ name: workload, container }: WorkloadSpec, mount: Gcsfuse, root: string): Promise<readonly Finding[]> {
  const title = `${workload}: mount ${mount.name}`;
  const flag = (name: string): string | undefined => {
    const at = mount.options.findIndex((option) => option === name || option.startsWith(`${name}=`));
    const option = mount.options[at];
    return option === undefined ? undefined : option.includes('=') ? option.slice(option.indexOf('=') + 1) : mount.options[at + 1];
  };
  const open = ['--anonymous-access', '--token-url', '--custom-endpoint', '--config-file'].some(
    (name) => flag(name) !== undefined || mount.options.includes(name),
  );
  if (open) return [];
  const keyFile = flag('--key-file') ?? container.environment['GOOGLE_APPLICATION_CREDENTIALS'];
  if (keyFile !== undefined) return [await checkKey(title, keyFile, container, root)];
  // `gcloud auth application-default login`, bound from the host.
  const bound = container.volumes.some(({ target }) => target.includes('/.config/gcloud') || target.endsWith('/.config'));
  const product = await readFile(join(root, 'sys/class/dmi/id/product_name'), 'utf8').catch(() => '');
  if (product.includes('Google')) return [ok(`${title}: the service account of this machine gives the credentials`)];
  if (bound || container.adopt !== undefined) return [];
  return [
    warning(
      `${title}: this is no machine of Google Cloud, and gcsfuse is given no credentials`,
      'Bind a key file (volumes) and name it: environment: {GOOGLE_APPLICATION_CREDENTIALS: /path/in/the/container}.',
    ),
  ];
}

/** The path is the container's; a volume tells where it lies on the host. */
async function checkKey(title: string, keyFile: string, { volumes }: ContainerSpec, root: string): Promise<Finding> {
  const volume = volumes.find(({ type, target }) => type === 'bind' && (keyFile === target || keyFile.startsWith(`${target}/`)));
  if (volume === undefined) return ok(`${title}: the key file ${keyFile} is the image's own business`);
  const path = join(volume.source, keyFile.slice(volume.target.length));
  const fix = `Put the key of a service account there: ${path}, or correct it.`;
  try {
    const { type } = JSON.parse(await readFile(join(root, path), 'utf8')) as { type?: string };
    if (type === undefined) return error(`${title}: ${path} is no key file (it has no "type")`, fix);
    return ok(`${title}: the key file ${path} is readable (${type})`);
  } catch (thrown) {
    // Never its content: a syntax error quotes it.
    const why = thrown instanceof SyntaxError ? 'it is no JSON' : errorMessage(thrown);
    return error(`${title}: the key file ${path}: ${why}`, fix);
  }
}
