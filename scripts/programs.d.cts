// The programs that tests and demos need, and how to get them: types of programs.cjs.

/** The path of a program, or null where it is not installed. */
export function findProgram(name: string): string | null;
