use obol_platform::App;
use obol_store::Receipts;

use crate::{
    phone::{Phone, refusal},
    town::Town,
};

#[tokio::test]
async fn a_genuine_notice_credits_the_wallet_once() {
    let town = Town::new().await;
    let (phone, _) = Phone::rider(&town).await;
    let order = phone.order(1_000).await;
    for _ in 0..3 {
        assert_eq!(&town.notify("T1", &order, 1_000).await.body[..], b"success");
    }
    assert_eq!(phone.amounts().await, [5_000, 1_000]);
}

#[tokio::test]
async fn a_genuine_notice_that_pays_no_order_is_kept_and_the_bank_stops() {
    let town = Town::new().await;
    let (phone, _) = Phone::rider(&town).await;
    let order = phone.order(1_000).await;
    let nobodys = "r01-00000000000000000000";
    for (transaction, order, amount) in [("T1", &*order, 999), ("T2", nobodys, 1_000)] {
        for _ in 0..2 {
            let reply = town.notify(transaction, order, amount).await;
            assert_eq!(
                (reply.status.as_u16(), &reply.body[..]),
                (200, &b"success"[..])
            );
        }
    }
    assert_eq!(phone.amounts().await, [5_000]);
    let books = App::books_to_read(&town.config()).unwrap();
    let receipts = books.receipts(Receipts::Uncredited).unwrap();
    let kept: Vec<_> = receipts
        .iter()
        .map(|receipt| {
            (
                &*receipt.transaction,
                receipt.settlement,
                receipt.reason.clone(),
            )
        })
        .collect();
    let wrong = format!("order {order} asks for 1000 minor units, the notice says 999");
    let none = format!("there is no order {nobodys}");
    assert_eq!(
        kept,
        [
            ("T1", "unmatched", Some(wrong)),
            ("T2", "unmatched", Some(none))
        ]
    );
    let other = town.notify("T1", &order, 1_000).await;
    assert_eq!(refusal(&other), (409, "notice-contradicts".into()));
}

#[tokio::test]
async fn reading_the_books_publishes_no_fare_pack() {
    let town = Town::new().await;
    let packs = town.config().fare_packs;
    std::fs::remove_dir_all(&packs).unwrap();
    let books = App::books_to_read(&town.config()).unwrap();
    assert!(books.trial_balance().unwrap().lines().is_empty());
    assert!(!packs.exists());
}
