//! The page itself. Nothing that came from outside is ever written into it.

use obol_pos_sdk::{Currency, Language, Opening, RefusalCode, wording};

use crate::say::minor;

pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

pub(super) const HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// What the page shows of a code.
pub(super) enum Verdict {
    Opened {
        why: Opening,
        seq: u64,
        fare_minor: u32,
        currency: Option<Currency>,
    },
    Refused(RefusalCode),
    Ignored,
    /// A picture without a readable code.
    NoCode,
}

struct Words {
    lang: &'static str,
    title: &'static str,
    scan: &'static str,
    hint: &'static str,
    check: &'static str,
    picture: &'static str,
    waiting: &'static str,
    granted: &'static str,
    already_paid: &'static str,
    refused: &'static str,
    ignored: &'static str,
    ignored_hint: &'static str,
    no_code: &'static str,
    no_code_hint: &'static str,
    fare: &'static str,
    record: &'static str,
    other: (&'static str, &'static str),
}

const EN: Words = Words {
    lang: "en",
    title: "Obol terminal",
    scan: "Boarding code",
    hint: "Scan here: a scanner types the code and Enter.",
    check: "Check",
    picture: "Or a picture of the code (PNG)",
    waiting: "Show a boarding code",
    granted: "Welcome aboard",
    already_paid: "Already paid: welcome aboard",
    refused: "Please do not board",
    ignored: "Just taken",
    ignored_hint: "The same phone was taken less than three seconds ago. Nothing was charged again.",
    no_code: "No code in the picture",
    no_code_hint: "Show the whole code with its white margin, sharp and straight.",
    fare: "Fare",
    record: "Record",
    other: ("zh-CN", "中文"),
};

const ZH: Words = Words {
    lang: "zh-CN",
    title: "Obol 车载终端",
    scan: "乘车码",
    hint: "请在此扫码：扫码枪会输入乘车码并回车。",
    check: "检票",
    picture: "或上传乘车码图片（PNG）",
    waiting: "请出示乘车码",
    granted: "请上车",
    already_paid: "已付费，请上车",
    refused: "请勿上车",
    ignored: "刚刚已扫",
    ignored_hint: "同一手机三秒内已扫过，未重复扣费。",
    no_code: "图片中没有乘车码",
    no_code_hint: "请完整、清晰、端正地拍下乘车码及其白边。",
    fare: "车费",
    record: "记录",
    other: ("en", "English"),
};

fn words(language: Language) -> &'static Words {
    match language {
        Language::En => &EN,
        Language::ZhCn => &ZH,
    }
}

/// The whole page.
pub(super) fn page(language: Language, verdict: Option<&Verdict>) -> String {
    let words = words(language);
    let (other, other_name) = words.other;
    let panel = panel(language, verdict);
    let Words {
        lang,
        title,
        scan,
        hint,
        check,
        picture,
        ..
    } = words;
    format!(
        r#"<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header><h1>{title}</h1><nav><a href="/?lang={other}" lang="{other}">{other_name}</a></nav></header>
<main>
<div id="verdict" role="status" aria-live="assertive" aria-atomic="true">{panel}</div>
<form method="post" action="/?lang={lang}">
<label for="code">{scan}</label>
<p id="hint">{hint}</p>
<div class="line"><input id="code" name="code" autocomplete="off" autocapitalize="off"
 spellcheck="false" autofocus required aria-describedby="hint">
<button>{check}</button></div>
</form>
<div class="picture"><label for="picture">{picture}</label>
<input id="picture" type="file" accept="image/png" data-to="/picture?lang={lang}"></div>
</main>
</body>
</html>
"#
    )
}

/// The verdict alone.
pub(super) fn panel(language: Language, verdict: Option<&Verdict>) -> String {
    let words = words(language);
    match verdict {
        None => shown("waiting", "○", words.waiting, "", ""),
        Some(Verdict::Opened {
            why,
            seq,
            fare_minor,
            currency,
        }) => {
            let (code, headline) = match why {
                Opening::Granted => ("GRANTED", words.granted),
                Opening::AlreadyPaid => ("ALREADY_PAID", words.already_paid),
            };
            let currency = currency.map(|c| c.as_str().to_owned()).unwrap_or_default();
            let fare = format!("{} {} {currency}", words.fare, minor(*fare_minor));
            let detail = format!("{} · {} {seq}", fare.trim_end(), words.record);
            shown("granted", "✓", headline, &detail, code)
        }
        Some(Verdict::Refused(code)) => {
            let said = wording(*code, language);
            let detail = format!("{} {}", said.what, said.todo);
            let code = format!("{} ({})", code.name(), code.number());
            shown("refused", "✕", words.refused, &detail, &code)
        }
        Some(Verdict::Ignored) => {
            shown("waiting", "↺", words.ignored, words.ignored_hint, "IGNORED")
        }
        Some(Verdict::NoCode) => {
            shown("waiting", "?", words.no_code, words.no_code_hint, "NO_CODE")
        }
    }
}

fn shown(class: &str, sign: &str, headline: &str, detail: &str, code: &str) -> String {
    format!(
        "<section class=\"{class}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span>\
         <h2>{headline}</h2><p>{detail}</p><p class=\"code\">{code}</p></section>"
    )
}
