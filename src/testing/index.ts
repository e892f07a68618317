// `usernet/testing`: a whole network in one process, seeded, in virtual time.
export { createNetwork } from './network';
