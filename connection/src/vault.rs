//! Secrets at rest and on their way: XChaCha20-Poly1305 with the key's id and the place of the
//! value as associated data, so that a value cannot be moved to another name.

use crate::{Secret, Unusable};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The form of a sealed value: this byte, the key's id, the nonce, the text with its tag.
const FORM: u8 = 1;
const ID_LEN: usize = 8;
const NONCE_LEN: usize = 24;
const HEAD_LEN: usize = 1 + ID_LEN + NONCE_LEN;
/// What a key for workers begins with in its text.
const WORKER_MARK: &str = "worker-";
/// For what the key of workers is derived.
const WORKER_INFO: &[u8] = b"tidemill: values on their way to a worker";

/// One key.
#[derive(Clone)]
struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A public name of the key: equal keys have equal ids, and an id tells nothing of its key.
    fn id(&self) -> [u8; ID_LEN] {
        let mut hasher = Sha256::new();
        hasher.update(b"tidemill: id of a key");
        hasher.update(self.0.as_slice());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&digest[..ID_LEN]);
        id
    }

    fn for_workers(&self) -> Key {
        let mut derived = Zeroizing::new([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, self.0.as_slice());
        // 32 bytes are always to be had; zeros would be refused by whoever opens.
        let _ = expanded.expand(WORKER_INFO, derived.as_mut_slice());
        Key(derived)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key: &[u8; 32] = &self.0;
        XChaCha20Poly1305::new(key.into())
    }

    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(self.0.as_slice()))
    }

    fn parse(text: &str) -> Option<Key> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Key(key))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keys: the first one seals, each one opens.
#[derive(Clone)]
pub struct Keys {
    keys: Vec<Key>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<String> = self.keys.iter().map(|key| hex(&key.id())).collect();
        write!(f, "Keys({})", ids.join(", "))
    }
}

impl Keys {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Keys, Unusable> {
        let mut key = Zeroizing::new([0; 32]);
        fill(key.as_mut_slice())?;
        Ok(Keys {
            keys: vec![Key(key)],
        })
    }

    /// Reads keys: 64 hexadecimal digits each, one a line or with commas between, the current one
    /// first. Lines that begin with `#` are remarks.
    ///
    /// # Errors
    /// When one is not a key, without a part of it.
    pub fn parse(text: &str) -> Result<Keys, Unusable> {
        Keys::parse_with(text, |word| match word.strip_prefix(WORKER_MARK) {
            None => Key::parse(word),
            Some(_) => None,
        })
    }

    /// Reads the keys of a worker: those that [`Keys::for_workers`] has written, or the keys
    /// that they come from.
    ///
    /// # Errors
    /// As [`Keys::parse`].
    pub fn parse_for_worker(text: &str) -> Result<Keys, Unusable> {
        Keys::parse_with(text, |word| match word.strip_prefix(WORKER_MARK) {
            None => Some(Key::parse(word)?.for_workers()),
            Some(word) => Key::parse(word),
        })
    }

    fn parse_with(text: &str, read: impl Fn(&str) -> Option<Key>) -> Result<Keys, Unusable> {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        let words = lines.flat_map(|line| line.split(','));
        let words = words.map(str::trim).filter(|word| !word.is_empty());
        let keys: Option<Vec<Key>> = words.map(read).collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Keys { keys }),
            _ => Err(Unusable::new(
                "a key is 64 hexadecimal digits; `tidemill secrets new-key` prints one",
            )),
        }
    }

    /// The keys as [`Keys::parse`] reads them, the current one first.
    pub fn text(&self) -> Secret {
        let lines = self.keys.iter().map(|key| format!("{}\n", *key.text()));
        Secret::new(lines.collect::<String>())
    }

    /// What a worker needs to open what is sent to it, as [`Keys::parse_for_worker`] reads it. The
    /// database cannot be opened with it.
    pub fn for_workers_text(&self) -> Secret {
        let keys = self.keys.iter().map(|key| key.for_workers().text());
        let words: Vec<String> = keys.map(|key| format!("{WORKER_MARK}{}", *key)).collect();
        Secret::new(words.join(","))
    }

    /// The keys by which values go to workers.
    pub fn for_workers(&self) -> Keys {
        let keys = self.keys.iter().map(Key::for_workers).collect();
        Keys { keys }
    }

    /// With another key first.
    pub fn after(&self, newer: Keys) -> Keys {
        let keys = newer.keys.into_iter().chain(self.keys.iter().cloned());
        Keys {
            keys: keys.collect(),
        }
    }

    /// The first key alone.
    pub fn current(&self) -> Keys {
        let keys = self.keys.iter().take(1).cloned().collect();
        Keys { keys }
    }

    /// The current key's public name.
    pub fn id(&self) -> String {
        self.keys
            .first()
            .map_or_else(String::new, |key| hex(&key.id()))
    }

    /// Is this sealed by the current key?
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let ids = self.keys.first().map(Key::id).zip(id_of(sealed));
        ids.is_some_and(|(mine, its)| mine == its)
    }

    /// Seals a text for a place, such as `connection/dw/password`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn seal(&self, place: &str, text: &Secret) -> Result<Vec<u8>, Unusable> {
        let key = self
            .keys
            .first()
            .ok_or_else(|| Unusable::new("there is no key"))?;
        let mut sealed = vec![FORM];
        sealed.extend(key.id());
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce)?;
        sealed.extend(nonce);
        let aad = associated(&sealed[..=ID_LEN], place);
        let payload = Payload {
            msg: text.expose().as_bytes(),
            aad: &aad,
        };
        let hidden = key.cipher().encrypt(&XNonce::from(nonce), payload);
        sealed.extend(hidden.map_err(|_| Unusable::new(format!("{place} cannot be sealed")))?);
        Ok(sealed)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// When none of the keys has sealed it, or it was changed or moved.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Secret, Unusable> {
        let id = id_of(sealed).ok_or_else(|| {
            Unusable::new(format!("{place} is not in a form that this program knows"))
        })?;
        let key = self.keys.iter().find(|key| key.id() == id).ok_or_else(|| {
            Unusable::new(format!(
                "{place} is sealed with the key {}, which is not here; there is {}",
                hex(&id),
                self.id()
            ))
        })?;
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&sealed[1 + ID_LEN..HEAD_LEN]);
        let aad = associated(&sealed[..=ID_LEN], place);
        let payload = Payload {
            msg: &sealed[HEAD_LEN..],
            aad: &aad,
        };
        let changed = || Unusable::new(format!("{place} was changed since it was sealed"));
        let text = key.cipher().decrypt(&XNonce::from(nonce), payload);
        let text = text.map_err(|_| changed())?;
        String::from_utf8(text)
            .map(Secret::new)
            .map_err(|_| changed())
    }
}

