//! The dashboard: a page for whoever is on call. It is files alone; what it shows and does, it asks of the admin interface.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::Shared;
use super::problem::Problem;
use super::snapshots::matches;

/// Below `/dashboard/` each file has the path that it has below `www/`, so that they find one another here and there.
macro_rules! files {
    ($($path:literal)*) => {
        [$(($path, include_bytes!(concat!("../../www/", $path)).as_slice())),*]
    };
}

/// The page itself, which is what `/dashboard/` answers.
const PAGE: &str = "dashboard.html";
static EMBEDDED: &[(&str, &[u8])] = &files! {
    "dashboard.html"
    "base.css"
    "dom.js"
    "explain.js"
    "dashboard/api.js"
    "dashboard/decisions.js"
    "dashboard/dialog.js"
    "dashboard/diff.js"
    "dashboard/explanation.js"
    "dashboard/flag.js"
    "dashboard/flags.js"
    "dashboard/guards.js"
    "dashboard/history.js"
    "dashboard/live.js"
    "dashboard/main.js"
    "dashboard/plot.js"
    "dashboard/requirements.js"
    "dashboard/rollout.js"
    "dashboard/rollouts.css"
    "dashboard/rollouts.js"
    "dashboard/session.js"
    "dashboard/shares.js"
    "dashboard/signals.js"
    "dashboard/standing.js"
    "dashboard/status.js"
    "dashboard/steering.js"
    "dashboard/style.css"
    "dashboard/terms.js"
    "dashboard/timeline.js"
    "dashboard/track.js"
    "dashboard/verbs.js"
    "dashboard/words.js"
};

static FILES: LazyLock<BTreeMap<&str, File>> =
    LazyLock::new(|| EMBEDDED.iter().map(|(path, bytes)| (*path, File::new(path, bytes))).collect());

/// Nothing but these files and this server: no script or style within the page, no other origin, no frame, no form that
/// the browser would send on its own, no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// The page, and the ways to it.
pub(super) fn routes() -> Router<Arc<Shared>> {
    // Relative, for whoever serves this below a path of theirs.
    let to_page = || async { Redirect::temporary("dashboard/") };
    Router::new()
        .route("/", get(to_page))
        .route("/dashboard", get(to_page))
        .route("/dashboard/", get(|headers: HeaderMap| async move { file(PAGE, &headers) }))
        .route(
            "/dashboard/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| async move { file(&path, &headers) }),
        )
}

struct File {
    bytes: &'static [u8],
    kind: &'static str,
    digest: String,
}

impl File {
    fn new(path: &str, bytes: &'static [u8]) -> File {
        let kind = match path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        let digest = hmac_sha256::Hash::hash(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        File { bytes, kind, digest }
    }
}

fn file(path: &str, request: &HeaderMap) -> Response {
    let Some(file) = FILES.get(path) else {
        return Problem::not_found("the dashboard has no such file").into_response();
    };
    let fixed = |value| HeaderValue::from_static(value);
    let headers = [
        // Asked each time, and sent only after the server was replaced by another version. Weak: it may be compressed on the way.
        (header::CACHE_CONTROL, fixed("no-cache")),
        (header::ETAG, HeaderValue::try_from(format!("W/\"{}\"", file.digest)).expect("digits, letters and quotes")),
        (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
    ];
    if matches(request, &file.digest) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, [(header::CONTENT_TYPE, fixed(file.kind))], file.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::EMBEDDED;

    #[test]
    fn every_module_of_the_page_is_embedded() {
        let folder = std::fs::read_dir("www/dashboard").expect("the page is there");
        let there: BTreeSet<String> = folder
            .map(|entry| format!("dashboard/{}", entry.expect("it can be read").file_name().to_string_lossy()))
            .collect();
        let embedded = EMBEDDED.iter().map(|(path, _)| (*path).to_owned());
        let embedded: BTreeSet<String> = embedded.filter(|path| path.starts_with("dashboard/")).collect();
        assert_eq!(embedded, there);
    }
}
