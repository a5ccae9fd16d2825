/** Once per run of the tests with real parts: a private engine with the images of Ray and gcsfuse. */
import type { TestProject } from 'vitest/node';
import { startPrivateEngine } from '../engine.ts';
import { loadRealParts, type RealParts } from './ray-image.ts';

declare module 'vitest' {
  interface ProvidedContext {
    realParts: RealParts;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const began = performance.now();
  const engine = await startPrivateEngine();
  try {
    const parts = await loadRealParts(engine);
    project.provide('engineSocket', engine.socket);
    project.provide('realParts', parts);
    console.log(`private engine at ${engine.socket} with ${parts.image}, ready after ${Math.round(performance.now() - began)} ms`);
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return () => engine.dispose();
}
