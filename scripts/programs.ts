/**
 * The programs that the tests use beside Node, each with the Debian package that brings it: the one list of
 * them. livecore itself needs none. As root, what is missing is installed, after saying so; otherwise the
 * command is shown, and what needs the program skips with its reason.
 */
import { requireProgram } from '../test/support/packages.ts';

/** Program, Debian package, what for. */
export const testPrograms: readonly (readonly [program: string, debianPackage: string, why: string])[] = [
  ['gcc', 'gcc', 'targets in C; kernel constants compared with the headers'],
  ['gencat', 'libc6-dev', 'the headers of the C library (gencat comes with them)'],
  ['gdb', 'gdb', 'reads cores; brings gcore, to compare with'],
  ['lldb', 'lldb', 'reads cores'],
  ['readelf', 'binutils', 'reads cores'],
  ['eu-readelf', 'elfutils', 'reads cores'],
  ['musl-gcc', 'musl-tools', 'targets against another C library'],
  ['redis-server', 'redis-server', 'a real target'],
  ['postgres', 'postgresql', 'a real target; brings pgbench and psql'],
  ['nginx', 'nginx-light', 'a real target'],
  ['memcached', 'memcached', 'a real target'],
  ['python3', 'python3', 'a real target'],
  ['tmux', 'tmux', 'a real target, whose terminal the command is shown on'],
  ['mkfs.ext4', 'e2fsprogs', 'a disk of its own, to hang'],
  ['javac', 'openjdk-17-jdk-headless', 'a real target; brings java and jhsdb'],
  ['mandoc', 'mandoc', 'checks the man page'],
  ['zsh', 'zsh', 'loads the completion'],
  ['fish', 'fish', 'loads the completion'],
];

/** Finds or installs them all; returns why, for each that can't be had. */
export function preparePrograms(): string[] {
  return testPrograms.flatMap(([program, debianPackage, why]) => {
    const { skip } = requireProgram(program, debianPackage);
    return skip === false ? [] : [`${skip} (${why})`];
  });
}
