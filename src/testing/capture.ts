// Captures: pcapng files that Wireshark and tcpdump read.
import * as fs from 'node:fs';
import type { NativeNetwork } from './native';

/** What `network.capture()` takes besides the file. */
export interface CaptureOptions {
  /** At which nodes. Default: at every host. */
  nodes?: ReadonlyArray<{ readonly node: number }>;
  /** Most bytes of the file; packets beyond it are left out. Default 256 MiB. */
  limit?: number;
}

const LIMIT = 256 << 20;

/** A running capture. Packets appear as a node sends them and as they reach it, with virtual time, ns. */
export class Capture {
  /** The file, if there is one. */
  readonly path: string | null;
  readonly #native: NativeNetwork;
  readonly #capture: number;
  #written = 0;
  #ended: Buffer | null = null;

  /** @internal Use `network.capture()`. */
  constructor(native: NativeNetwork, path: string | null, { nodes = [], limit = LIMIT }: CaptureOptions) {
    this.#native = native;
    this.path = path;
    this.#capture = native.capture(
      nodes.map(({ node }) => node),
      limit,
    );
    if (path !== null) fs.writeFileSync(path, '');
    this.flush();
  }

  /** The whole file as it is now. */
  bytes(): Buffer {
    return this.#ended ?? this.#native.captured(this.#capture, 0);
  }

  /** Writes what is new to the file; happens by itself whenever the network comes to a stop. */
  flush(): void {
    if (this.path === null || this.#ended !== null) return;
    const more = this.#native.captured(this.#capture, this.#written);
    if (more.length === 0) return;
    fs.appendFileSync(this.path, more);
    this.#written += more.length;
  }

  /** Ends it; returns the whole file. */
  stop(): Buffer {
    if (this.#ended !== null) return this.#ended;
    this.flush();
    const bytes = this.#native.captured(this.#capture, 0);
    this.#native.endCapture(this.#capture);
    this.#ended = bytes;
    return bytes;
  }
}
