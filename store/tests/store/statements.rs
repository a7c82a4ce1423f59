use obol_account::AccountNumber;
use obol_mint::NOW;
use obol_payment::Cti;
use obol_payment::channel::Channel;
use obol_payment::order::{Order, OrderNumber};
use obol_store::{STATEMENT_LINES_MAX, StatementRefused};

use crate::bench::{Bench, FARE, Terminal, code, notice};

const CTI: Cti = Cti([7; 8]);

const AMOUNT: i64 = 100;

/// As many recharges, one a second.
fn recharge_often(bench: &Bench, number: AccountNumber, times: u32) {
    for time in 0..times {
        let mut random = [0; 10];
        random[..4].copy_from_slice(&time.to_be_bytes());
        let (wallet, channel) = (number.wallet(), Channel::SimulatedBank);
        let order = OrderNumber::new(wallet, random);
        let order = Order::open(order, wallet, AMOUNT, channel, NOW).unwrap();
        bench.store.create_order(&order).unwrap();
        let notice = notice(&format!("T{time}"), &order, AMOUNT, NOW.plus(time));
        bench.store.credit_recharge(&notice, NOW).unwrap();
    }
}

#[test]
fn a_statement_lives_on_after_a_thousand_movements() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let most = STATEMENT_LINES_MAX as u32;
    recharge_often(&bench, number, most + 3);

    let refused = bench.store.statement(number, 0, u32::MAX).unwrap_err();
    assert!(matches!(
        refused,
        StatementRefused::TooLong(STATEMENT_LINES_MAX)
    ));
    let latest = bench.store.latest_statement(number).unwrap();
    assert_eq!(latest.lines.len(), STATEMENT_LINES_MAX);
    // The first three stand in the opening balance.
    assert_eq!(latest.opening.minor(), 3 * AMOUNT);
    assert_eq!(latest.lines[0].balance.minor(), 4 * AMOUNT);
    assert_eq!(latest.lines[0].at, NOW.0 + 3);
    assert_eq!(latest.closing.minor(), i64::from(most + 3) * AMOUNT);
    let from = NOW.0 + most + 1;
    let period = bench.store.statement(number, from, u32::MAX).unwrap();
    assert_eq!(period.lines, latest.lines[STATEMENT_LINES_MAX - 2..]);
    assert_eq!(period.closing, latest.closing);
}

#[test]
fn a_short_history_is_the_same_statement_either_way() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    bench.recharge(number, 5_000);
    bench.post(&Terminal::new("bus-1").tap(&code(CTI, 1, NOW, 1)).upload());
    let latest = bench.store.latest_statement(number).unwrap();
    assert_eq!(latest, bench.store.statement(number, 0, u32::MAX).unwrap());
    assert_eq!(latest.closing.minor(), 5_000 - FARE);
}
