// Types of netns.cjs.

/** The arguments of unshare(1) for a new network namespace. */
export function unshareArgs(): string[];
/** The arguments of nsenter(1) that lead into the namespace of process `pid`. */
export function nsenterArgs(pid: number): string[];
/** What is missing to open a TUN in a namespace, and how to grant it; null when it works. */
export function whyNoTun(): { missing: string; remedy: string } | null;
