// Jest: TypeScript through swc, one test file per subject, no global state between them.

/** @type {import('jest').Config} */
module.exports = {
  rootDir: __dirname,
  roots: ['<rootDir>/__test__'],
  testMatch: ['**/*.test.ts'],
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript', decorators: false }, target: 'es2022' },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^usernet$': '<rootDir>/src/index.ts',
    '^usernet/net$': '<rootDir>/src/net.ts',
    '^usernet/dgram$': '<rootDir>/src/dgram.ts',
    '^usernet/testing$': '<rootDir>/src/testing/index.ts',
    '^usernet/http$': '<rootDir>/src/http.ts',
  },
  modulePathIgnorePatterns: ['<rootDir>/target/', '<rootDir>/dist/', '<rootDir>/npm/'],
  testTimeout: 30_000,
  maxWorkers: 2,
};
