/**
 * The whole state of the engine and of the snapshot program, between two steps of the loop, as a text: two with the
 * same text go on alike. All that can be reached from the snapshot counts, with these exceptions:
 */
const NOT_STATE: Record<string, readonly string[]> = {
  // the machine itself has its own state
  Bus: ['*'],
  Computer: ['*'],
  Leaf32: ['*'],
  // refilled before each use
  TrapBatch: ['*'],
  Outcome: ['*'],
  // where a search is begun first, never what it finds
  CopyMap: ['_lastKey', '_lastLeaf'],
  // counted, and never read by the engine
  Statistics: [
    'initial',
    'early',
    'trapped',
    'swept',
    'zero',
    'unreliable',
    'lost',
    'absent',
    'traps',
    'converged',
    'waits',
  ],
};

export function fingerprint(root: object): string {
  const seen = new Map<object, number>();
  let text = '';
  const walk = (value: unknown): void => {
    if (typeof value === 'function') return;
    if (typeof value !== 'object' || value === null) {
      text += `${String(value)},`;
      return;
    }
    const known = seen.get(value);
    if (known !== undefined) {
      text += `@${known},`;
      return;
    }
    seen.set(value, seen.size);
    if (ArrayBuffer.isView(value)) walkWords(value as Uint32Array);
    else if (value instanceof Map) for (const [key, item] of value) walkBoth(key, item);
    else if (value instanceof Error) text += value.message;
    else if (value instanceof Set || value instanceof WeakMap || value instanceof Promise)
      throw new Error(`a ${value.constructor.name} is state that this does not read`);
    else walkObject(value);
    text += ';';
  };
  const walkBoth = (key: unknown, item: unknown): void => {
    walk(key);
    walk(item);
  };
  const walkWords = (words: Uint32Array): void => {
    for (let index = 0; index < words.length; index++)
      if (words[index] !== 0) text += `${index}=${words[index]},`;
  };
  const walkObject = (object: object): void => {
    const { name } = object.constructor;
    const skip = NOT_STATE[name] ?? [];
    if (skip[0] === '*') return;
    const gone = skip.find((field) => !Object.hasOwn(object, field));
    if (gone !== undefined) throw new Error(`${name} has no field ${gone} that could be left out`);
    for (const [key, item] of Object.entries(object)) {
      if (skip.includes(key)) continue;
      text += `${key}:`;
      walk(item);
    }
  };
  walk(root);
  return text;
}
