import type { Capabilities, Machine, Outcome, RangeSink, TrapBatch } from '../../src/engine/machine.ts';

/** The methods of a machine that can fail. */
export type Method = Exclude<keyof Machine, 'name' | 'blockBytes' | 'capabilities' | typeof Symbol.dispose>;

/** A machine in front of another one: passes every call on, and lets a test look at it. */
export class ForwardingMachine implements Machine {
  readonly inner: Machine;

  constructor(inner: Machine) {
    this.inner = inner;
  }

  /** Around every call but the disposal. */
  protected around<Result>(_method: Method, call: () => Result): Result {
    return call();
  }

  get name(): string {
    return this.inner.name;
  }
  get blockBytes(): number {
    return this.inner.blockBytes;
  }
  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  survey(found: RangeSink): boolean {
    return this.around('survey', () => this.inner.survey(found));
  }
  protect(first: number, count: number): boolean {
    return this.around('protect', () => this.inner.protect(first, count));
  }
  forecastPause(noted: number): number {
    return this.around('forecastPause', () => this.inner.forecastPause(noted));
  }
  beginHold(): void {
    this.around('beginHold', () => this.inner.beginHold());
  }
  continueHold(): 'holding' | 'held' {
    return this.around('continueHold', () => this.inner.continueHold());
  }
  abandonHold(): void {
    this.around('abandonHold', () => this.inner.abandonHold());
  }
  initial(found: RangeSink, armed: RangeSink, open: RangeSink): void {
    this.around('initial', () => this.inner.initial(found, armed, open));
  }
  resume(): void {
    this.around('resume', () => this.inner.resume());
  }
  takeTraps(traps: TrapBatch, timeoutNs: number): void {
    this.around('takeTraps', () => this.inner.takeTraps(traps, timeoutNs));
  }
  acknowledge(first: number, count: number): void {
    this.around('acknowledge', () => this.inner.acknowledge(first, count));
  }
  release(first: number, count: number): boolean {
    return this.around('release', () => this.inner.release(first, count));
  }
  granule(block: number): number {
    return this.around('granule', () => this.inner.granule(block));
  }
  copy(first: number, count: number, staging: Uint8Array, offset: number, outcome: Outcome): void {
    this.around('copy', () => this.inner.copy(first, count, staging, offset, outcome));
  }
  disarm(): boolean {
    return this.around('disarm', () => this.inner.disarm());
  }
  [Symbol.dispose](): void {
    this.inner[Symbol.dispose]();
  }
}

/** Throws at one call, before it had its effect or after it, and if `lasting` at every call from then on. */
export class FailingMachine extends ForwardingMachine {
  /** how many calls there were, and what the failing one was */
  calls = 0;
  failed: Method | undefined;
  readonly #failAt: number;
  readonly #manner: 'before' | 'after' | 'lasting';

  constructor(inner: Machine, failAt: number, manner: 'before' | 'after' | 'lasting') {
    super(inner);
    this.#failAt = failAt;
    this.#manner = manner;
  }

  protected override around<Result>(method: Method, call: () => Result): Result {
    const index = this.calls++;
    const fails = index === this.#failAt || (this.#manner === 'lasting' && index > this.#failAt);
    if (!fails) return call();
    this.failed ??= method;
    if (this.#manner === 'after') call();
    throw new Error(`made to fail: call ${index}, ${method}`);
  }
}
