/** Where the head is: given by hand, named in the file, or asked of the cloud before every start, since a new head has a new address. */
import { RelightError } from '@relight/shared/errors';
import { quoteShellWords } from '@relight/shared/shell-quote';
import { isAddress } from '../../scalars.ts';
import type { RayWorker } from './cluster.ts';
import type { RayReport } from './report.ts';

/** As in `vars` of the configuration. */
export type VariableDraft = string | { readonly run: string; readonly timeout: string };

/** `given`: HOST or HOST:PORT. Fails with usage. */
export function headHost(given: string): string {
  const host = given.replace(/:\d+$/, '');
  if (isAddress(`${host}:1`)) return host;
  throw new RelightError('usage', `--head ${JSON.stringify(given)} is no address of a host`, {
    advice: 'Write a host name or an IP address: --head 10.0.0.2',
  });
}

export function headVariable(worker: RayWorker, given: string | undefined, report: RayReport): VariableDraft {
  if (given !== undefined) return headHost(given);
  const { provider, clusterName } = worker;
  if (provider['head_ip'] !== undefined) return provider['head_ip'];
  const run = cloudQuestion(provider, clusterName);
  if (run !== null) {
    report.changed(1, 'RAY_HEAD_IP: asked of the cloud before every start, with the credentials of this host; or give --head');
    return { run, timeout: '30s' };
  }
  report.look(
    1,
    `RAY_HEAD_IP: the file (provider ${provider['type'] ?? 'unknown'}) does not say where the head is; give --head, or write it under vars:`,
  );
  return { run: "echo 'write the address of the head under vars: RAY_HEAD_IP' >&2; exit 1", timeout: '5s' };
}

/** Ray labels its machines with the cluster's name and their kind. */
function cloudQuestion(provider: RayWorker['provider'], cluster: string): string | null {
  const { type, project_id: project, region } = provider;
  if (type === 'gcp') {
    const filter = `labels.ray-cluster-name=${cluster} AND labels.ray-node-type=head AND status=RUNNING`;
    const argv = ['gcloud', 'compute', 'instances', 'list', ...(project === undefined ? [] : [`--project=${project}`])];
    return oneLine(quoteShellWords([...argv, `--filter=${filter}`, '--format=value(networkInterfaces[0].networkIP)']));
  }
  if (type !== 'aws') return null;
  const filters = [
    `Name=tag:ray-cluster-name,Values=${cluster}`,
    'Name=tag:ray-node-type,Values=head',
    'Name=instance-state-name,Values=running',
  ];
  const argv = ['aws', 'ec2', 'describe-instances', ...(region === undefined ? [] : ['--region', region]), '--filters', ...filters];
  return oneLine(quoteShellWords([...argv, '--query', 'Reservations[].Instances[].PrivateIpAddress', '--output', 'text']));
}

/** No head, no value: an empty answer must be a failure, not an address. */
const oneLine = (command: string): string => `${command} | head -n 1 | grep .`;

/** What newer Ray versions are told of the machine; elsewhere the host's name serves. */
export function instanceVariable({ provider }: RayWorker): VariableDraft | null {
  const { type } = provider;
  if (type === 'gcp') {
    return {
      run: 'curl -fsS -m 5 -H Metadata-Flavor:Google http://metadata.google.internal/computeMetadata/v1/instance/name || hostname',
      timeout: '10s',
    };
  }
  if (type === 'aws') {
    const base = 'http://169.254.169.254/latest';
    return {
      run: `curl -fsS -m 5 -H "X-aws-ec2-metadata-token: $(curl -fsS -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' ${base}/api/token)" ${base}/meta-data/instance-id || hostname`,
      timeout: '15s',
    };
  }
  return null;
}