fn id_of(sealed: &[u8]) -> Option<[u8; ID_LEN]> {
    let is_whole = sealed.len() > HEAD_LEN && sealed[0] == FORM;
    is_whole.then(|| {
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&sealed[1..=ID_LEN]);
        id
    })
}

fn associated(head: &[u8], place: &str) -> Vec<u8> {
    [head, place.as_bytes()].concat()
}

fn fill(bytes: &mut [u8]) -> Result<(), Unusable> {
    getrandom::fill(bytes)
        .map_err(|err| Unusable::new(format!("the system gives no random bytes: {err}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const PLACE: &str = "connection/dw/password";

    fn sealed(keys: &Keys) -> Vec<u8> {
        keys.seal(PLACE, &Secret::from("hunter2")).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_at_its_place_and_nowhere_else() {
        let keys = Keys::generate().unwrap();
        let sealed = sealed(&keys);
        assert_eq!(keys.open(PLACE, &sealed).unwrap().expose(), "hunter2");
        assert!(keys.open("connection/other/password", &sealed).is_err());
        assert!(Keys::generate().unwrap().open(PLACE, &sealed).is_err());
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open(PLACE, &changed).is_err(), "byte {at}");
            assert!(keys.open(PLACE, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let keys = Keys::generate().unwrap();
        assert_ne!(sealed(&keys), sealed(&keys));
    }

    #[test]
    fn an_older_key_opens_and_the_newer_one_seals() {
        let old = Keys::generate().unwrap();
        let before = sealed(&old);
        let both = old.after(Keys::generate().unwrap());
        assert_eq!(both.open(PLACE, &before).unwrap().expose(), "hunter2");
        assert!(!both.is_current(&before));
        let now = sealed(&both);
        assert!(both.is_current(&now));
        assert!(old.open(PLACE, &now).is_err());
        let again = Keys::parse(both.text().expose()).unwrap();
        assert_eq!(
            again.open(PLACE, &before).unwrap(),
            again.open(PLACE, &now).unwrap()
        );
        assert!(both.current().open(PLACE, &before).is_err());
    }

    #[test]
    fn a_worker_opens_what_is_sent_to_it_and_not_the_database() {
        let keys = Keys::generate().unwrap();
        let stored = sealed(&keys);
        let sent = sealed(&keys.for_workers());
        for text in [keys.for_workers_text(), keys.text()] {
            let worker = Keys::parse_for_worker(text.expose()).unwrap();
            assert_eq!(worker.open(PLACE, &sent).unwrap().expose(), "hunter2");
            assert!(worker.open(PLACE, &stored).is_err());
        }
        assert!(Keys::parse(keys.for_workers_text().expose()).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for text in [
            "",
            "# only a remark",
            "hunter2",
            &"g".repeat(64),
            &"ä".repeat(32),
        ] {
            let err = Keys::parse(text).unwrap_err().what;
            assert!(!err.contains("hunter2"), "{err}");
        }
        assert!(!format!("{:?}", Keys::generate().unwrap()).contains("Key("));
    }
}
