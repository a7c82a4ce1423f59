use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Logs to standard error, one line an event, at `info` unless `RUST_LOG` says otherwise. A
/// `RUST_LOG` that cannot be read is said in two lines, and counts as none.
///
/// Standard output stays free for results.
///
/// # Panics
/// When called twice in one process.
pub fn init_logging() {
    let info = || EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let filter = info().from_env().unwrap_or_else(|error| {
        eprintln!("error: RUST_LOG is not used: {error}");
        eprintln!("help: write it like `info` or `obol_issuer=debug,warn`; this run logs at info");
        info().parse_lossy("")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}
