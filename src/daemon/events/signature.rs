//! Is a call of a webhook from somebody who has its key, and fresh?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tidemill_model::Ts;
use tidemill_model::event::{Signature, Webhook};

/// What a key begins with that is written in base64.
const IN_BASE64: &str = "whsec_";
/// A shorter key can be guessed, in bytes.
const KEY_MIN: usize = 16;
/// No id of a call is longer.
const ID_MAX: usize = 256;
/// Signatures of one call that are looked at: senders send two while they change their key.
const SIGNATURES_MAX: usize = 8;

/// Why a call is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing or says nothing that can be read.
    #[error("the header `{0}` is missing or cannot be read")]
    Header(&'static str),
    /// It was signed outside of the window.
    #[error("the call was signed too long ago, or in the future")]
    Stale,
    /// Another key, or another body.
    #[error("the signature does not fit")]
    Wrong,
    /// The key is no key.
    #[error("the key of this webhook cannot be used")]
    Key,
}

/// Checks a call, and gives what makes it unique. Names of headers are in small letters.
///
/// # Errors
/// Why it is not taken.
pub fn check(
    webhook: &Webhook,
    key: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
    now: Ts,
) -> Result<String, Unsigned> {
    let key = key_of(key)?;
    match webhook.signature {
        Signature::Standard => standard(webhook, &key, headers, body, now),
        Signature::Github => github(&key, headers, body),
    }
}

fn key_of(text: &str) -> Result<Vec<u8>, Unsigned> {
    let key = match text.strip_prefix(IN_BASE64) {
        Some(rest) => BASE64.decode(rest).map_err(|_| Unsigned::Key)?,
        None => text.as_bytes().to_vec(),
    };
    if key.len() < KEY_MIN {
        return Err(Unsigned::Key);
    }
    Ok(key)
}

/// As <https://www.standardwebhooks.com> has it: `ID.SECONDS.BODY` is signed.
fn standard(
    webhook: &Webhook,
    key: &[u8],
    headers: &BTreeMap<String, String>,
    body: &[u8],
    now: Ts,
) -> Result<String, Unsigned> {
    let header = |name: &'static str| headers.get(name).ok_or(Unsigned::Header(name));
    let id = header("webhook-id")?;
    if id.is_empty() || id.len() > ID_MAX {
        return Err(Unsigned::Header("webhook-id"));
    }
    let seconds = header("webhook-timestamp")?;
    let signed_at: i64 = seconds
        .parse()
        .map_err(|_| Unsigned::Header("webhook-timestamp"))?;
    let signatures = header("webhook-signature")?;
    let mac = mac(key, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body])?;
    let fits = |text: &str| {
        let bytes = text.strip_prefix("v1,").map(|rest| BASE64.decode(rest));
        matches!(bytes, Some(Ok(bytes)) if mac.clone().verify_slice(&bytes).is_ok())
    };
    if !signatures.split_whitespace().take(SIGNATURES_MAX).any(fits) {
        return Err(Unsigned::Wrong);
    }
    // The time counts only when it is the sender's.
    let age = i128::from(now.0) - i128::from(signed_at) * 1_000_000;
    if age.unsigned_abs() > webhook.replay_window.as_micros() {
        return Err(Unsigned::Stale);
    }
    Ok(hex(&Sha256::digest(id.as_bytes())))
}

/// As GitHub has it: the body is signed, and nothing else.
fn github(key: &[u8], headers: &BTreeMap<String, String>, body: &[u8]) -> Result<String, Unsigned> {
    const NAME: &str = "x-hub-signature-256";
    let text = headers.get(NAME).ok_or(Unsigned::Header(NAME))?;
    let bytes = text.strip_prefix("sha256=").and_then(from_hex);
    let bytes = bytes.ok_or(Unsigned::Header(NAME))?;
    let fits = mac(key, &[body])?.verify_slice(&bytes);
    fits.map_err(|_| Unsigned::Wrong)?;
    Ok(hex(&Sha256::digest(body)))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<Hmac<Sha256>, Unsigned> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Unsigned::Key)?;
    for part in parts {
        mac.update(part);
    }
    Ok(mac)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
