/**
 * Once per run of the integration tests: a private engine with the test image, shared by all files that do not break it.
 * A test that injects faults into an engine starts one of its own (`startPrivateEngine`).
 */
import type { TestProject } from 'vitest/node';
import { startPrivateEngine } from './engine.ts';
import { buildTestImage } from './image.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of the shared private engine's socket. */
    engineSocket: string;
    /** Name of the test image on it. */
    engineImage: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const began = performance.now();
  const engine = await startPrivateEngine();
  try {
    const image = await buildTestImage(engine);
    project.provide('engineSocket', engine.socket);
    project.provide('engineImage', image);
    console.log(`private engine at ${engine.socket} with ${image}, ready after ${Math.round(performance.now() - began)} ms`);
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return () => engine.dispose();
}
