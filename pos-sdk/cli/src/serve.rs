//! The terminal as a page on loopback: a scanner that types into it, or a picture; a verdict in
//! words, colour and code. One thread takes the codes, one after the other; the page asks it.

mod page;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Form, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use miette::{IntoDiagnostic, Report};
use obol_console::{Outcome, two_lines, unix_now};
use obol_pos_sdk::{
    Currency, Door, Granted, Language, Opening, Refusal, TEXT_MAX, Terminal, UnixTime,
};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::{
    folder::Folder,
    picture,
    say::{self, Format},
    synced::Synced,
    upload::runtime,
};
use page::Verdict;

/// Bytes of the longest form: a text in which each character takes three, and its field's name.
const FORM_MAX: usize = 3 * TEXT_MAX + 64;

type Question = (Vec<u8>, oneshot::Sender<Verdict>);

/// Serves the page until it is interrupted. The journal is this process's meanwhile.
pub(crate) fn serve(folder: &Folder, port: u16, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let synced = Synced::new(folder, &provisioning);
    let mut terminal = folder.terminal(&provisioning)?;
    terminal.prepare();
    let (ask, questions) = mpsc::channel();
    std::thread::scope(|threads| {
        threads.spawn(move || answer(terminal, synced, &questions));
        runtime()?.block_on(listen(ask, port, format))
    })?;
    Ok(Outcome::Done)
}

/// Takes codes until nobody asks any more.
fn answer(mut terminal: Terminal, mut synced: Synced<'_>, questions: &mpsc::Receiver<Question>) {
    while let Ok((text, reply)) = questions.recv() {
        synced.refresh(&mut terminal, UnixTime(unix_now()));
        let mut shown = Shown {
            currency: terminal.currency(),
            verdict: Verdict::Ignored,
        };
        let taken = terminal.take(&text, &mut || UnixTime(unix_now()), &mut shown);
        if let Err(never) = taken {
            match never {}
        }
        if let Some(fault) = terminal.take_fault() {
            eprintln!("{}", two_lines(&Report::new(fault)));
        }
        // The page may have been closed meanwhile: its ride is written down all the same.
        if reply.send(shown.verdict).is_err() {
            eprintln!("note: nobody waits for the verdict any more");
        }
    }
}

/// The gate of a page: what it will show.
struct Shown {
    currency: Option<Currency>,
    verdict: Verdict,
}

impl Door for Shown {
    type Error = std::convert::Infallible;

    fn open(&mut self, ride: &Granted, why: Opening) -> Result<(), Self::Error> {
        self.verdict = Verdict::Opened {
            why,
            seq: ride.record().seq,
            fare_minor: ride.record().fare.amount_minor,
            currency: self.currency,
        };
        Ok(())
    }

    fn stay_closed(&mut self, refusal: Option<&Refusal>) -> Result<(), Self::Error> {
        self.verdict = match refusal {
            Some(refusal) => Verdict::Refused(refusal.code),
            None => Verdict::Ignored,
        };
        Ok(())
    }
}

async fn listen(ask: mpsc::Sender<Question>, port: u16, format: Format) -> miette::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .into_diagnostic()?;
    let own = listener.local_addr().into_diagnostic()?;
    let url = format!("http://{own}/");
    #[derive(serde::Serialize)]
    struct Serving<'a> {
        result: &'a str,
        url: &'a str,
    }
    let value = Serving {
        result: "serving",
        url: &url,
    };
    say::result(format, &format!("SERVING {url}"), &value)?;
    let routes = Router::new()
        .route("/", get(blank).post(typed))
        .route(
            "/picture",
            post(pictured).layer(DefaultBodyLimit::max(picture::FILE_MAX)),
        )
        .route("/page.css", get(|| file("text/css", page::STYLE)))
        .route("/page.js", get(|| file("text/javascript", page::SCRIPT)))
        .with_state(ask)
        .layer(DefaultBodyLimit::max(FORM_MAX))
        .layer(middleware::from_fn_with_state(own, guard));
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, routes)
        .with_graceful_shutdown(interrupted)
        .await
        .into_diagnostic()
}

async fn guard(State(own): State<SocketAddr>, request: Request, next: Next) -> Response {
    let mut response = if is_ours(own, request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "only from this page\n").into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in page::HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// Another site's page in the same browser may neither ask nor read: by name it is not this one
/// (a name that was bent to loopback), or the browser says where it comes from.
fn is_ours(own: SocketAddr, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let names = [own.to_string(), format!("localhost:{}", own.port())];
    let host_is_ours = text(header::HOST).is_some_and(|host| names.iter().any(|n| n == host));
    let from_here = |origin: &str| names.iter().any(|name| origin == format!("http://{name}"));
    host_is_ours && text(header::ORIGIN).is_none_or(from_here)
}

#[derive(Deserialize)]
struct Wanted {
    lang: Option<String>,
}

impl Wanted {
    fn language(&self) -> Language {
        match self.lang.as_deref() {
            Some("zh-CN") => Language::ZhCn,
            _ => Language::En,
        }
    }
}

#[derive(Deserialize)]
struct Typed {
    code: String,
}

async fn blank(Query(wanted): Query<Wanted>) -> Html<String> {
    Html(page::page(wanted.language(), None))
}

async fn typed(
    State(ask): State<mpsc::Sender<Question>>,
    Query(wanted): Query<Wanted>,
    Form(typed): Form<Typed>,
) -> Response {
    judged(&ask, typed.code.into_bytes(), &wanted, page::page).await
}

/// The picture as the body, a PNG.
async fn pictured(
    State(ask): State<mpsc::Sender<Question>>,
    Query(wanted): Query<Wanted>,
    body: Bytes,
) -> Response {
    let read = tokio::task::spawn_blocking(move || picture::read_code_of(&body)).await;
    match read.ok().flatten() {
        Some(text) => judged(&ask, text.into_bytes(), &wanted, page::panel).await,
        None => Html(page::panel(wanted.language(), Some(&Verdict::NoCode))).into_response(),
    }
}

async fn judged(
    ask: &mpsc::Sender<Question>,
    text: Vec<u8>,
    wanted: &Wanted,
    show: fn(Language, Option<&Verdict>) -> String,
) -> Response {
    let (reply, verdict) = oneshot::channel();
    let asked = ask.send((text, reply)).is_ok();
    match verdict.await {
        Ok(verdict) if asked => Html(show(wanted.language(), Some(&verdict))).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn file(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], content)
}
