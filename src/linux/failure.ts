/** From a negative result to an error. Hot functions return `-errno`; the throwing ones are built on them. */

import { type ErrorFields, LivecoreError } from '../errors.ts';
import { errnoName } from './errno.ts';

/**
 * The error for a failed call.
 *
 * @param action what was tried, in the infinitive: "open /proc/5/mem"
 * @param result the negative errno that the function returned
 */
export function failure(
  action: string,
  syscall: string,
  result: number,
  fields: ErrorFields = {},
): LivecoreError {
  return new LivecoreError('SYSTEM_CALL', `${action}: ${syscall} failed with ${errnoName(-result)}`, {
    ...fields,
    syscall,
    errno: -result,
  });
}

/** Returns `result` unless it is a negative errno, for which it throws. */
export function check(result: number, action: string, syscall: string, fields?: ErrorFields): number {
  if (result < 0) throw failure(action, syscall, result, fields);
  return result;
}
