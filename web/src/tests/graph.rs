//! The graph of a DAG, as its page draws it.

use super::fixture::fixture;
use super::get;

#[tokio::test]
async fn the_label_of_an_edge_is_drawn_and_told_in_the_list() {
    let fixture = fixture().await;
    let page = get(&fixture, "/dags/hello/graph").await.text;
    let drawn: Vec<&str> = page.split("<text class=\"edge-label\"").skip(1).collect();
    assert_eq!(drawn.len(), 1, "{page}");
    assert!(
        drawn[0].contains(">if &#60;script&#62;alert(1)&#60;/script…</text>"),
        "{}",
        drawn[0]
    );
    assert!(page.contains("greet (if &#60;script"), "{page}");
    assert!(!page.contains("wave ("), "{page}");
}
