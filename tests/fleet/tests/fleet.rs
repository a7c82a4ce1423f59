//! A small fleet, each time; the whole one is a command.

use obol_fleet::{Course, Group, ONLINE_WITHIN_S, Scenario};

#[test]
fn a_fleet_refuses_within_five_minutes_never_goes_back_and_converges_when_links_heal() {
    let report = Course::publish().run(Scenario {
        terminals: 80,
        seed: 6,
    });
    println!("{report}");
    assert_eq!(report.broken, Vec::<String>::new());
    let row = |command: &str, group: Group| {
        let mut rows = report.rows.iter();
        rows.find(|row| row.command == command && row.group == group)
            .unwrap()
    };
    for command in ["rider revoked", "shard suspended"] {
        for group in [Group::Good, Group::Lossy, Group::Slow] {
            let row = row(command, group);
            assert!(
                row.p50_ms > 0 && row.max_ms <= u64::from(ONLINE_WITHIN_S) * 1_000,
                "{row:?}"
            );
        }
        // It knows that it knows nothing of the time.
        let in_2100 = row(command, Group::In2100);
        assert_eq!(in_2100.closed, in_2100.terminals);
    }
    // Whoever had no network is named, and refuses only when it has one again.
    let away = row("rider revoked", Group::Away);
    assert_eq!(away.terminals, report.away.len());
    assert!(away.p50_ms > u64::from(ONLINE_WITHIN_S) * 1_000, "{away:?}");
}

#[test]
fn the_same_seed_over_the_same_course_gives_the_same_table() {
    let scenario = Scenario {
        terminals: 3,
        seed: 17,
    };
    let course = Course::publish();
    assert_eq!(course.run(scenario), course.run(scenario));
}
