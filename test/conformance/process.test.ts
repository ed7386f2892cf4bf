import { test } from 'node:test';
import { buildTarget } from '../support/build.ts';
import { linuxProcess } from './process-subject.ts';
import { conformance } from './suite.ts';

const skip = process.getuid?.() === 0 ? buildTarget('actors').skip : 'tracing a process takes root';

if (skip === false) conformance(linuxProcess);
else test('conformance of process', { skip });
