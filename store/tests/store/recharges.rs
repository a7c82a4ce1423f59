use obol_ledger::{Amount, Bucket, Code, Why};
use obol_mint::NOW;
use obol_payment::order::{ORDER_LIFE_S, OrderState, Payment, SettleRefused};
use obol_store::{
    AuditFinding, CreateOrderRefused, Credit, CreditRefused, Receipt, Receipts, Unmatched,
};

use crate::bench::{Bench, notice};

#[test]
fn a_notice_sent_three_times_credits_once() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let order = bench.order(number, 5_000);
    let notice = notice("T1", &order, 5_000, NOW);
    let credits = [(); 3].map(|()| bench.store.credit_recharge(&notice, NOW).unwrap());
    assert_eq!(
        credits,
        [
            Credit::Booked(Payment::Credit),
            Credit::Repeated,
            Credit::Repeated
        ]
    );
    let statement = bench.store.statement(number, 0, u32::MAX).unwrap();
    assert_eq!(
        (statement.lines.len(), statement.closing),
        (1, Amount::from_minor(5_000))
    );
    assert_eq!(statement.lines[0].why, Why::Recharge);
    assert_eq!(statement.lines[0].reference, "simulated-bank/T1");
    assert_eq!(
        bench.store.order(order.number).unwrap().unwrap().state,
        OrderState::Paid
    );
    let events = bench.store.events(number.bucket(), 0).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].topic.as_str(), &events[0].reference),
        ("recharge.credited", &order.number.to_string())
    );
}

#[test]
fn a_notice_that_comes_eight_times_at_once_credits_once() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let order = bench.order(number, 5_000);
    let notice = notice("T1", &order, 5_000, NOW);
    let credits = std::thread::scope(|scope| {
        let credit = || bench.store.credit_recharge(&notice, NOW).unwrap();
        let threads = [(); 8].map(|()| scope.spawn(credit));
        threads.map(|thread| thread.join().unwrap())
    });
    let booked = credits
        .iter()
        .filter(|credit| **credit != Credit::Repeated)
        .count();
    assert_eq!((booked, bench.balance(number)), (1, 5_000));
}

fn uncredited(bench: &Bench) -> Vec<Receipt> {
    bench.store.receipts(Receipts::Uncredited).unwrap()
}

#[test]
fn a_genuine_payment_of_another_amount_leaves_a_receipt_and_books_nothing() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let order = bench.order(number, 5_000);
    let short = notice("T1", &order, 4_999, NOW);
    let credits = [(); 2].map(|()| bench.store.credit_recharge(&short, NOW).unwrap());
    let wrong = SettleRefused::WrongAmount {
        order: order.number,
        asked: 5_000,
        paid: 4_999,
    };
    let unmatched = Credit::Unmatched(Unmatched::NotThisOrder(wrong.clone()));
    assert_eq!(credits, [unmatched, Credit::Repeated]);
    assert_eq!(bench.balance(number), 0);
    let receipt = Receipt {
        channel: "simulated-bank",
        transaction: "T1".into(),
        order: order.number.to_string(),
        amount_minor: 4_999,
        currency: "CNY".into(),
        paid_at: NOW.0,
        received_at: NOW.0,
        settlement: "unmatched",
        reason: Some(wrong.to_string()),
    };
    assert_eq!(uncredited(&bench), [receipt]);
    let events = bench.store.events(number.bucket(), 0).unwrap();
    let topics: Vec<_> = events.iter().map(|event| event.topic.as_str()).collect();
    assert_eq!(topics, ["recharge.unmatched"]);
    // The order is still open for a payment of its own.
    let credit = bench
        .store
        .credit_recharge(&notice("T2", &order, 5_000, NOW), NOW)
        .unwrap();
    assert_eq!(credit, Credit::Booked(Payment::Credit));
    assert_eq!(uncredited(&bench).len(), 1);
    assert_eq!(bench.store.receipts(Receipts::All).unwrap().len(), 2);
}

