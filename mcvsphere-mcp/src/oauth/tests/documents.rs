//! Clients that are described by a document at the URL that is their name.

use std::{net::IpAddr, time::Duration};

use axum::{
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use super::{super::web::get_from_stranger, *};

/// A server of documents on this computer, under a name that resolves to it.
async fn documents() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new()
        .route("/good", get(|| async { axum::Json(json!({ "client_id": "x" })) }))
        .route("/moved", get(|| async { Redirect::temporary("/good") }))
        .route("/large", get(|| async { axum::Json(json!({ "x": "x".repeat(6 << 10) })) }))
        .route("/page", get(|| async { Response::new(Body::from("{}")) }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                "{}".into_response()
            }),
        );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://localhost:{port}")
}

#[tokio::test]
async fn threat_15_a_document_is_small_quick_json_and_at_an_address_that_may_be_reached() {
    let server = documents().await;
    let read = |path: &str, reach: fn(IpAddr) -> bool| {
        let url = format!("{server}{path}");
        async move { get_from_stranger(&url, 5 << 10, reach).await.map(|said| (said.status, said.object.is_some())) }
    };
    assert_eq!(read("/good", |_| true).await, Ok((200, true)));
    // The address is looked at when the connection is made, so that a name cannot change in between.
    assert!(read("/good", is_public).await.is_err());
    for path in ["/moved", "/large", "/page", "/slow"] {
        assert!(read(path, |_| true).await.is_err(), "{path}");
    }
    assert_eq!(read("/none", |_| true).await.map_err(drop), Err(()));
}

#[tokio::test]
async fn a_client_with_a_document_logs_in_and_the_user_sees_the_host_that_vouches_for_it() {
    let world = World::new(|_| {}).await;
    let id = "https://app.example/client.json";
    let document = json!({ "client_id": id, "client_name": "App", "redirect_uris": ["http://127.0.0.1/cb"] });
    let login = world.oauth.inner.login.as_ref().unwrap();
    login.documents.know(world.now.load(Ordering::Relaxed), id, document.as_object().unwrap());
    let client = Client { id: id.to_owned(), redirect: Client::REDIRECT.to_owned(), verifier: "v".repeat(43) };
    let page = Browser::default().get(&world, &client.authorize(&[])).await;
    assert!(page.text.contains("app.example") && page.text.contains("could call itself so"), "{}", page.text);
    let tokens = client.log_in(&world).await;
    // The login goes on where the document cannot be read any longer.
    let world = world.restarted(|_| {});
    let answer = client.refresh(&world, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}
