import { memory } from './memory-subject.ts';
import { conformance } from './suite.ts';

conformance(memory);
