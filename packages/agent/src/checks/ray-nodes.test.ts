import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeNodes, type LocalRaylets, nodeIdOf, nodesUrl, parseNodes, type RayNode } from './ray-nodes.ts';

const ip = '10.0.0.7';
const nothing: LocalRaylets = { running: [], gone: new Set(), starting: false };
const node = (id: string, alive: boolean, more: Partial<RayNode> = {}): RayNode => ({ id, ip, alive, why: '', ...more });
const judge = (nodes: readonly RayNode[], local: Partial<LocalRaylets> = {}) => judgeNodes(nodes, ip, { ...nothing, ...local });

describe('judgeNodes', () => {
  it('takes one node ALIVE at this address for ours', () => {
    expect(judge([node('aaaa1111', true), node('bbbb', false), node('cccc', true, { ip: '10.0.0.8' })])).toEqual({
      ok: true,
      message: 'the head has 10.0.0.7 ALIVE as aaaa1111',
    });
  });

  it('says in the words of the head why a node is dead', () => {
    const why = 'Unexpected termination: health check failed due to missing too many heartbeats';
    expect(judge([node('a', false, { why }), node('b', false)]).message).toBe(`the head has 10.0.0.7 DEAD: ${why}`);
    expect(judge([]).message).toBe('the head has no node at 10.0.0.7');
  });

  it('knows a zombie: its raylet runs, the head has given it up', () => {
    expect(judge([node('a', false, { why: 'health check failed' })], { running: ['a'] })).toEqual({
      ok: false,
      message: 'the head has 10.0.0.7 DEAD while its raylet runs: health check failed',
    });
    expect(judge([node('b', false)], { running: ['a'] })).toEqual({
      ok: false,
      message: 'the head does not have the raylet that runs at 10.0.0.7',
    });
  });

  it('does not take an earlier raylet, ALIVE until the head misses it, for the present one', () => {
    const stale = [node('old', true)];
    expect(judge(stale, { gone: new Set(['old']) })).toEqual({
      ok: false,
      message: 'the raylet at 10.0.0.7 is gone, the head has not noticed yet',
    });
    expect(judge(stale, { running: ['new'] }).ok).toBe(false);
    expect(judge(stale, { starting: true }).ok).toBe(false);
  });

  it('takes the present one although an earlier one is still ALIVE', () => {
    expect(judge([node('new', true), node('old', true)], { running: ['new'], gone: new Set(['old']) })).toEqual({
      ok: true,
      message: 'the head has 10.0.0.7 ALIVE as new, and has not noticed yet that an earlier raylet is gone',
    });
  });

  it('refuses two at one address, ours or not', () => {
    const two = [node('a', true), node('b', true)];
    for (const running of [[], ['a'], ['a', 'b']]) {
      expect(judge(two, { running })).toEqual({
        ok: false,
        code: 'address-in-use',
        message: 'two raylets at 10.0.0.7: the head has 2 nodes ALIVE there (a, b)',
      });
    }
  });

  const ids = fc.constantFrom('a1', 'b2', 'c3', 'd4', 'e5');
  const nodes = fc.array(
    fc.record({ id: ids, ip: fc.constantFrom(ip, '10.0.0.8'), alive: fc.boolean(), why: fc.constantFrom('', 'lost') }),
    { maxLength: 8 },
  );
  const local = fc.record({
    running: fc.uniqueArray(ids, { maxLength: 2 }),
    gone: fc.uniqueArray(ids).map((gone) => new Set(gone)),
    starting: fc.boolean(),
  });

  it('is never passed by a node that is DEAD, elsewhere, or known to be gone; DEAD ones change nothing', () => {
    fc.assert(
      fc.property(nodes, local, (rows, known) => {
        const verdict = judgeNodes(rows, ip, known);
        const fit = rows.filter(
          (row) =>
            row.ip === ip && row.alive && (known.running.includes(row.id) || (known.running.length === 0 && !known.gone.has(row.id))),
        );
        expect(verdict.ok ? fit.length : 1).toBe(1);
        const others = rows.filter((row) => row.alive && row.ip === ip);
        expect(judgeNodes(others, ip, known).ok).toBe(verdict.ok);
        expect(judgeNodes(rows.toReversed(), ip, known).ok).toBe(verdict.ok);
      }),
    );
  });
});

describe('parseNodes', () => {
  /** As Ray 2.60 answers. */
  const row = {
    node_id: '049b548fd96fd9276461cf054842ae453c6fdd7cb782d679d737be1e',
    node_ip: ip,
    is_head_node: false,
    state: 'ALIVE',
    state_message: null,
    node_name: ip,
    resources_total: { CPU: 1 },
    labels: {},
  };
  const wrap = (result: unknown): string =>
    JSON.stringify({ result: true, msg: '', data: { result: { total: 4, num_after_truncation: 4, num_filtered: 3, result } } });

  it('reads rows, whatever else they hold', () => {
    expect(parseNodes(wrap([row, { ...row, node_id: 'b', state: 'DEAD', state_message: 'lost' }]))).toEqual([
      { id: row.node_id, ip, alive: true, why: '' },
      { id: 'b', ip, alive: false, why: 'lost' },
    ]);
    expect(parseNodes(wrap([]))).toEqual([]);
  });

  it('makes nothing of anything else, and never fails', () => {
    for (const body of ['', '<html>', '[]', 'null', wrap(null), wrap([{ ...row, node_ip: 7 }]), '{"result": false, "msg": "overloaded"}'])
      expect(parseNodes(body)).toBeNull();
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (body) => void parseNodes(body)));
  });
});

it('asks by address, for more rows than a head remembers', () => {
  const url = new URL(nodesUrl('http://head:8265/', 'fd00::1'));
  expect(url.pathname).toBe('/api/v0/nodes');
  expect([...url.searchParams]).toEqual([
    ['filter_keys', 'node_ip'],
    ['filter_predicates', '='],
    ['filter_values', 'fd00::1'],
    ['limit', '1010'],
  ]);
});

it('finds the node id in the command line of a raylet', () => {
  const id = '57424db5a29b84d83fed5bd2e56d587175489a3279bd64bc3aef2d14';
  expect(nodeIdOf(`/ray/raylet\0--node_manager_port=0\0--node_id=${id}\0--node_ip_address=10.0.0.7\0`)).toBe(id);
  expect(nodeIdOf(`raylet\0--node-id\0${id}\0--x=1\0`)).toBe(id);
  expect(nodeIdOf('raylet\0--node_ip_address=10.0.0.7\0')).toBeNull();
  expect(nodeIdOf('')).toBeNull();
  fc.assert(fc.property(fc.string(), (cmdline) => void nodeIdOf(cmdline)));
});