#[test]
fn a_genuine_payment_of_no_order_leaves_a_receipt_and_books_nothing() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let mut order = bench.order(number, 5_000);
    order.number = obol_payment::order::OrderNumber::new(number.wallet(), [0; 10]);
    let credit = bench
        .store
        .credit_recharge(&notice("T1", &order, 5_000, NOW), NOW)
        .unwrap();
    let unknown = Unmatched::UnknownOrder(order.number);
    assert_eq!(credit, Credit::Unmatched(unknown));
    assert_eq!(uncredited(&bench)[0].order, order.number.to_string());
    assert_eq!(bench.store.trial_balance().unwrap().lines().len(), 1);
}

#[test]
fn one_payment_cannot_be_booked_for_two_orders() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let (one, two) = (bench.order(number, 5_000), bench.order(number, 5_001));
    bench
        .store
        .credit_recharge(&notice("T1", &one, 5_000, NOW), NOW)
        .unwrap();
    let refused = bench
        .store
        .credit_recharge(&notice("T1", &two, 5_001, NOW), NOW)
        .unwrap_err();
    assert!(matches!(refused, CreditRefused::Contradiction(found) if found == "T1"));
    assert_eq!(bench.balance(number), 5_000);
}

#[test]
fn a_second_payment_of_one_order_waits_in_suspense() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let order = bench.order(number, 5_000);
    bench
        .store
        .credit_recharge(&notice("T1", &order, 5_000, NOW), NOW)
        .unwrap();
    let credit = bench
        .store
        .credit_recharge(&notice("T2", &order, 5_000, NOW), NOW)
        .unwrap();
    assert_eq!(credit, Credit::Booked(Payment::Duplicate));
    assert_eq!(bench.balance(number), 5_000);
    assert_eq!(balance_of(&bench, Code::DuplicateReceipt), 5_000);
    assert_eq!(balance_of(&bench, Code::ChannelClearing), 10_000);
}

#[test]
fn a_payment_after_the_order_expired_waits_in_suspense() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    let order = bench.order(number, 5_000);
    let late = notice("T1", &order, 5_000, NOW.plus(ORDER_LIFE_S + 1));
    let credit = bench.store.credit_recharge(&late, NOW).unwrap();
    assert_eq!(credit, Credit::Booked(Payment::Late));
    assert_eq!(
        (bench.balance(number), balance_of(&bench, Code::ChannelLong)),
        (0, 5_000)
    );
}

#[test]
fn an_order_needs_an_account_and_a_fresh_number() {
    let bench = Bench::new();
    let order = bench.order(bench.passenger(1), 5_000);
    let taken = bench.store.create_order(&order).unwrap_err();
    assert!(matches!(taken, CreateOrderRefused::NumberTaken(found) if found == order.number));
    let nobody = obol_ledger::AccountId::wallet(6_400);
    let refused = bench.store.create_order(&obol_payment::order::Order {
        wallet: nobody,
        ..order
    });
    assert!(matches!(
        refused,
        Err(CreateOrderRefused::UnknownAccount(6_400))
    ));
}

#[test]
fn a_changed_counter_or_transfer_is_found_by_the_recount() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    bench.recharge(number, 5_000);
    let connection = rusqlite::Connection::open(bench.path()).unwrap();
    let findings = |sql: &str, undo: &str| {
        connection.execute_batch(sql).unwrap();
        let findings = bench.store.check_books().unwrap().findings;
        connection.execute_batch(undo).unwrap();
        findings
    };
    let wallet = number.wallet();
    let richer = "UPDATE account SET posted_cr = posted_cr + 1 WHERE code = 2000";
    let found = findings(
        richer,
        "UPDATE account SET posted_cr = posted_cr - 1 WHERE code = 2000",
    );
    let unbalanced = AuditFinding::Unbalanced {
        difference: Amount::from_minor(-1),
    };
    assert_eq!(
        found,
        [unbalanced, AuditFinding::CountersDiffer { account: wallet }]
    );
    let later = "UPDATE transfer SET event_at = event_at + 1";
    let found = findings(later, "UPDATE transfer SET event_at = event_at - 1");
    let group = "simulated-bank/T1".to_owned();
    assert_eq!(found, [AuditFinding::GroupChanged { group }]);
    assert!(Bucket::new(wallet.bucket.number()).is_some());
}

fn balance_of(bench: &Bench, code: Code) -> i64 {
    let trial = bench.store.trial_balance().unwrap();
    let line = trial.lines().iter().find(|line| line.code == code);
    line.map_or(0, |line| line.balance.minor())
}
