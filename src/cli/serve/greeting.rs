//! The lines that a person sees when the service starts at a terminal. A log for machines has the same facts in its line
//! `listening`.

use std::fmt::Write as _;

use crate::{app::Application, build_info::VERSION_AND_REVISION, cli::source::Source, config::Settings};

/// The greeting of a service that listens.
pub(super) fn text(settings: &Settings, source: &Source, app: &Application) -> String {
    let scheme = if settings.http.tls.cert.is_some() { "https" } else { "http" };
    let file = source.config.as_ref().map(|file| file.display().to_string());
    let operators = app.admin_address().map(|address| {
        format!("http://{address}/ shows the service at work; /docs tries calls out; /metrics, /readyz")
    });
    let [cache, store] = app.store_addresses();
    let (store_url, cache_url) = (&settings.store.url, settings.cache_url());
    let cache =
        if store_url == cache_url { "the same place".to_owned() } else { place(cache_url.kind(), cache) };
    let rows = [
        ("configuration", file.unwrap_or_else(|| "the defaults, no file".to_owned())),
        ("partners", format!("POST {scheme}://{}/method", app.address())),
        ("operators", operators.unwrap_or_else(|| "no listener, because admin.bind is empty".to_owned())),
        ("store", place(store_url.kind(), store)),
        ("cache", cache),
    ];
    let mut text = format!("scoring-api {VERSION_AND_REVISION}\n");
    for (name, value) in rows {
        // Writing to a `String` cannot fail.
        _ = writeln!(text, "  {name:<14} {value}");
    }
    text + "Ctrl-C stops it gracefully; Ctrl-C again ends it at once.\n"
}

fn place(kind: &str, address: &str) -> String {
    if kind == address { kind.to_owned() } else { format!("{kind} {address}") }
}
