//! Commands on passengers are kept until the issuer has confirmed them.

use obol_account::AccountNumber;
use obol_mint::NOW;
use obol_platform::{App, NotGiven};
use obol_store::{SqliteStore, Standing};

use crate::{phone::Phone, town::Town};

fn books(town: &Town) -> SqliteStore {
    App::books(&town.config()).unwrap()
}

#[tokio::test]
async fn a_command_is_given_until_the_issuer_confirms_it_also_by_a_platform_that_was_started_again()
{
    let town = Town::new().await;
    let (_, account) = Phone::rider(&town).await;
    let account = AccountNumber::new(account).unwrap();
    let given = books(&town)
        .command_subject(account, Standing::Revoked, "stolen", NOW)
        .unwrap();
    town.issuer.be_deaf(true);
    let away = town.app.give_commands("main").await.unwrap_err();
    assert!(matches!(away, NotGiven::Away { .. }), "{away:?}");
    assert_eq!(
        books(&town).unconfirmed_commands("main").unwrap(),
        std::slice::from_ref(&given)
    );

    town.issuer.be_deaf(false);
    let app = town.reopened();
    assert_eq!(app.give_commands("main").await.unwrap(), (1, 0));
    assert_eq!(app.give_commands("main").await.unwrap(), (0, 0));
    let heard = town.issuer.commands();
    let [(path, asked)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(path, &format!("{}/revoke", given.subject));
    assert_eq!(
        (&asked["reason"], asked["number"].as_u64()),
        (&"stolen".into(), Some(given.number))
    );
}
