/**
 * Pure: what the head of a Ray cluster says of one node, and what that means. Facts as of Ray 2.60: `/api/v0/nodes` gives at
 * most 100 rows unless asked for more; every raylet that ever was at an address stays in the list as DEAD; one that was killed
 * stays ALIVE until it has missed its health checks, up to 18 s. So right after a restart two rows of one address are ALIVE.
 */
import * as z from 'zod';

const row = z.object({
  node_id: z.string(),
  node_ip: z.string(),
  state: z.string(),
  state_message: z.string().nullish(),
});
const answer = z.object({
  result: z.literal(true),
  data: z.object({ result: z.object({ result: z.array(row) }) }),
});

export interface RayNode {
  readonly id: string;
  readonly ip: string;
  readonly alive: boolean;
  /** Why it is dead, in Ray's words; '' when it says nothing. */
  readonly why: string;
}

/** The GCS remembers 1,000 dead nodes; none of them may push the living one out of the answer. */
const rowsMax = 1_010;

export function nodesUrl(dashboard: string, ip: string): string {
  const query = new URLSearchParams({
    filter_keys: 'node_ip',
    filter_predicates: '=',
    filter_values: ip,
    limit: String(rowsMax),
  });
  return `${dashboard.replace(/\/+$/, '')}/api/v0/nodes?${query.toString()}`;
}

/** Null: not an answer of Ray's state API. */
export function parseNodes(body: string): readonly RayNode[] | null {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return null;
  }
  const parsed = answer.safeParse(json);
  if (!parsed.success) return null;
  return parsed.data.data.result.result.map(({ node_id: id, node_ip: ip, state, state_message: why }) => ({
    id,
    ip,
    alive: state === 'ALIVE',
    why: why ?? '',
  }));
}

/** What is known on the host, without the head. */
export interface LocalRaylets {
  /** Node ids of the raylets that run in the container; empty: none is seen, or its id is not. */
  readonly running: readonly string[];
  /** Node ids of raylets that ran in this workload's containers and are gone. */
  readonly gone: ReadonlySet<string>;
  /** `ray start` runs in the container, and no raylet yet: whatever the head has ALIVE here is an earlier one. */
  readonly starting: boolean;
}

export interface NodeVerdict {
  readonly ok: boolean;
  readonly message: string;
  /** Two raylets at one address: what holds it must be found, and trying again mends it at most once. */
  readonly code?: 'address-in-use';
}

export const noRayletYet: NodeVerdict = { ok: false, message: 'no raylet runs in the container' };

/** Is this host's node of use to the cluster? DEAD twins say nothing; an ALIVE twin counts only when we saw it end. */
export function judgeNodes(nodes: readonly RayNode[], ip: string, { running, gone, starting }: LocalRaylets): NodeVerdict {
  if (starting) return noRayletYet;
  const here = nodes.filter((node) => node.ip === ip);
  const alive = here.filter((node) => node.alive);
  const present = alive.filter(({ id }) => !gone.has(id) || running.includes(id));
  const mine = running.length === 0 ? present : present.filter(({ id }) => running.includes(id));
  if (mine.length === 0) return { ok: false, message: absence(here, alive, ip, running) };
  if (present.length > 1) {
    const ids = present.map(short).join(', ');
    return {
      ok: false,
      code: 'address-in-use',
      message: `two raylets at ${ip}: the head has ${present.length} nodes ALIVE there (${ids})`,
    };
  }
  const late = alive.length - present.length;
  const twins =
    late === 0 ? '' : `, and has not noticed yet that ${late === 1 ? 'an earlier raylet is' : `${late} earlier raylets are`} gone`;
  return { ok: true, message: `the head has ${ip} ALIVE as ${mine.map(short).join('')}${twins}` };
}

function absence(here: readonly RayNode[], alive: readonly RayNode[], ip: string, running: readonly string[]): string {
  const dead = here.find((node) => !node.alive && running.includes(node.id));
  if (dead !== undefined) return `the head has ${ip} DEAD while its raylet runs${because(dead)}`;
  if (running.length > 0) return `the head does not have the raylet that runs at ${ip}`;
  if (alive.length > 0) return `the raylet at ${ip} is gone, the head has not noticed yet`;
  // The newest first is how Ray lists them.
  const last = here[0];
  return last === undefined ? `the head has no node at ${ip}` : `the head has ${ip} DEAD${because(last)}`;
}

const short = ({ id }: RayNode): string => id.slice(0, 8);
const because = ({ why }: RayNode): string => (why === '' ? '' : `: ${why}`);

/** The node id in the command line of a raylet, as the kernel gives it; null: this Ray does not put it there. */
export function nodeIdOf(cmdline: string): string | null {
  const found = /^--node[_-]id[=\0]([0-9a-f]{8,})$/m.exec(cmdline.replaceAll(/(--node[_-]id)\0/g, '$1=').replaceAll('\0', '\n'));
  return found?.[1] ?? null;
}
