/** The first file system of a virtual machine: files of this machine, in the archive that kernels unpack (cpio, newc). */
import { execFileSync } from 'node:child_process';
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, realpathSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

const S_IFDIR = 0o040755;
const S_IFREG = 0o100755;
const ALIGNMENT = 4;

/** An archive that is being written. */
export class Initramfs implements Disposable {
  readonly #fd: number;
  readonly #folders = new Set(['/', '.']);
  readonly #files = new Set<string>();
  #inode = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'wx', 0o600);
  }

  /** A file with this content; folders above it come first. */
  file(path: string, bytes: Uint8Array): void {
    if (this.#files.has(path)) return;
    this.#files.add(path);
    this.folder(dirname(path));
    this.#entry(path, S_IFREG, bytes);
  }

  folder(path: string): void {
    if (this.#folders.has(path)) return;
    this.#folders.add(path);
    this.folder(dirname(path));
    this.#entry(path, S_IFDIR, new Uint8Array());
  }

  /** A file or all of a folder of this machine, at the same place there or at another. */
  copy(from: string, to: string = from): void {
    if (lstatSync(from).isDirectory())
      for (const name of readdirSync(from)) this.copy(join(from, name), join(to, name));
    else this.file(to, readFileSync(from));
  }

  /** A program with the libraries that it is linked with (ldd(1)). */
  program(from: string, to: string = from): void {
    this.copy(from, to);
    const libraries = execFileSync('sh', ['-c', 'ldd "$0" || true', from], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    for (const [, path] of libraries.matchAll(/(\/\S+) \(0x/g))
      this.file(path!, readFileSync(realpathSync(path!)));
  }

  [Symbol.dispose](): void {
    this.#entry('TRAILER!!!', 0, new Uint8Array());
    closeSync(this.#fd);
  }

  /** Documentation/driver-api/early-userspace/buffer-format.rst: 13 numbers of 8 hexadecimal digits behind a magic one. */
  #entry(path: string, mode: number, bytes: Uint8Array): void {
    const name = Buffer.from(`${path.replace(/^\//, '')}\0`);
    const numbers = [++this.#inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
    const head = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`;
    this.#write(Buffer.concat([Buffer.from(head), name]));
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    const rest = (ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT;
    if (rest > 0) writeSync(this.#fd, new Uint8Array(rest));
  }
}
