use tracing_subscriber::EnvFilter;

/// Logs to standard error, one line an event, at `info` unless `RUST_LOG` says otherwise.
///
/// Standard output stays free for results.
///
/// # Panics
/// When called twice in one process.
pub fn init_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}
