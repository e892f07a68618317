//! The bodies of the fuzz targets (`fuzz/src/lib.rs`) over random inputs, and over those that once failed.

#[path = "../../../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub, clippy::pedantic)]
mod bodies;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    // More can be asked for: PROPTEST_CASES=10000.
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| default.cases);
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..default
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn options_are_read_as_they_are_written(data in vec(any::<u8>(), 0..60)) {
        bodies::options(&data);
    }

    #[test]
    fn segments_of_any_bytes_do_no_harm(data in vec(any::<u8>(), 0..1500)) {
        bodies::segment(&data);
    }

    #[test]
    fn frames_of_any_bytes_do_no_harm(data in vec(any::<u8>(), 0..1500)) {
        bodies::frames(&data);
    }

    #[test]
    fn calls_segments_and_time_in_any_order_do_no_harm(data in vec(any::<u8>(), 0..3000)) {
        bodies::sequence(&data);
    }
}

/// Sequences that once failed, or that lead where chance does not: `fuzz/seeds`.
#[test]
fn saved_seeds_do_no_harm() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        bodies::options(&data);
        bodies::segment(&data);
        bodies::frames(&data);
        bodies::sequence(&data);
        count += 1;
    }
    assert!(count > 0);
}
