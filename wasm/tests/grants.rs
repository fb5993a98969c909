//! What a module can reach: what it was granted, and nothing else.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use common::{Place, args, c, component, rust};
use std::io::{Read, Write};
use tidemill_wasm::{Dir, Grants, Mode, Stdin, Why};

#[tokio::test]
async fn without_grants_a_module_has_no_argument_no_variable_no_input_and_no_file() {
    let mut place = Place::new();
    for module in [c("probe"), component("probe", None)] {
        let ended = place.run(&module, Grants::default()).await.unwrap();
        assert_eq!(
            (ended.exit_code, place.stdout.text().as_str()),
            (0, "stdin 0\n")
        );
        let ended = place.run(&module, args(&["escape"])).await.unwrap();
        let said = place.stdout.text();
        assert_eq!(ended.exit_code, 0);
        assert!(
            said.lines().count() > 15 && !said.contains("DONE"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_is_granted_arrives_and_the_exit_status_comes_back() {
    let mut place = Place::new();
    for module in [c("probe"), component("probe", None)] {
        let mut grants = args(&["show", "two words", "ü"]);
        grants.env = vec![("REGION".to_string(), "eu".to_string())];
        grants.stdin = Stdin::Bytes(vec![b'x'; 100_000]);
        let ended = place.run(&module, grants).await.unwrap();
        assert_eq!(ended.exit_code, 0);
        assert_eq!(
            place.stdout.text(),
            "arg probe\narg show\narg two words\narg ü\nenv REGION=eu\nstdin 100000\n"
        );
        assert_eq!(place.stderr.text(), "a word on stderr\n");
    }
    let ended = place.run(&c("probe"), args(&["exit", "7"])).await.unwrap();
    assert_eq!(ended.exit_code, 7);
}

#[tokio::test]
async fn a_module_of_rust_reads_a_file_as_its_input() {
    let mut place = Place::new();
    let path = place.folder.path().join("in");
    std::fs::write(&path, "one two\nthree\n".repeat(5000)).unwrap();
    let grants = Grants {
        stdin: Stdin::File(std::fs::File::open(&path).unwrap()),
        ..Grants::default()
    };
    let ended = place.run(&rust("lines"), grants).await.unwrap();
    assert_eq!(ended.exit_code, 0, "{}", place.stderr.text());
    assert_eq!(
        place.stdout.text(),
        "{\"lines\": 10000, \"words\": 15000}\n"
    );
}

/// `/data` with a file, a folder, and links that lead out; beside it something secret.
fn data(place: &Place, mode: Mode) -> Dir {
    let host = place.folder.path().join("inside");
    std::fs::create_dir_all(host.join("sub")).unwrap();
    std::fs::write(place.folder.path().join("secret"), "secret").unwrap();
    std::fs::write(host.join("file"), "content").unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, host.join(name)).unwrap();
    link("../secret", "link");
    link("/etc/passwd", "absolute");
    link("..", "up");
    Dir {
        host,
        guest: "/data".to_string(),
        mode,
    }
}

#[tokio::test]
async fn no_path_and_no_link_leads_out_of_a_granted_folder() {
    for of_component in [false, true] {
        let mut place = Place::new();
        let module = if of_component {
            component("probe", None)
        } else {
            c("probe")
        };
        let mut grants = args(&["escape"]);
        grants.dirs = vec![data(&place, Mode::ReadWrite)];
        place.run(&module, grants).await.unwrap();
        let said = place.stdout.text();
        assert!(
            said.lines().count() >= 18 && !said.contains("DONE"),
            "{said}"
        );
        let secret = place.folder.path().join("secret");
        assert_eq!(std::fs::read_to_string(secret).unwrap(), "secret");
        for made in ["taken", "made", "inside/hard", "inside/taken"] {
            assert!(!place.folder.path().join(made).exists(), "{made}");
        }
    }
}

#[tokio::test]
async fn nothing_changes_in_a_folder_that_may_only_be_read() {
    for of_component in [false, true] {
        let mut place = Place::new();
        let module = if of_component {
            component("probe", None)
        } else {
            c("probe")
        };
        let dir = data(&place, Mode::Read);
        let before = std::fs::metadata(dir.host.join("file"))
            .unwrap()
            .modified()
            .unwrap();
        let mut grants = args(&["change"]);
        grants.dirs = vec![dir.clone()];
        place.run(&module, grants).await.unwrap();
        let said = place.stdout.text();
        let done: Vec<&str> = said.lines().filter(|line| line.ends_with("DONE")).collect();
        assert_eq!(done, ["read: DONE"], "{said}");
        let file = dir.host.join("file");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "content");
        assert_eq!(std::fs::metadata(file).unwrap().modified().unwrap(), before);
    }
}

#[tokio::test]
async fn a_module_writes_where_it_may() {
    let mut place = Place::new();
    let dir = data(&place, Mode::ReadWrite);
    let mut grants = args(&["save"]);
    grants.dirs = vec![dir.clone()];
    let ended = place.run(&c("probe"), grants).await.unwrap();
    assert_eq!(ended.exit_code, 0);
    let made = std::fs::read_to_string(dir.host.join("made-here")).unwrap();
    assert_eq!(made, "by the module\n");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let mut place = Place::new();
    let mut grants = args(&["save"]);
    grants.dirs = vec![Dir {
        host: "/no/such/folder".into(),
        guest: "/data".to_string(),
        mode: Mode::Read,
    }];
    let failure = place.run(&c("probe"), grants).await.unwrap_err();
    assert_eq!(failure.why, Why::Grant);
    assert!(failure.message.contains("/no/such/folder"), "{failure}");
}

/// Answers one request with 204.
fn server() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0u8; 4096];
        let n = stream.read(&mut request).unwrap();
        assert!(request[..n].starts_with(b"GET / HTTP/1.1\r\n"));
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            .unwrap();
    });
    address
}

#[tokio::test]
async fn a_component_reaches_the_hosts_of_its_list_and_another_is_refused_by_name() {
    let mut place = Place::new();
    let module = component("fetch", Some("fetch.wit"));
    let address = server();
    let asks = |hosts: &[String]| Grants {
        hosts: hosts.to_vec(),
        ..args(&[&address.to_string()])
    };
    let refused = place
        .run(&module, asks(&["localhost:80".to_string()]))
        .await
        .unwrap();
    // 15 is HTTP-request-denied.
    assert_eq!(
        (refused.exit_code, place.stdout.text().as_str()),
        (1, "error 15\n")
    );
    assert_eq!(refused.refused_host, Some(address.to_string()));
    let ended = place
        .run(&module, asks(&[address.to_string()]))
        .await
        .unwrap();
    assert_eq!(
        (ended.exit_code, place.stdout.text().as_str()),
        (0, "status 204\n")
    );
    assert_eq!(ended.refused_host, None);
}
