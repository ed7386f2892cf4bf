import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import type * as SnapshotModule from '../../src/engine/snapshot.ts';
import type * as BusModule from '../../src/machines/ultrasparc/bus.ts';
import type * as ComputerModule from '../../src/machines/ultrasparc/computer.ts';
import type * as CopyMapMemory from '../../src/machines/ultrasparc/copy-map-memory.ts';
import type * as MachineModule from '../../src/machines/ultrasparc/machine.ts';
import type * as StorageModule from '../../src/machines/ultrasparc/storage.ts';

/** A change of one line of the engine or of the machine. */
export interface Patch {
  /** below src/ */
  readonly file: string;
  /** stands in the file exactly once */
  readonly from: string;
  readonly to: string;
}

/** The modules under exploration: the engine and the machine, as they are or with a fault planted. */
export interface Subject {
  readonly Snapshot: typeof SnapshotModule.Snapshot;
  readonly Computer: typeof ComputerModule.Computer;
  readonly Bus: typeof BusModule.Bus;
  readonly UltrasparcMachine: typeof MachineModule.UltrasparcMachine;
  readonly UltrasparcStorage: typeof StorageModule.UltrasparcStorage;
  readonly storedContent: typeof StorageModule.storedContent;
  readonly copyMapMemory: typeof CopyMapMemory.copyMapMemory;
}

const SOURCES = new URL('../../src/', import.meta.url).href;
const patches = new Map<string, Patch>();
let registered = false;

/**
 * Loads the sources under the name of a fault, or of none. What is loaded is what runs on Linux but for two things:
 * the planted fault, and that private fields (#name) can be read from outside (_name), because the explorer has
 * to know the engine's whole state to tell whether it has been there before.
 */
export async function loadSubject(name: string, patch?: Patch): Promise<Subject> {
  if (!registered) register();
  registered = true;
  if (patch !== undefined) patches.set(name, patch);
  const load = <Module>(path: string): Promise<Module> => import(`${SOURCES}${path}?explored=${name}`);
  const machine = 'machines/ultrasparc';
  const [snapshot, computer, bus, driver, storage, map] = await Promise.all([
    load<typeof SnapshotModule>('engine/snapshot.ts'),
    load<typeof ComputerModule>(`${machine}/computer.ts`),
    load<typeof BusModule>(`${machine}/bus.ts`),
    load<typeof MachineModule>(`${machine}/machine.ts`),
    load<typeof StorageModule>(`${machine}/storage.ts`),
    load<typeof CopyMapMemory>(`${machine}/copy-map-memory.ts`),
  ]);
  return { ...snapshot, ...computer, ...bus, ...driver, ...storage, ...map };
}

function register(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const resolved = next(specifier, context);
      const name = explored(context.parentURL ?? '');
      const ours =
        resolved.url.startsWith(`${SOURCES}engine/`) || resolved.url.startsWith(`${SOURCES}machines/`);
      if (name === undefined || !ours || explored(resolved.url) !== undefined) return resolved;
      return { ...resolved, url: `${resolved.url}?explored=${name}` };
    },
    load(url, context, next) {
      const name = explored(url);
      if (name === undefined) return next(url, context);
      const path = fileURLToPath(url.slice(0, url.indexOf('?')));
      return { format: 'module-typescript', source: change(path, patches.get(name)), shortCircuit: true };
    },
  });
}

function explored(url: string): string | undefined {
  return /\?explored=(.*)$/.exec(url)?.[1];
}

function change(path: string, patch: Patch | undefined): string {
  let source = readFileSync(path, 'utf8');
  if (patch !== undefined && path.endsWith(`/src/${patch.file}`)) {
    const parts = source.split(patch.from);
    if (parts.length !== 2) throw new Error(`${patch.file} has ${parts.length - 1} times: ${patch.from}`);
    source = parts.join(patch.to);
  }
  return source.replaceAll(/(?<![\w&])#([a-z]\w*)/g, '_$1');
}
