//! The tester itself: what a script gets wrong, or the stack does otherwise, is found and named.

use crate::support::{Family, Isn, Tester};

/// What the tester says to a script that must fail.
fn complaint(script: &str) -> String {
    let mut tester = Tester::new(Family::V4, Isn::Natural, script.contains("connect"));
    let report = tester.try_run(script).expect_err("a script that fails");
    assert!(report.contains("at: "), "no line is named: {report}");
    report
}

#[test]
fn packet_that_was_not_expected_is_found() {
    let report = complaint("@server\nwrite 10\nstate ESTABLISHED");
    assert!(report.contains("not expected: > P. 1:11(10) ack 1"), "{report}");
}

#[test]
fn packet_that_did_not_come_is_missed() {
    let report = complaint("@server\n> . 1:1(0) ack 1");
    assert!(report.contains("nothing was sent"), "{report}");
}

#[test]
fn every_difference_is_named() {
    let report = complaint("@server\nwrite 10\n> F. 2:12(10) ack 7 win 3 <nop>");
    for part in ["flags is", "range is 1:11(10)", "ack is 1", "win is", "options is <>"] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn packet_that_comes_too_early_or_too_late_is_found() {
    let report = complaint("@server\nwrite 10\n> P. 1:11(10)\n+300ms > . 1:11(10)");
    assert!(report.contains("came after 200"), "{report}");
    let report = complaint("@server\nwrite 10\n> P. 1:11(10)\n+100ms > . 1:11(10)");
    assert!(report.contains("nothing was sent (next timer in"), "{report}");
    let report = complaint("@server\nwrite 10\n> P. 1:11(10)\n+300ms");
    assert!(report.contains("not expected"), "{report}");
}

#[test]
fn contents_that_differ_are_found() {
    let script = "@server\n< P. 1:11(10) ack 1 other-data\nread 10";
    assert!(complaint(script).contains("byte 0 is not what the peer sent"));
}

#[test]
fn wrong_answers_to_questions_are_found() {
    assert!(complaint("@server\nstate CLOSED").contains("the state is \"ESTABLISHED\""));
    assert!(complaint("@server\ninfo cwnd = 1").contains("it is 14600, expected = 1"));
    assert!(complaint("@server\nread 5").contains("got 0 bytes"));
    assert!(complaint("@server\nerror reset").contains("the error is \"none\""));
}

#[test]
fn scripts_that_make_no_sense_are_refused() {
    for (script, part) in [
        ("< Q 0:0(0)", "no such flag"),
        ("< S 0:5(0)", "the length is 5"),
        ("< S 0:0(0) <mss>", "not an option"),
        ("< S 0:0(0) with", "not a part of a segment"),
        ("repeat 3 {\n< S 0:0(0)", "a repeat without }"),
        ("+3 nothing", "a duration has a unit"),
    ] {
        let mut tester = Tester::new(Family::V4, Isn::Natural, false);
        let report = tester.try_run(script).expect_err("a script that makes no sense");
        assert!(report.contains(part), "{script}: {report}");
    }
}

#[test]
fn both_initial_sequence_numbers_wrap_where_they_should() {
    for script in ["@server", "@client"] {
        let mut tester = Tester::new(Family::V4, Isn::BelowWrap, script == "@client");
        tester.run(script);
        let bases = tester.peer().bases;
        assert_eq!(bases.peer, 0xffff_fffb);
        assert!(bases.ours >= 0xffff_fffb, "{:#x}", bases.ours);
    }
}

#[test]
fn timer_that_ran_is_not_due_any_more() {
    for script in [
        "@server\n< P. 1:11(10) ack 1",
        "@server\nshutdown write\n> F. 1:1(0)\n< . 1:1(0) ack 2\n< P. 1:11(10) ack 2",
        "@server\nwrite 10\n> P. 1:11(10)",
        "@server\n< . 1:1(0) ack 1 win 0\nwrite 10",
        "@server\nset keep_alive 1s 1s 1",
        "listen 80\n< S 0:0(0)\n> S. 0:0(0)",
        "connect\n> S 0:0(0)",
        "@server\nclose\n> F. 1:1(0)\n< F. 1:1(0) ack 2\n> . 2:2(0)",
    ] {
        let mut tester = Tester::new(Family::V4, Isn::Natural, script.contains("connect"));
        tester.run(script);
        let stack = &mut tester.stack().0;
        let at = stack.poll_timeout().expect("a timer");
        // Nothing is taken out: a driver whose device is full must not spin.
        stack.handle_timeout(at);
        let next = stack.poll_timeout();
        assert!(next.is_none_or(|next| next > at), "still due: {script}");
    }
}
