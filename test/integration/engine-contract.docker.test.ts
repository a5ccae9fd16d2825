import { inject } from 'vitest';
import { DockerEngine } from '../../packages/agent/src/engine/docker-engine.ts';
import { startPrivateEngine } from '../support/engine.ts';
import { buildTestImage } from '../support/image.ts';
import { engineContract } from './engine-contract.ts';

engineContract('the Docker adapter', async () => {
  const engine = new DockerEngine({ socketPath: inject('engineSocket') });
  const daemon = await startPrivateEngine();
  await buildTestImage(daemon);
  return {
    engine,
    image: inject('engineImage'),
    fragile: {
      engine: new DockerEngine({ socketPath: daemon.socket }),
      stop: () => daemon.stop(),
      start: () => daemon.start(),
      freeze: () => daemon.freeze(),
      thaw: () => daemon.thaw(),
    },
    async dispose() {
      for (const id of await engine.list({})) {
        if ((await engine.inspect(id))?.name.startsWith('contract-') === true) await engine.remove(id);
      }
      await daemon.dispose();
    },
  };
});
