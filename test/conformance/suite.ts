/**
 * The conformance suite: what must hold of every machine under the engine, and of the engine over every machine.
 * Nothing in it knows which machine it has.
 */
import { suite } from 'node:test';
import { Checks } from './checks.ts';
import { checkFaults } from './faults.ts';
import { checkPrograms } from './programs.ts';
import type { SubjectKind } from './subject.ts';
import { checkArming, checkHold, checkMemoryThatComesAndGoes, checkStorage } from './turns.ts';

export function conformance(kind: SubjectKind): void {
  const checks = new Checks(kind);
  suite(`conformance of ${kind.name}`, () => {
    checkPrograms(checks);
    checkArming(checks);
    checkHold(checks);
    checkMemoryThatComesAndGoes(checks);
    checkStorage(checks);
    checkFaults(checks);
  });
}
