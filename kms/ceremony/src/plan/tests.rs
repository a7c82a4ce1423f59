use super::*;

const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

fn root() -> String {
    format!(
        "schema = 1\nact = 'root-generation'\ntitle = 'The root'\n\
         [[steps]]\ndo = 'generate-key'\ntoken = 'root'\nlabel = 'root'\ncurve = 'P-384'\n\
         [[steps]]\ndo = 'certify-root'\ntoken = 'root'\nkey = 'root'\ncommon_name = 'Root'\n\
         days = 7300\npolicy = 'docs/certificate-policy.md#root'\nout = 'root.pem'\n\
         [environment]\nmodule_sha256 = '{HASH}'\ntool_sha256 = '{HASH}'\n\
         [[environment.tokens]]\nname = 'root'\nlabel = 'root'\nserial = 'a1b2'\n"
    )
}

fn refusal(text: &str) -> InvalidPlan {
    Plan::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn white_space_comments_and_the_order_of_keys_do_not_change_the_hash() {
    let plan = Plan::parse(root().as_bytes()).unwrap();
    let other = root().replace(
        "schema = 1\nact = 'root-generation'",
        "act='root-generation' # so\n\nschema =1",
    );
    assert_eq!(Plan::parse(other.as_bytes()).unwrap().hash(), plan.hash());
    let longer = root().replace("7300", "7301");
    assert_ne!(Plan::parse(longer.as_bytes()).unwrap().hash(), plan.hash());
}

#[test]
fn the_canonical_form_is_deterministic_cbor_with_shorter_keys_first() {
    let plan = Plan::parse(root().as_bytes()).unwrap();
    // {"act": "root-generation", "steps": [2 …
    assert!(
        plan.canonical()
            .starts_with(b"\xa5\x63act\x6froot-generation\x65steps\x82")
    );
}

#[test]
fn a_plan_that_names_its_own_approvers_is_refused() {
    for key in ["approvers", "officers", "quorum", "witnesses", "roster"] {
        let own = format!("{key} = ['mallory']\n{}", root());
        assert_eq!(refusal(&own), InvalidPlan::OwnApprovers(key.to_owned()));
    }
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    let changes = [
        ("schema = 1", "schema = 1\nforce = 'yes'"),
        ("curve = 'P-384'", "curve = 'P-384'\nextractable = 'yes'"),
        ("days = 7300", "days = 7300\nskip_lints = ['key-usage']"),
        ("serial = 'a1b2'", "serial = 'a1b2'\nslot = 0"),
        ("[environment]", "[environment]\nclock = 'any'"),
    ];
    for (from, to) in changes {
        let refused = refusal(&root().replace(from, to));
        assert!(matches!(refused, InvalidPlan::Syntax(_)), "{to}: {refused}");
    }
}

#[test]
fn steps_of_another_act_or_in_another_order_are_refused() {
    let other = root().replace("root-generation", "key-request");
    assert_eq!(refusal(&other), InvalidPlan::Steps(Act::KeyRequest));
    let (head, steps) = root()
        .split_once("[[steps]]")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (first, rest) = steps.split_once("[[steps]]").unwrap();
    let (second, tail) = rest.split_once("[environment]").unwrap();
    let turned = format!("{head}[[steps]]{second}[[steps]]{first}[environment]{tail}");
    assert_eq!(refusal(&turned), InvalidPlan::Steps(Act::RootGeneration));
}

#[test]
fn names_that_leave_their_folder_and_names_of_nothing_are_refused() {
    for out in [
        "../root.pem",
        "/etc/passwd",
        "a/b",
        ".hidden",
        "Root.pem",
        "",
        "a..b",
    ] {
        let plan = root().replace("'root.pem'", &format!("'{out}'"));
        let found = out.to_owned();
        assert_eq!(refusal(&plan), InvalidPlan::Name { what: "out", found });
    }
    let stranger = root().replace("token = 'root'\nlabel", "token = 'other'\nlabel");
    let name = "other".to_owned();
    let what = "token";
    assert_eq!(
        refusal(&stranger),
        InvalidPlan::Unknown {
            step: 1,
            what,
            name
        }
    );
    let stranger = root().replace("key = 'root'", "key = 'other'");
    let (name, what) = ("other".to_owned(), "key");
    assert_eq!(
        refusal(&stranger),
        InvalidPlan::Unknown {
            step: 2,
            what,
            name
        }
    );
}

#[test]
fn what_is_declared_and_never_used_is_refused() {
    let input = format!("{}[[inputs]]\nname = 'x.pem'\nsha256 = '{HASH}'\n", root());
    let name = "x.pem".to_owned();
    assert_eq!(
        refusal(&input),
        InvalidPlan::Unused {
            what: "input",
            name
        }
    );
}

#[test]
fn two_tokens_with_one_serial_are_refused() {
    let twice = format!(
        "{}[[environment.tokens]]\nname = 'b'\nlabel = 'b'\nserial = 'a1b2'\n",
        root()
    );
    let name = "b".to_owned();
    assert_eq!(
        refusal(&twice),
        InvalidPlan::Twice {
            what: "token",
            name
        }
    );
}

#[test]
fn numbers_below_zero_and_other_kinds_of_values_are_refused() {
    for value in ["-1", "1.5", "true", "2026-01-01"] {
        let plan = root().replace("7300", value);
        assert!(matches!(refusal(&plan), InvalidPlan::Syntax(_)), "{value}");
    }
    assert_eq!(
        refusal(&root().replace("schema = 1", "schema = 2")),
        InvalidPlan::Schema(2)
    );
    assert_eq!(
        refusal(&"#".repeat(PLAN_MAX + 1)),
        InvalidPlan::TooLong(PLAN_MAX + 1)
    );
    assert_eq!(Plan::parse(&[0xff]), Err(InvalidPlan::NotText));
}
