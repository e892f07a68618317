// The programs that tests and demos need, and how to get them: types of programs.cjs.
export function findProgram(name: string): string | null;
