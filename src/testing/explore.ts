// Fault fuzzing: a scenario over many seeds, each with a plan of what goes wrong.
import { invalidArgType, invalidArgValue } from '../errors';
import type { LinkSettings } from './link';
import { simBinding } from './native';
import { Network, type NetworkOptions } from './network';

/** Something that goes wrong at one moment, on every link. */
export interface Fault {
  /** ms since the network began. */
  at: number;
  /** The link is down, or its ends are parted, for `duration`; or it gets other settings. */
  kind: 'down' | 'partition' | 'settings';
  /** ms. */
  duration?: number;
  settings?: LinkSettings;
}

/** What goes wrong in a run. All of it follows from the seed. */
export interface FaultPlan {
  seed: number;
  /** Settings of links, from their first node to the second. */
  there: LinkSettings;
  /** Settings of links, from their second node to the first. */
  back: LinkSettings;
  faults: Fault[];
}

/** What a scenario gets. */
export interface Exploration {
  seed: number;
  plan: FaultPlan;
  /** A new network in virtual time, whose links do what the plan says. It runs by itself until the scenario settles. */
  network: Network;
}

/** What `explore()` takes besides. */
export interface ExploreOptions {
  /** Most virtual time a run may take, ms. Default a day. */
  limit?: number;
  /** Whether to look for the smallest plan that still fails, once one does. Default true. */
  shrink?: boolean;
  /** Further options of the networks. */
  network?: Omit<NetworkOptions, 'seed' | 'clock' | 'plan'>;
}

/** A scenario failed: with which seed, and with which plan at least. */
export class ExploreFailure extends Error {
  readonly code = 'ERR_EXPLORE_FAILED';
  override readonly name = 'ExploreFailure';
  /** The smallest seed that fails. */
  readonly seed: number;
  /** The smallest plan found that fails with it. */
  readonly plan: FaultPlan;
  /** How many seeds were tried. */
  readonly tried: number;

  constructor(seed: number, plan: FaultPlan, tried: number, cause: unknown, explained: string) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(
      `Seed ${seed} fails (${tried} tried): ${why}\nThe smallest plan that fails: createNetwork({ seed: ${seed}, plan: ${JSON.stringify(plan)} })\n${explained}`,
      { cause },
    );
    this.seed = seed;
    this.plan = plan;
    this.tried = tried;
  }
}

/** How often the length of a fault is halved. */
const HALVINGS = 8;

/** The plan of a seed: settings of links from good to very bad; every second one has faults besides. */
export function faultPlan(seed: number): FaultPlan {
  const { NativeNetwork } = simBinding();
  const plan = new NativeNetwork({ seed: 0, real: false }).plan(seed) as FaultPlan;
  // An endless rate is the default, and JSON has no word for it.
  for (const settings of [plan.there, plan.back, ...plan.faults.map((fault) => fault.settings)]) {
    if (settings?.rate === Number.POSITIVE_INFINITY) delete settings.rate;
  }
  return plan;
}

/**
 * Runs a scenario with the plan of each seed, in order, each on a network of its own, and rejects with the first that
 * fails: an `ExploreFailure` that names the seed and the smallest plan. `seeds`: their number (from 0)
 * or the seeds themselves. Resolves with how many were run.
 */
export async function explore(
  seeds: number | Iterable<number>,
  scenario: (exploration: Exploration) => Promise<unknown> | unknown,
  options: ExploreOptions = {},
): Promise<number> {
  if (typeof scenario !== 'function') throw invalidArgType('scenario', 'Function', scenario);
  let tried = 0;
  for (const seed of seedsOf(seeds)) {
    tried++;
    const plan = faultPlan(seed);
    const failure = await attempt(seed, plan, scenario, options);
    if (failure === null) continue;
    const smallest =
      options.shrink === false ? { plan, failure } : await shrink(seed, plan, failure, scenario, options);
    throw new ExploreFailure(seed, smallest.plan, tried, smallest.failure.cause, smallest.failure.explained);
  }
  return tried;
}

interface Failure {
  cause: unknown;
  explained: string;
}

async function attempt(
  seed: number,
  plan: FaultPlan,
  scenario: (exploration: Exploration) => Promise<unknown> | unknown,
  { limit, network: more }: ExploreOptions,
): Promise<Failure | null> {
  const network = new Network({ ...more, seed, plan, clock: 'virtual' });
  try {
    await network.run(async () => scenario({ seed, plan, network }), { limit });
    return null;
  } catch (cause) {
    const known = cause instanceof Error && cause.message.includes('\npcap: ');
    return { cause, explained: known ? '' : network.explain('') };
  } finally {
    await network.close();
  }
}

/** Takes out of a plan what it fails without. */
async function shrink(
  seed: number,
  plan: FaultPlan,
  failure: Failure,
  scenario: (exploration: Exploration) => Promise<unknown> | unknown,
  options: ExploreOptions,
): Promise<{ plan: FaultPlan; failure: Failure }> {
  let best = { plan, failure };
  const consider = async (smaller: FaultPlan): Promise<void> => {
    const still = await attempt(seed, smaller, scenario, options);
    if (still !== null) best = { plan: smaller, failure: still };
  };
  for (const fault of plan.faults) {
    await consider({ ...best.plan, faults: best.plan.faults.filter((other) => other !== fault) });
  }
  for (const way of ['there', 'back'] as const) {
    for (const name of Object.keys(best.plan[way]) as Array<keyof LinkSettings>) {
      const { [name]: _, ...others } = best.plan[way];
      await consider({ ...best.plan, [way]: others });
    }
  }
  for (let i = 0; i < best.plan.faults.length; i++) {
    const change = (fault: Fault): Promise<void> => {
      return consider({ ...best.plan, faults: best.plan.faults.with(i, fault) });
    };
    for (const name of Object.keys(best.plan.faults[i]?.settings ?? {}) as Array<keyof LinkSettings>) {
      const fault = best.plan.faults[i] as Fault;
      const { [name]: _, ...settings } = fault.settings as LinkSettings;
      await change({ ...fault, settings });
    }
    for (let round = 0; round < HALVINGS; round++) {
      const fault = best.plan.faults[i] as Fault;
      if (fault.duration === undefined || fault.duration < 2) break;
      const before = best;
      await change({ ...fault, duration: Math.round(fault.duration / 2) });
      if (best === before) break;
    }
  }
  return best;
}

function seedsOf(seeds: number | Iterable<number>): Iterable<number> {
  if (typeof seeds === 'number') {
    if (!Number.isSafeInteger(seeds) || seeds < 1) {
      throw invalidArgValue('seeds', seeds, 'must be a whole number of seeds, at least 1, or the seeds themselves');
    }
    return Array.from({ length: seeds }, (_, seed) => seed);
  }
  if (seeds === null || typeof seeds !== 'object' || !(Symbol.iterator in seeds)) {
    throw invalidArgType('seeds', ['number', 'Iterable'], seeds);
  }
  return seeds;
}
