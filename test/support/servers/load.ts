/** The load generator test/targets/load.c as a Load. */
import { buildTarget } from '../build.ts';
import { startChild } from '../child.ts';
import type { Load, LoadReport } from '../servers.ts';

export interface LoadTarget {
  readonly address: { readonly unix: string } | { readonly port: number };
  readonly protocol: 'redis' | 'memcached' | 'http';
  readonly rate: number;
  readonly connections: number;
  readonly keys?: number;
  readonly valueBytes?: number;
  readonly writes?: number;
  readonly path?: string;
}

type RawReport = LoadReport & { readonly unanswered: number };

/** Starts a load on an address; for a store, all keys are written before this returns. */
export async function startLoad(target: LoadTarget): Promise<Load> {
  const { address, valueBytes, ...rest } = target;
  const options = { ...rest, ...address, 'value-bytes': valueBytes };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const program = buildTarget('load').path;
  const args = given.flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = await startChild(program, args, { readyTimeoutMs: 300_000 });
  // errors counts broken connections and wrong answers; what never came is one as well
  const whole = ({ unanswered, ...report }: RawReport): LoadReport => ({
    ...report,
    errors: report.errors + unanswered,
  });
  return {
    stop: async () => whole(await child.ask<RawReport>('stop')),
    report: async (fromNs, toNs) =>
      whole(await child.ask<RawReport>(`report ${BigInt(Math.round(fromNs))} ${BigInt(Math.round(toNs))}`)),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
