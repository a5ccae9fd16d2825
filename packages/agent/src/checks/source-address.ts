/**
 * The address that a machine, or a container, has towards another one: how Ray itself finds the address of a node. A connected
 * UDP socket tells it; no packet is sent.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { runChild } from '@relight/shared/child';
import { sharesHostNetwork } from './network.ts';
import type { ProbeContext } from './probe.ts';

/** Where Ray on a head looks: behind the loopback interface there is only the machine itself. */
const outside = { host: '8.8.8.8', port: 53 };

interface Peer {
  readonly host: string;
  readonly port: number;
}

/** CommonJS for `node -e` in the container's network; prints the address. */
const script = `
const { host, port, type } = JSON.parse(process.argv[1]);
const socket = require('node:dgram').createSocket(type);
socket.once('error', (error) => { console.error(error.message); process.exit(1); });
socket.connect(port, host, () => { process.stdout.write(socket.address().address, () => process.exit(0)); });`;

/** Rejects when there is no route or the name is not known. */
export async function sourceAddress(peer: Peer, context: ProbeContext): Promise<string> {
  const ask = sharesHostNetwork(context.containerPid) ? fromHere : (to: Peer) => fromContainer(to, context);
  const address = await ask(peer);
  return /^(?:127\.|::1$)/.test(address) ? ask(outside) : address;
}

const socketType = ({ host }: Peer): 'udp4' | 'udp6' => (isIPv6(host) ? 'udp6' : 'udp4');

function fromHere(peer: Peer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(socketType(peer));
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.connect(peer.port, peer.host, () => {
      const { address } = socket.address();
      socket.close();
      resolve(address);
    });
  });
}

async function fromContainer(peer: Peer, { containerPid, clock, timeoutMs, signal }: ProbeContext): Promise<string> {
  const question = JSON.stringify({ ...peer, type: socketType(peer) });
  const child = await runChild({
    argv: ['nsenter', '-t', String(containerPid), '-n', '--', process.execPath, '-e', script, question],
    clock,
    timeoutMs,
    signal,
    env: { PATH: process.env['PATH'] },
  });
  if (child.exitCode === 0) return child.stdout.trim();
  throw new Error(child.spawnError === null ? child.stderr.trim() || 'no answer' : `nsenter cannot be started: ${child.spawnError}`);
}
