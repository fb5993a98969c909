//! TLS to the server: whom a client believes, and what it says of whom it does not.

use super::*;
use tidemill_store_conformance::server::Certificate;

/// The address by TCP, with what TLS is to check.
fn by_tcp(server: &Server, host: &str, more: &str) -> Address {
    let port = server.port();
    address(&format!(
        "postgres://postgres@{host}:{port}/postgres?{more}"
    ))
}

async fn refused(address: &Address) -> String {
    let refused = PostgresStore::open(address).await.unwrap_err();
    chain(&refused)
}

#[tokio::test]
async fn a_server_of_the_named_authority_is_believed_and_no_other() {
    let (mine, other) = (Certificate::new(), Certificate::new());
    let server = Server::start_with_tls(&mine);
    let full = |authority: &Certificate| {
        let file = authority.authority();
        format!("sslmode=verify-full&sslrootcert={}", file.display())
    };

    let address = by_tcp(&server, "localhost", &full(&mine));
    let store = PostgresStore::open(&address).await.unwrap();
    let mut conn = store.conn().await.unwrap();
    let text = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let row = sqlx::query(text).fetch_one(&mut *conn).await.unwrap();
    assert!(sqlx::Row::get::<bool, _>(&row, 0));

    let said = refused(&by_tcp(&server, "localhost", &full(&other))).await;
    assert!(
        said.contains("certificate") && said.contains("sslrootcert"),
        "{said}"
    );
    let said = refused(&by_tcp(&server, "localhost", "sslmode=verify-full")).await;
    assert!(
        said.contains("certificate") && said.contains("sslrootcert"),
        "{said}"
    );
    let said = refused(&by_tcp(&server, "127.0.0.1", &full(&mine))).await;
    assert!(said.contains("not valid for name"), "{said}");
    let said = refused(&by_tcp(&server, "localhost", "sslmode=disable")).await;
    assert!(said.contains("no encryption"), "{said}");
    let missing = "sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
    let said = refused(&by_tcp(&server, "localhost", missing)).await;
    assert!(said.contains("No such file"), "{said}");
}
