//! What each refusal code means and what to do about it, for people at the gate.

use obol_credential::RefusalCode;

/// A language of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Simplified Chinese.
    ZhCn,
}

/// A refusal code in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wording {
    /// What is wrong, one short sentence.
    pub what: &'static str,
    /// What to do, one short sentence.
    pub todo: &'static str,
}

/// A refusal code in words. Each code has its own.
#[must_use]
pub fn wording(code: RefusalCode, language: Language) -> Wording {
    let (what, todo) = match language {
        Language::En => english(code),
        Language::ZhCn => chinese(code),
    };
    Wording { what, todo }
}

fn english(code: RefusalCode) -> (&'static str, &'static str) {
    use RefusalCode as Code;
    match code {
        Code::Malformed => (
            "The code was not read whole, or is none of this operator's app.",
            "Clean the screen, turn its brightness up and show a fresh code.",
        ),
        Code::UnknownScheme => (
            "This is not a boarding code of this system.",
            "Show the code of the operator's own app.",
        ),
        Code::UnknownKey => (
            "The terminal does not know the key behind this credential.",
            "Run `sync`; if it stays, go online with the phone for a fresh credential.",
        ),
        Code::KeySuspended => (
            "The key behind this credential is blocked.",
            "Open the app while online: it gets a credential of another key.",
        ),
        Code::OutOfScope => (
            "The credential is not good for this operator or this class of rider.",
            "Show a credential of this operator.",
        ),
        Code::IssuerSig => (
            "The operator did not issue this credential.",
            "Show the code of the operator's own app.",
        ),
        Code::DeviceSig => (
            "The code was not made by the phone that the credential belongs to.",
            "Show a fresh code on the phone itself.",
        ),
        Code::CredExpired => (
            "The credential has expired.",
            "Go online with the phone: it gets a fresh credential.",
        ),
        Code::CodeStale => (
            "The code is too old: a picture, or a phone whose clock is behind.",
            "Show a fresh code; if it stays, set the phone's clock by the network.",
        ),
        Code::CodeFuture => (
            "The code is from the future: the phone's clock is ahead.",
            "Set the phone's clock by the network.",
        ),
        Code::Denied => (
            "The account behind this credential is blocked.",
            "Open the app: it says why and what is to be paid.",
        ),
        Code::StatusMissing => (
            "The terminal has no status list for this credential.",
            "Run `sync` while the issuer is reachable.",
        ),
        Code::Duplicate => (
            "This code has paid for one ride already.",
            "Show a fresh code for another ride.",
        ),
        Code::Passback => (
            "This phone has just paid here.",
            "Wait a few minutes, or pay with another phone.",
        ),
        Code::Velocity => (
            "This phone has paid for too many rides here.",
            "Wait, or pay with another phone.",
        ),
        Code::Cap => (
            "The fare is higher than may be paid this way now.",
            "Pay in another way; if the terminal is offline for long, run `sync`.",
        ),
        Code::FareUnknown => (
            "The terminal knows no fare for this rider now.",
            "Run `sync` while the platform is reachable.",
        ),
        Code::ClockFault => (
            "The terminal's clock is wrong.",
            "Set the terminal's clock, then run `sync`.",
        ),
        Code::BundleExpired => (
            "The terminal has not heard from the issuer for too long.",
            "Run `sync` while the issuer is reachable.",
        ),
        Code::StorageFault => (
            "The terminal cannot write rides down.",
            "Look at its disk and run `journal check`.",
        ),
        _ => ("The code is refused.", "Show a fresh code."),
    }
}

fn chinese(code: RefusalCode) -> (&'static str, &'static str) {
    use RefusalCode as Code;
    match code {
        Code::Malformed => (
            "乘车码未能完整读取，或不是本系统的乘车码。",
            "请擦净屏幕、调高亮度，刷新后重试。",
        ),
        Code::UnknownScheme => ("这不是本系统的乘车码。", "请出示本运营商应用的乘车码。"),
        Code::UnknownKey => (
            "终端不认识签发该凭证的密钥。",
            "请运行 `sync`；若仍不行，请手机联网更新凭证。",
        ),
        Code::KeySuspended => (
            "签发该凭证的密钥已停用。",
            "请联网打开应用，应用会换领新凭证。",
        ),
        Code::OutOfScope => (
            "该凭证不适用于本运营商或本乘客类别。",
            "请出示本运营商的凭证。",
        ),
        Code::IssuerSig => ("该凭证不是运营商签发的。", "请出示本运营商应用的乘车码。"),
        Code::DeviceSig => (
            "乘车码不是由凭证所属手机生成的。",
            "请在本人手机上刷新后出示。",
        ),
        Code::CredExpired => ("凭证已过期。", "请手机联网，应用会换领新凭证。"),
        Code::CodeStale => (
            "乘车码已过时：可能是截图，或手机时间偏慢。",
            "请刷新乘车码；若仍不行，请将手机设为自动校时。",
        ),
        Code::CodeFuture => ("乘车码时间超前：手机时间偏快。", "请将手机设为自动校时。"),
        Code::Denied => (
            "该凭证对应的账户已被停用。",
            "请打开应用查看原因和应付金额。",
        ),
        Code::StatusMissing => (
            "终端没有该凭证的状态列表。",
            "请在能连接发证方时运行 `sync`。",
        ),
        Code::Duplicate => ("该乘车码已付过一次车费。", "如需再次乘车，请刷新乘车码。"),
        Code::Passback => (
            "该手机刚刚在此付过车费。",
            "请稍候几分钟，或使用另一部手机。",
        ),
        Code::Velocity => ("该手机在此付费次数过多。", "请稍候，或使用另一部手机。"),
        Code::Cap => (
            "车费超过目前允许的单次限额。",
            "请换一种方式付费；若终端长期离线，请运行 `sync`。",
        ),
        Code::FareUnknown => (
            "终端目前没有该乘客的票价。",
            "请在能连接平台时运行 `sync`。",
        ),
        Code::ClockFault => ("终端时间有误。", "请校准终端时间，然后运行 `sync`。"),
        Code::BundleExpired => ("终端与发证方失联过久。", "请在能连接发证方时运行 `sync`。"),
        Code::StorageFault => (
            "终端无法保存乘车记录。",
            "请检查磁盘并运行 `journal check`。",
        ),
        _ => ("乘车码被拒绝。", "请刷新后重试。"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_words_of_its_own_in_both_languages() {
        for language in [Language::En, Language::ZhCn] {
            let codes = RefusalCode::all().iter();
            let words: BTreeSet<_> = codes.map(|code| wording(*code, language).what).collect();
            assert_eq!(words.len(), RefusalCode::all().len(), "{language:?}");
        }
    }

    #[test]
    fn chinese_words_are_chinese() {
        for code in RefusalCode::all() {
            let words = wording(*code, Language::ZhCn).what;
            assert!(words.ends_with('。'), "{code}: {words}");
        }
    }
}
