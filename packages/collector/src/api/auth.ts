/** Who may ask: operators, with `Authorization: Bearer TOKEN`. Only `/healthz` answers without. */
import type { FastifyInstance } from 'fastify';
import { RelightError } from '@relight/shared/errors';
import type { Store } from '../store/store.ts';

const publicPath = '/healthz';

export function registerAuth(app: FastifyInstance, store: Pick<Store, 'checkToken'>): void {
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.url === publicPath) return;
    const token = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) throw new RelightError('unauthorized', 'the request has no Authorization: Bearer TOKEN');
    const known = store.checkToken(token);
    if (known === null) throw new RelightError('unauthorized', 'the token is unknown or revoked');
    if (known.kind !== 'operator') throw new RelightError('forbidden', `this is an ${known.kind} token`);
  });
}
