import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { LivecoreError } from '../errors.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_TMPFILE,
} from '../linux/abi.ts';
import { ERRNO, errnoName } from '../linux/errno.ts';
import {
  closeFile,
  linkFile,
  openFile,
  renameFileExclusive,
  syncDirectory,
  syncFile,
  unlinkFile,
} from '../linux/file.ts';

const MODE = 0o600;

/**
 * The file that a core is written to. It has no name until it is whole and synced, so that no half core is ever
 * found; where the file system has no nameless files it has a hidden name beside the final one.
 *
 * The folder is looked up once: who may rename folders on the way to it can't have the core given its name elsewhere.
 *
 * If we die: a nameless file is gone; a hidden one (`.NAME.XXXXXXXX.partial`) stays, and can be removed.
 */
export class OutputFile implements Disposable {
  readonly fd: number;
  /** writes go past the page cache */
  readonly direct: boolean;
  readonly #path: string;
  readonly #folderFd: number;
  /** the folder, whatever its path has come to mean, and the final name in it */
  readonly #folder: string;
  readonly #final: string;
  #partial: string | undefined;
  #closed = false;

  /** @throws LivecoreError FILE_EXISTS, OUTPUT */
  constructor(path: string) {
    this.#path = path;
    this.#folderFd = openFile(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (this.#folderFd < 0) throw cannotCreate(path, -this.#folderFd);
    using building = new DisposableStack();
    building.defer(() => closeFile(this.#folderFd));
    this.#folder = `/proc/self/fd/${this.#folderFd}`;
    this.#final = join(this.#folder, basename(path));
    refuseExisting(path, this.#final);
    const nameless = (flags: number): number =>
      openFile(this.#folder, O_TMPFILE | O_RDWR | O_CLOEXEC | flags, MODE);
    let fd = nameless(O_DIRECT);
    this.direct = fd !== -ERRNO.EINVAL;
    if (fd === -ERRNO.EINVAL) fd = nameless(0);
    if (fd === -ERRNO.EOPNOTSUPP || fd === -ERRNO.EISDIR) {
      const hidden = join(this.#folder, `.${basename(path)}.${randomBytes(8).toString('hex')}.partial`);
      const named = (flags: number): number =>
        openFile(hidden, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | flags, MODE);
      fd = named(O_DIRECT);
      this.direct = fd !== -ERRNO.EINVAL;
      if (fd === -ERRNO.EINVAL) {
        // open(2) has made the file before it refused the flag.
        unlinkFile(hidden);
        fd = named(0);
      }
      if (fd >= 0) this.#partial = hidden;
    }
    if (fd < 0) throw cannotCreate(path, -fd);
    this.fd = fd;
    building.move();
  }

  /** Makes the file durable and gives it its name. */
  publish(): void {
    const synced = syncFile(this.fd);
    if (synced < 0) throw cannotCreate(this.#path, -synced);
    const result = this.#partial === undefined ? linkFile(this.fd, this.#final) : this.#rename(this.#partial);
    if (result === -ERRNO.EEXIST) throw exists(this.#path);
    if (result < 0) throw cannotCreate(this.#path, -result);
    this.#partial = undefined;
    syncDirectory(this.#folder);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#partial !== undefined) unlinkFile(this.#partial);
    closeFile(this.fd);
    closeFile(this.#folderFd);
  }

  #rename(partial: string): number {
    const result = renameFileExclusive(partial, this.#final);
    if (result !== -ERRNO.EINVAL) return result;
    // NFS and others can't rename exclusively; a second name can't overwrite either (link(2), EEXIST).
    const linked = linkFile(this.fd, this.#final);
    if (linked === 0) unlinkFile(partial);
    return linked;
  }
}

/** The common mistake is told at once, before the target is touched; `publish` decides for good. */
function refuseExisting(path: string, final: string): void {
  // O_PATH opens nothing: a FIFO or a device there is not touched.
  const fd = openFile(final, O_NOFOLLOW | O_CLOEXEC | O_PATH);
  if (fd === -ERRNO.ENOENT) return;
  if (fd >= 0) {
    closeFile(fd);
    throw exists(path);
  }
  throw cannotCreate(path, -fd);
}

function exists(path: string): LivecoreError {
  return new LivecoreError('FILE_EXISTS', `write ${path}: it exists already`, {
    path,
    cure: 'remove it, or choose another name with -o',
  });
}

function cannotCreate(path: string, errno: number): LivecoreError {
  const cures: Record<number, string> = {
    [ERRNO.ENOENT]: `create the directory ${dirname(path)}`,
    [ERRNO.ENOTDIR]: `${dirname(path)} is not a directory`,
    [ERRNO.EACCES]: `the directory ${dirname(path)} is not writable for this user`,
    [ERRNO.EROFS]: 'the file system is read-only: choose another place with -o',
  };
  const cure = cures[errno];
  const code = errno === ERRNO.ENOSPC ? 'NO_SPACE' : 'OUTPUT';
  return new LivecoreError(code, `write ${path}: ${errnoName(errno)}`, {
    path,
    errno,
    ...(cure !== undefined && { cure }),
  });
}
