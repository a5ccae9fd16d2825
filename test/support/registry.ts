/** A registry on 127.0.0.1, which engines trust without TLS: images by name, or the failure that a test wants to see. */
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TestRegistry {
  /** `127.0.0.1:PORT`, the first part of image names. */
  readonly address: string;
  close(): Promise<void>;
}

export interface RegistryFailure {
  readonly status: number;
  /** Code of the distribution protocol, for instance MANIFEST_UNKNOWN. */
  readonly code: string;
}

interface Blob {
  readonly type: string;
  readonly bytes: Buffer;
}

/**
 * `images`: repository → `ok` (an image without content), a failure, or `silent` (never answers).
 * @param login `user:password` without which nobody gets anything
 */
export async function startRegistry(
  images: Readonly<Record<string, 'ok' | 'silent' | RegistryFailure>>,
  login?: string,
): Promise<TestRegistry> {
  const { manifest, blobs } = emptyImage();
  const server = createServer((request, response) => {
    if (login !== undefined && request.headers.authorization !== `Basic ${Buffer.from(login).toString('base64')}`) {
      response.writeHead(401, { 'content-type': 'application/json', 'www-authenticate': 'Basic realm="test"' });
      response.end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] }));
      return;
    }
    const [, repository = '', kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
    const image = images[repository];
    if (kind === undefined) response.end('{}');
    else if (image === 'ok') {
      const blob = kind === 'manifests' ? manifest : blobs.get(reference);
      response.writeHead(blob === undefined ? 404 : 200, {
        'content-type': blob?.type ?? 'application/json',
        'content-length': blob?.bytes.length ?? 0,
        'docker-content-digest': blob === undefined ? '' : digest(blob.bytes),
      });
      response.end(request.method === 'HEAD' ? undefined : blob?.bytes);
    } else if (image !== 'silent') {
      const { status, code } = image ?? { status: 404, code: 'NAME_UNKNOWN' };
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => close(server) };
}

/** One layer: a tar file with nothing in it. */
function emptyImage(): { manifest: Blob; blobs: ReadonlyMap<string, Blob> } {
  const layer = { type: 'application/vnd.docker.image.rootfs.diff.tar', bytes: Buffer.alloc(1024) };
  const config = {
    type: 'application/vnd.docker.container.image.v1+json',
    bytes: Buffer.from(
      JSON.stringify({
        architecture: { x64: 'amd64' }[process.arch as string] ?? process.arch,
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: [digest(layer.bytes)] },
        history: [{ created: '2026-01-01T00:00:00Z' }],
      }),
    ),
  };
  const describe = ({ type, bytes }: Blob) => ({ mediaType: type, size: bytes.length, digest: digest(bytes) });
  const type = 'application/vnd.docker.distribution.manifest.v2+json';
  const manifest = {
    type,
    bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, config: describe(config), layers: [describe(layer)] })),
  };
  return { manifest, blobs: new Map([layer, config].map((blob) => [digest(blob.bytes), blob])) };
}

const digest = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