#[path = "../../../tests/support/chance.rs"]
#[allow(dead_code, reason = "shared with tests that draw more")]
mod chance;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn webhook(signature: Signature) -> Webhook {
        Webhook {
            path: "x".to_string(),
            secret: "var.x".to_string(),
            signature,
            replay_window: Duration::from_secs(300),
            max_bytes: 1 << 18,
        }
    }

    fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        pairs.iter().map(owned).collect()
    }

    /// The example of the standard's own documentation.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const AT: i64 = 1_614_265_330;

    fn ask(signature: &str, id: &str, body: &[u8], seconds_later: i64) -> Result<String, Unsigned> {
        let headers = headers(&[
            ("webhook-id", id),
            ("webhook-timestamp", &AT.to_string()),
            ("webhook-signature", signature),
        ]);
        let now = Ts((AT + seconds_later) * 1_000_000);
        check(&webhook(Signature::Standard), KEY, &headers, body, now)
    }

    #[test]
    fn a_call_is_taken_only_with_its_id_its_time_and_its_body() {
        let key = ask(SIGNED, ID, BODY, 0).unwrap();
        assert_eq!(key, ask(SIGNED, ID, BODY, 299).unwrap());
        let two = format!("v1,AAAA {SIGNED}");
        assert_eq!(key, ask(&two, ID, BODY, -299).unwrap());
        assert_eq!(ask(SIGNED, "msg_2", BODY, 0), Err(Unsigned::Wrong));
        assert_eq!(ask(SIGNED, ID, b"{}", 0), Err(Unsigned::Wrong));
        assert_eq!(ask(SIGNED, ID, BODY, 301), Err(Unsigned::Stale));
        assert_eq!(ask(SIGNED, ID, BODY, -301), Err(Unsigned::Stale));
        for odd in ["", "v1,", "v1,%%", "v2,g0hM", "v1,g0hM9SsE"] {
            assert_eq!(ask(odd, ID, BODY, 0), Err(Unsigned::Wrong), "{odd}");
        }
        let none = check(
            &webhook(Signature::Standard),
            KEY,
            &headers(&[]),
            BODY,
            Ts(0),
        );
        assert_eq!(none, Err(Unsigned::Header("webhook-id")));
    }

    #[test]
    fn no_call_that_was_tampered_with_is_taken_and_none_panics() {
        let mut chance = super::chance::Chance::from_environment("calls");
        let names = [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "x-hub-signature-256",
            "v1,",
            "sha256=",
            " ",
            "99999999999999999999",
            SIGNED,
            ID,
        ];
        for round in 0..5_000 {
            let mut odd = || -> String {
                match chance.one_in(2) {
                    true => names[chance.between(0, names.len() as u64 - 1) as usize].to_string(),
                    false => {
                        let n = chance.between(0, 60);
                        (0..n)
                            .map(|_| char::from(chance.between(32, 126) as u8))
                            .collect()
                    }
                }
            };
            let mut headers = headers(&[
                ("webhook-id", ID),
                ("webhook-timestamp", &AT.to_string()),
                ("webhook-signature", SIGNED),
                ("x-hub-signature-256", "sha256=00"),
            ]);
            let mut body = BODY.to_vec();
            let name = names[(round % 4) as usize].to_string();
            // The signature of the standard is worth nothing for another id, time or body.
            match round % 5 {
                4 => body = odd().into_bytes(),
                _ => drop(headers.insert(name, odd())),
            }
            for signature in [Signature::Standard, Signature::Github] {
                let now = Ts(AT * 1_000_000);
                let taken = check(&webhook(signature), KEY, &headers, &body, now);
                let is_untouched = body == BODY
                    && headers["webhook-id"] == ID
                    && headers["webhook-timestamp"] == AT.to_string()
                    && headers["webhook-signature"].contains(SIGNED)
                    && signature == Signature::Standard;
                assert_eq!(taken.is_ok(), is_untouched, "{headers:?} {body:?}");
            }
        }
    }

    #[test]
    fn github_signs_the_body() {
        // The example of GitHub's own documentation.
        let signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let ask = |signed: &str, body: &[u8]| {
            let headers = headers(&[("x-hub-signature-256", signed)]);
            let key = "It's a Secret to Everybody";
            check(&webhook(Signature::Github), key, &headers, body, Ts(0))
        };
        let key = ask(signed, b"Hello, World!").unwrap();
        assert_eq!(key.len(), 64);
        assert_eq!(ask(signed, b"Hello, World?"), Err(Unsigned::Wrong));
        for odd in ["", "sha256=", "sha256=7", "sha256=zz", "sha1=75"] {
            assert!(ask(odd, b"Hello, World!").is_err(), "{odd}");
        }
    }

    #[test]
    fn a_key_that_could_be_guessed_is_none() {
        for odd in ["", "short", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%"] {
            assert_eq!(key_of(odd), Err(Unsigned::Key), "{odd}");
        }
        assert_eq!(key_of("sixteen bytes it").unwrap().len(), 16);
    }
}
