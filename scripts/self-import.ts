/** For `node --import`: in a sample, 'livecore' is this checkout's front door, whatever is or is not built. */
import { registerHooks } from 'node:module';

const door = new URL('../src/index.ts', import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'livecore'
      ? { url: door, format: 'module-typescript', shortCircuit: true }
      : next(specifier, context),
});
