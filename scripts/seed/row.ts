/**
 * One statement of the document that says what the system does or may do, the line of code that makes it true, and
 * the test that fails when that line is broken. `npm run verify:seed` breaks each line and runs its test.
 */
export interface Row {
  /** where the document says it */
  readonly place: string;
  readonly statement: string;
  /** the file of the line, below src/ */
  readonly file: string;
  /** the line, or a part of it: stands in the file exactly once */
  readonly from: string;
  /** the line broken: the program is still one, and does something else */
  readonly to: string;
  /** the file of the test */
  readonly testFile: string;
  /** the name of the test, or how it begins */
  readonly test: string;
}

const MACHINE = 'machines/ultrasparc';
export const SNAPSHOT_TESTS: string = `src/${MACHINE}/computer-snapshot.test.ts`;
export const COMPUTER_TESTS: string = `src/${MACHINE}/computer.test.ts`;
export const PROCESSOR_TESTS: string = `src/${MACHINE}/processor.test.ts`;
export const SHAPE_TESTS: string = `src/${MACHINE}/shape.test.ts`;
export const TLB_TESTS: string = `src/${MACHINE}/tlb.test.ts`;
export const TTE_TESTS: string = `src/${MACHINE}/tte.test.ts`;
export const LOG_TESTS: string = `src/${MACHINE}/log.test.ts`;
