// The peer's end of the channel between a test and a process in a namespace: messages call the functions of a table.

type Call = { id: number; method: string; args: unknown[] };

/** Serves the calls of the parent process until it disconnects; then `stop` is called and the process may end. */
export function serveCalls(methods: Record<string, (...args: never[]) => unknown>, stop: () => Promise<void>): void {
  process.on('message', (message: Call) => {
    const method = methods[message.method];
    void Promise.resolve()
      .then(() => {
        if (method === undefined) throw new Error(`the peer has no ${message.method}`);
        return method(...(message.args as never[]));
      })
      .then(
        (result) => process.send?.({ id: message.id, result }),
        (error: Error) => process.send?.({ id: message.id, error: error.stack ?? String(error) }),
      );
  });
  process.once('disconnect', () => {
    stop().catch((error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
      process.exit(1);
    });
  });
}
