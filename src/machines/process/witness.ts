import { UFFDIO_REGISTER_MODE_MISSING } from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import { foreignIsKept, type Userfaultfd } from '../../linux/userfaultfd.ts';
import { PAGE_BYTES } from './pages.ts';

/**
 * Tells whether a block is registered with our userfaultfd while that says nothing itself, because somebody removes
 * memory and waits for the event to be read: another userfaultfd of the same memory, with nothing registered, is
 * refused what the first one has.
 */
export class Witness implements Disposable {
  readonly #userfaultfd: Userfaultfd;
  /** unregistering asks without changing anything; registering does, where the block is not registered */
  readonly #canAsk: boolean = foreignIsKept();

  /** Takes ownership of the userfaultfd. */
  constructor(userfaultfd: Userfaultfd) {
    this.#userfaultfd = userfaultfd;
    userfaultfd.handshake(0);
  }

  /**
   * Whether the block is registered. A mapping that is not must not even be registered for a moment, where that can be
   * helped: it would be split, and whoever moves it in that moment fails (mremap(2), EFAULT).
   */
  sees(block: number): boolean {
    const address = block * PAGE_BYTES;
    // EINVAL also where nothing is mapped: only the other question tells the two apart, and neither changes anything.
    if (this.#canAsk && this.#userfaultfd.unregister(address, PAGE_BYTES) !== -ERRNO.EINVAL) return false;
    const result = this.#userfaultfd.register(address, PAGE_BYTES, UFFDIO_REGISTER_MODE_MISSING);
    if (result === 0) this.#userfaultfd.unregister(address, PAGE_BYTES);
    return result === -ERRNO.EBUSY;
  }

  [Symbol.dispose](): void {
    this.#userfaultfd[Symbol.dispose]();
  }
}
