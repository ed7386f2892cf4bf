/** What every command gets: its voice, and the parts of livecore that load only when a command runs. */
import type { Dump } from '../dump-types.ts';
import type { Ending, Voice } from './voice.ts';

export interface Context {
  readonly voice: Voice;
  /** loads the library, which takes longer than all of the help */
  readonly loadDump: () => Promise<Dump>;
  /** how the command ended; the last one counts, `whole` if none is set */
  ending: Ending;
  /** set once a core is where it was wanted */
  core?: 'written';
}
