//! The stylesheet, the script and the icon, from the binary itself.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Static {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const FILES: [Static; 3] = [
    Static {
        name: "tidemill.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("../static/tidemill.css"),
    },
    Static {
        name: "live.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../static/live.js"),
    },
    Static {
        name: "icon.svg",
        kind: "image/svg+xml",
        text: include_str!("../static/icon.svg"),
    },
];

/// The first 64 bits of each file's SHA-256, in the order of [`FILES`].
static HASHES: LazyLock<[String; 3]> = LazyLock::new(|| {
    FILES.each_ref().map(|file| {
        let digest = Sha256::digest(file.text.as_bytes());
        digest[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    })
});

/// The addresses of the files, with their content's hash.
pub(crate) static LINKS: LazyLock<[String; 3]> = LazyLock::new(|| {
    let mut hashes = HASHES.iter();
    FILES.each_ref().map(|file| {
        format!(
            "/static/{}?{}",
            file.name,
            hashes.next().map(String::as_str).unwrap_or_default()
        )
    })
});

/// One file. Its address changes with its content, so it may be kept for ever.
pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(at) = FILES.iter().position(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = format!("\"{}\"", HASHES[at]);
    let common = [
        (header::ETAG, etag.clone()),
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".into(),
        ),
    ];
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == etag.as_bytes());
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (
        [(header::CONTENT_TYPE, FILES[at].kind)],
        common,
        FILES[at].text,
    )
        .into_response()
}
