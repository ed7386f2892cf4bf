/** Runs every transcript of this folder; see transcript.ts for how to read and write them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireProgram } from '../support/packages.ts';
import { matches, parseTranscript, runTranscript } from './transcript.ts';

const folder = join(import.meta.dirname, 'transcripts');

for (const file of readdirSync(folder).sort()) {
  const text = readFileSync(join(folder, file), 'utf8');
  const skip = reasonToSkip(text);
  test(`transcript ${file}`, { skip }, () => {
    let commands = 0;
    runTranscript(text, (command, { stdout, stderr, status }, pid) => {
      commands++;
      const context = `$ ${command.line}`;
      // assert.equal shows both texts where a stream is not as expected
      if (!matches(command.stderr, stderr, pid))
        assert.equal(stderr, command.stderr.join('\n'), `${context}: stderr`);
      if (!matches(command.stdout, stdout, pid))
        assert.equal(stdout, command.stdout.join('\n'), `${context}: stdout`);
      assert.equal(status, command.status, `${context}: exit status\n${stderr}`);
    });
    assert.ok(commands > 0, 'a transcript without a command');
  });
}

/** `# needs root`, `# needs PROGRAM (PACKAGE)`: a transcript without what it needs is skipped, and says why. */
function reasonToSkip(text: string): string | false {
  if (/^# needs root$/m.test(text) && process.getuid!() !== 0) return 'needs root';
  const programs = [...text.matchAll(/^# needs ([\w-]+) \(([\w-]+)\)$/gm)];
  const missing = programs.map(([, program, debianPackage]) => requireProgram(program!, debianPackage!).skip);
  return missing.find((reason) => reason !== false) ?? false;
}

test('the runner sees a wrong line, a missing one and one too many', () => {
  const [command] = parseTranscript('$ x\none {...} $PID\n...\n! err\n[exit 3]\n');
  assert.deepEqual(command, { line: 'x', stdout: ['one {...} $PID', '...'], stderr: ['err'], status: 3 });
  assert.ok(matches(command.stdout, 'one and 7\nmore\nand more\n', 7));
  assert.ok(matches(['a', '...', 'b'], 'a\nb\n', 7));
  assert.ok(!matches(command.stdout, 'one and 8\n', 7));
  assert.ok(!matches(['a'], 'a\nb\n', 7));
  assert.ok(!matches(['a', 'b'], 'a\n', 7));
  assert.ok(!matches([], 'a', 7));
});
