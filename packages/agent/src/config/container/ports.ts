/** `ports` in Compose's short and long forms; ranges become one entry a port. */
import { list, object, type Reader } from '../fields.ts';
import { describe, type Located } from '../located.ts';
import { fail } from '../problems.ts';
import { choice, integer, text } from '../scalars.ts';
import type { PortSpec } from '../spec.ts';

export const ports: Reader<readonly PortSpec[]> = (node) =>
  list((item) => (item.kind === 'map' ? [longPort(item)] : shortPorts(item)))(node).flat();

function shortPorts(node: Located): readonly PortSpec[] {
  const value = node.kind === 'scalar' ? node.source : '';
  const { ip, host, container, protocol } = splitPort(value) ?? malformed(node);
  const inside = range(node, container);
  const outside = host === '' ? [] : range(node, host);
  if (outside.length > 0 && outside.length !== inside.length) {
    fail(node, `${describe(node)}: the host's range has ${outside.length} ports and the container's ${inside.length}`);
  }
  return inside.map((containerPort, index) => {
    const hostPort = outside[index];
    return { containerPort, protocol, hostIp: ip, ...(hostPort === undefined ? {} : { hostPort }) };
  });
}

/** `[ip:][host:]container[/protocol]`; the address is there exactly when two colons follow outside its brackets. */
function splitPort(value: string): { ip: string; host: string; container: string; protocol: PortSpec['protocol'] } | undefined {
  const match = /^(?:(?:(\[[0-9a-fA-F:.]+\]|\d+\.\d+\.\d+\.\d+):)?(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (match?.[3] === undefined) return undefined;
  const protocol = (match[4] ?? 'tcp') as PortSpec['protocol'];
  return { ip: (match[1] ?? '').replaceAll(/[[\]]/g, ''), host: match[2] ?? '', container: match[3], protocol };
}

const malformed = (node: Located): never =>
  fail(node, `must be "[address:][host-port:]container-port[/tcp|udp|sctp]" such as "8080:80", not ${describe(node)}`);

function range(node: Located, value: string): readonly number[] {
  const [from = 0, to = from] = value.split('-').map(Number);
  if (from < 1 || to > 65_535 || to < from) fail(node, `${describe(node)}: "${value}" is not a range of ports from 1 to 65535`);
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const port = integer(1, 65_535);
const longPort = object<PortSpec>((fields) => {
  const containerPort = fields.required('target', port);
  const hostPort = fields.optional('published', port, undefined);
  const hostIp = fields.optional('host_ip', text, '');
  const protocol = fields.optional('protocol', choice('tcp', 'udp', 'sctp'), 'tcp' as const);
  fields.optional('name', text, '');
  fields.optional('mode', choice('host', 'ingress'), undefined);
  return () => ({ containerPort, protocol, hostIp, ...(hostPort === undefined ? {} : { hostPort }) });
});
