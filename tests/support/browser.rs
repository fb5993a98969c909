//! Pages as a real browser holds them: headless Chromium.

use super::{Place, stdout, told};
use std::path::Path;
use std::process::Command;

/// The document as Chromium holds it after its scripts have run.
pub fn page(profile: &Path, url: &str) -> String {
    let program = ["chromium", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
        .expect("this test needs Chromium: apt-get install chromium");
    let shown = Command::new(program)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--dump-dom", url])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", told(&shown));
    stdout(&shown)
}

/// A browser that has logged in at the server of a place.
pub struct Browser {
    profile: std::path::PathBuf,
    base: String,
}

impl Browser {
    /// Logs in by the one-time link; the second value is the page to which that leads.
    pub fn of(place: &Place) -> (Browser, String) {
        let link = stdout(&place.call(&["login-link"])).trim().to_string();
        let browser = Browser {
            profile: place.folder().join("chromium"),
            base: link.split("/login").next().unwrap().to_string(),
        };
        let first = page(&browser.profile, &link);
        (browser, first)
    }

    /// The document at a path of the server.
    pub fn page(&self, path: &str) -> String {
        page(&self.profile, &format!("{}{path}", self.base))
    }
}
