/** What leads to what: situations by number, in the order they were met. */
export class Graph {
  #from = new Int32Array(1 << 16);
  #to = new Int32Array(1 << 16);
  #edges = 0;
  #nodes = 0;
  readonly #finals: number[] = [];

  get size(): number {
    return this.#nodes;
  }

  add(): number {
    return this.#nodes++;
  }

  edge(from: number, to: number): void {
    if (this.#edges === this.#from.length) {
      this.#from = grown(this.#from);
      this.#to = grown(this.#to);
    }
    this.#from[this.#edges] = from;
    this.#to[this.#edges++] = to;
  }

  /** A situation in which all is done. */
  final(node: number): void {
    this.#finals.push(node);
  }

  /** How many ways there are from the first situation to the end, none through the same situation twice. */
  orders(): number {
    const next = adjacency(
      this.#from.subarray(0, this.#edges),
      this.#to.subarray(0, this.#edges),
      this.#nodes,
    );
    const ways = new Float64Array(this.#nodes);
    const mark = new Uint8Array(this.#nodes);
    for (const node of this.#finals) ways[node] = 1;
    const stack: number[] = [0];
    const at = Int32Array.from(next.starts.subarray(0, this.#nodes));
    mark[0] = 1;
    while (stack.length > 0) {
      const node = stack.at(-1)!;
      if (at[node]! < next.starts[node + 1]!) {
        const to = next.targets[at[node]!]!;
        if (mark[to] === 0) {
          mark[to] = 1;
          stack.push(to);
          continue;
        }
        // What is still on the way (1) would lead round in a circle.
        if (mark[to] === 2) ways[node] = ways[node]! + ways[to]!;
        at[node] = at[node]! + 1;
      } else {
        mark[node] = 2;
        stack.pop();
      }
    }
    return ways[0]!;
  }

  /** Situations from which the end can't be reached. */
  stuck(): number[] {
    const back = adjacency(
      this.#to.subarray(0, this.#edges),
      this.#from.subarray(0, this.#edges),
      this.#nodes,
    );
    const reached = new Uint8Array(this.#nodes);
    const stack = [...this.#finals];
    for (const node of stack) reached[node] = 1;
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      for (let at = back.starts[node]!; at < back.starts[node + 1]!; at++) {
        const from = back.targets[at]!;
        if (reached[from] === 0) {
          reached[from] = 1;
          stack.push(from);
        }
      }
    }
    const stuck: number[] = [];
    for (let node = 0; node < this.#nodes; node++) if (reached[node] === 0) stuck.push(node);
    return stuck;
  }
}

function grown(list: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(list.length * 2);
  larger.set(list);
  return larger;
}

function adjacency(
  from: Int32Array,
  to: Int32Array,
  nodes: number,
): { starts: Int32Array; targets: Int32Array } {
  const starts = new Int32Array(nodes + 1);
  for (const node of from) starts[node + 1] = starts[node + 1]! + 1;
  for (let node = 0; node < nodes; node++) starts[node + 1] = starts[node + 1]! + starts[node]!;
  const next = Int32Array.from(starts);
  const targets = new Int32Array(from.length);
  for (let edge = 0; edge < from.length; edge++) {
    const place = next[from[edge]!]!;
    targets[place] = to[edge]!;
    next[from[edge]!] = place + 1;
  }
  return { starts, targets };
}
