import { fstatSync, write } from 'node:fs';
import { Socket } from 'node:net';
import { F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, O_CLOEXEC, O_NONBLOCK, O_WRONLY } from '../linux/abi.ts';
import { check } from '../linux/failure.ts';
import { controlFile, openFile } from '../linux/file.ts';

/** Where a stream goes. A reader that takes nothing holds up no thread of this process, so that it can always end. */
export interface StreamSink extends Disposable {
  /** Settles when all of the bytes have been taken. They must not change until then. */
  write(bytes: Uint8Array): Promise<void>;
}

/** The sink that is a descriptor of ours. It stays open, and as it was. */
export function openSink(fd: number): StreamSink {
  const status = fstatSync(fd);
  if (status.isFIFO()) return new SocketSink(ownDescription(fd) ?? sharedDescription(fd));
  if (status.isSocket()) return new SocketSink(sharedDescription(fd));
  return new FileSink(fd);
}

interface Descriptor {
  readonly fd: number;
  readonly restore: () => void;
}

/** A pipe opened anew does not share the flag that says whether writes wait; who shares ours must not be surprised. */
function ownDescription(fd: number): Descriptor | undefined {
  const own = openFile(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  // EACCES: the pipe is another user's
  return own < 0 ? undefined : { fd: own, restore: () => {} };
}

/** A socket can't be opened anew. */
function sharedDescription(fd: number): Descriptor {
  const flags = controlFile(fd, F_GETFL, 0);
  return {
    fd: check(controlFile(fd, F_DUPFD_CLOEXEC, 0), 'stream the core', 'fcntl(F_DUPFD_CLOEXEC)'),
    restore: () => void controlFile(fd, F_SETFL, flags),
  };
}

/** A pipe or a socket. */
class SocketSink implements StreamSink {
  readonly #socket: Socket;
  readonly #restore: () => void;
  readonly #broken: Promise<never>;

  constructor({ fd, restore }: Descriptor) {
    this.#restore = restore;
    this.#socket = new Socket({ fd, readable: false, writable: true });
    this.#broken = new Promise((_resolve, reject) => this.#socket.once('error', reject));
    this.#broken.catch(() => {});
  }

  async write(bytes: Uint8Array): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([written, this.#broken]);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
    this.#restore();
  }
}

/** A file, or a device: nobody is waited for. */
class FileSink implements StreamSink {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) at += await this.#some(bytes, at);
  }

  [Symbol.dispose](): void {}

  #some(bytes: Uint8Array, at: number): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, at, bytes.length - at, null, (error, count) =>
        error ? reject(error) : resolve(count),
      );
    });
  }
}
