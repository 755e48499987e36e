use std::pin::Pin;

use rmcp::model::{EmptyResult, ServerResult};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, duplex, empty, sink};

use super::*;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;

/// A transport that has these lines to read, and what it writes. The client keeps its side open.
async fn transport(lines: &[&str]) -> (Stdio<DuplexStream>, DuplexStream, BufReader<DuplexStream>) {
    let (mut input, reader) = duplex(1 << 16);
    let (writer, output) = duplex(1 << 16);
    let transport = Stdio::new(reader, writer);
    for line in lines {
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
    (transport, input, BufReader::new(output))
}

async fn answer(output: &mut BufReader<DuplexStream>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

fn ping(id: i64) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }).to_string()
}

fn pong(id: i64) -> ServerJsonRpcMessage {
    ServerJsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), RequestId::Number(id))
}

async fn id(transport: &mut Stdio<DuplexStream>) -> Value {
    match transport.receive().await {
        Some(JsonRpcMessage::Request(request)) => json!(request.id),
        other => panic!("no request: {other:?}"),
    }
}

#[tokio::test]
async fn what_comes_before_initialize_and_is_no_request_does_not_end_the_session() {
    let before = [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
        "nonsense",
        INITIALIZE,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    ];
    let (mut transport, _input, mut output) = transport(&before).await;
    assert_eq!(id(&mut transport).await, 0);
    assert_eq!(answer(&mut output).await["error"]["code"], -32700);
    assert!(matches!(transport.receive().await, Some(JsonRpcMessage::Notification(_))));
}

#[tokio::test]
async fn a_request_with_the_id_of_one_that_runs_is_refused_and_one_after_its_answer_is_not() {
    let (mut transport, _input, mut output) = transport(&[&ping(1), &ping(1), &ping(2)]).await;
    assert_eq!(id(&mut transport).await, 1);
    assert_eq!(id(&mut transport).await, 2);
    let refusal = answer(&mut output).await;
    assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&json!(1), &json!(-32600)));

    transport.send(pong(1)).await.unwrap();
    assert_eq!(answer(&mut output).await, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    let mut input = _input;
    input.write_all(format!("{}\n", ping(1)).as_bytes()).await.unwrap();
    assert_eq!(id(&mut transport).await, 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_are_answered_after_the_client_has_closed_its_side() {
    let (mut transport, input, mut output) = transport(&[&ping(1), &ping(2)]).await;
    let mut ended = transport.ended();
    assert_eq!(id(&mut transport).await, 1);
    assert_eq!(id(&mut transport).await, 2);
    drop(input);
    // Each answer gives the next one time.
    for number in [1, 2] {
        let mut receive: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(transport.receive());
        assert!(timeout(GRACE * 2 / 3, &mut receive).await.is_err());
        drop(receive);
        assert!(!*ended.borrow_and_update());
        transport.send(pong(number)).await.unwrap();
        assert_eq!(answer(&mut output).await["id"], number);
    }
    assert!(transport.receive().await.is_none());
    assert!(*ended.borrow_and_update());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_does_not_hold_up_the_end() {
    let (mut transport, input, _output) = transport(&[&ping(1)]).await;
    assert_eq!(id(&mut transport).await, 1);
    drop(input);
    let began = Instant::now();
    assert!(transport.receive().await.is_none());
    assert!(began.elapsed() <= GRACE + Duration::from_millis(10));
}

#[tokio::test]
async fn the_session_ends_when_nobody_reads_the_answers() {
    let (mut transport, _input, output) = transport(&[&ping(1)]).await;
    assert_eq!(id(&mut transport).await, 1);
    drop(output);
    transport.send(pong(1)).await.unwrap_err();
    assert!(transport.receive().await.is_none());
}

#[tokio::test]
async fn nothing_to_read_is_the_end() {
    let mut transport = Stdio::new(empty(), sink());
    assert!(transport.receive().await.is_none());
    transport.close().await.unwrap();
}
