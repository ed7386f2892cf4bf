/** `npm run check`: everything that can be said about the code without running the suite. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../test/support/packages.ts';
import { runSamples } from './samples.ts';
import { command, runSteps, type Step } from './steps.ts';

process.chdir(join(import.meta.dirname, '..'));

const node = process.execPath;
const tsc = 'node_modules/typescript/bin/tsc';

const ok = await runSteps({
  'biome: format and lint': command('node_modules/.bin/biome', 'ci', '--colors=off', '.'),
  'oxlint: floating promises': command('node_modules/.bin/oxlint', '--type-aware'),
  'tsc: everything': command(node, tsc, '-p', '.'),
  'tsc: the engine without an OS': command(node, tsc, '-p', 'src/engine/tsconfig.json', '--noEmit'),
  'tsc: what is published': command(node, tsc, '-p', 'tsconfig.build.json', '--noEmit'),
  'architecture: arrows, koffi, constants, paths': command(node, '--test', 'test/architecture/*.test.ts'),
  'documents that must be there': documents,
  'table of rights is up to date': command(node, 'scripts/rights.ts', '--check'),
  'man page is up to date': command(node, 'scripts/man.ts', '--check'),
  'man page is well formed': manPage(),
  'figures of the method are up to date': command(node, 'scripts/figures.ts', '--check'),
  'samples of the documents run': runSamples,
});
process.exitCode = ok ? 0 : 1;

function documents(): string[] {
  const wanted = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'LICENSE',
    'ARCHITECTURE.md',
  ];
  return wanted.filter((file) => !existsSync(file)).map((file) => `${file} is missing`);
}

/** mandoc is stricter than man; where neither is installed there is nothing to ask. */
function manPage(): Step {
  if (findProgram('mandoc')) return command('mandoc', '-T', 'lint', '-W', 'error', 'man/livecore.1');
  if (findProgram('groff')) return command('groff', '-ww', '-z', '-man', 'man/livecore.1');
  return () => {
    console.log('         neither mandoc nor groff is here: the page is not checked');
    return [];
  };
}
