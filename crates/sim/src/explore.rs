//! Fault fuzzing: a scenario over many seeds, each with a fault plan drawn from it.

use std::ops::Range;

use usernet_core::{Duration, Instant};

use crate::link::{CoDel, Discipline, LinkConfig, LinkId, Loss};
use crate::network::{Network, NodeId};
use crate::rng::{Purpose, Rng};

/// What goes wrong at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The link is down for this long.
    Down(Duration),
    /// The two nodes are parted for this long.
    Partition(Duration),
    /// Both directions get other settings.
    Settings(LinkConfig),
}

/// What a link does, and when that changes. All of it follows from the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The seed, for the network too.
    pub seed: u64,
    /// Settings from the first node of the link to the second.
    pub there: LinkConfig,
    /// Settings from the second to the first.
    pub back: LinkConfig,
    /// What goes wrong, and when, in order.
    pub faults: Vec<(Instant, Fault)>,
}

impl Plan {
    /// The plan of a seed: every second one has no faults, only bad links.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, Purpose::Plan, 0);
        let (there, back) = (settings(&mut rng), settings(&mut rng));
        let mut faults = Vec::new();
        let mut at = Instant::ZERO;
        for _ in 0..if rng.chance(0.5) { rng.below(6) } else { 0 } {
            at += rng.up_to(Duration::from_secs(2));
            let time = rng.up_to(Duration::from_secs(3));
            let fault = match rng.below(3) {
                0 => Fault::Down(time),
                1 => Fault::Partition(time),
                _ => Fault::Settings(settings(&mut rng)),
            };
            faults.push((at, fault.clone()));
            // What lasts is over before the next begins.
            at += if matches!(fault, Fault::Settings(_)) { Duration::ZERO } else { time };
        }
        Self { seed, there, back, faults }
    }

    /// Runs the network through the faults of the plan, calling `pump` after every step and whatever it changes. When it
    /// returns the last fault is over; what the settings were changed to stays.
    ///
    /// # Panics
    /// When the link or a node is not of this network.
    pub fn run(
        &self,
        net: &mut Network,
        link: LinkId,
        nodes: [NodeId; 2],
        mut pump: impl FnMut(&mut Network),
    ) {
        let mut go_to = |net: &mut Network, at: Instant| {
            pump(net);
            while net.next_at().is_some_and(|next| next <= at) {
                net.step();
                pump(net);
            }
            net.run_to(at);
        };
        for (at, fault) in &self.faults {
            go_to(net, *at);
            match fault {
                Fault::Down(time) => {
                    net.set_link(link, |c| c.up = false).expect("valid settings");
                    go_to(net, *at + *time);
                    net.set_link(link, |c| c.up = true).expect("valid settings");
                }
                Fault::Partition(time) => {
                    net.partition(&nodes[..1], &nodes[1..]);
                    go_to(net, *at + *time);
                    net.heal();
                }
                Fault::Settings(settings) => {
                    net.set_link(link, |c| c.clone_from(settings)).expect("valid settings");
                }
            }
        }
    }
}

/// Settings of a link, from good to very bad. The MTU stays.
fn settings(rng: &mut Rng) -> LinkConfig {
    let mut upto = |most: f64| {
        // Half of the settings are off, so that plans differ in kind.
        if rng.chance(0.5) { 0.0 } else { most * rng.below(1_000) as f64 / 1_000.0 }
    };
    let (duplicate, reorder, corrupt, loss) = (upto(0.1), upto(0.2), upto(0.02), upto(0.12));
    let loss = match rng.below(3) {
        0 => {
            Loss::GilbertElliott { to_bad: loss / 4.0, to_good: 0.3, loss_good: 0.0, loss_bad: 0.7 }
        }
        _ => Loss::Uniform(loss),
    };
    LinkConfig {
        delay: rng.up_to(Duration::from_millis(60)),
        jitter: rng.up_to(Duration::from_millis(5)),
        rate: rng.chance(0.5).then(|| 1_000_000 + rng.below(100_000_000)),
        queue: 10_000 + rng.below(200_000) as usize,
        discipline: match rng.below(2) {
            0 => Discipline::DropTail,
            _ => Discipline::CoDel(CoDel::default()),
        },
        loss,
        duplicate,
        reorder,
        reorder_by: rng.up_to(Duration::from_millis(50)),
        corrupt,
        ..LinkConfig::default()
    }
}

/// A scenario that failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("seed {} of {tried}: {why}\n{plan:#?}", plan.seed)]
pub struct Failure {
    /// The plan it failed with.
    pub plan: Box<Plan>,
    /// How many plans were tried.
    pub tried: u64,
    /// Why, in the scenario's words.
    pub why: String,
}

/// Runs a scenario with the plan of each seed, in order, and stops at the first that fails.
///
/// # Errors
/// [`Failure`] with that seed, which is the smallest that fails, and its plan.
pub fn explore<E: ToString>(
    seeds: Range<u64>,
    mut scenario: impl FnMut(&Plan) -> Result<(), E>,
) -> Result<(), Failure> {
    for (tried, seed) in (1..).zip(seeds) {
        let plan = Plan::new(seed);
        if let Err(why) = scenario(&plan) {
            return Err(Failure { plan: Box::new(plan), tried, why: why.to_string() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_failing_seed_is_told() {
        let failure =
            explore(
                3..100,
                |plan| {
                    if plan.faults.len() >= 3 { Err("three faults") } else { Ok(()) }
                },
            )
            .unwrap_err();
        assert_eq!(*failure.plan, Plan::new(failure.plan.seed));
        assert_eq!(failure.tried, failure.plan.seed - 2);
        assert!((3..failure.plan.seed).all(|seed| Plan::new(seed).faults.len() < 3));
        assert!(failure.to_string().contains("three faults"));
        assert!(explore(3..failure.plan.seed, |_| Ok::<_, String>(())).is_ok());
    }

    #[test]
    fn plans_are_valid() {
        for seed in 0..500 {
            let plan = Plan::new(seed);
            plan.there.validate().unwrap();
            plan.back.validate().unwrap();
            assert!(plan.faults.is_sorted_by_key(|(at, _)| *at));
        }
    }
}
