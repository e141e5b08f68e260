//! Row 40, on routes that no service has.

use std::{io, net::Ipv4Addr};

use actix_web::{App, HttpResponse, HttpServer, middleware::from_fn, rt};
use prometheus::Registry;
use rstest::rstest;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
};

use super::{super::routes::not_found, *};

async fn panics() -> HttpResponse {
    panic!("told to panic")
}

async fn panics_later() -> HttpResponse {
    tokio::task::yield_now().await;
    panic!("told to panic")
}

async fn in_a_middleware(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    assert!(!request.path().ends_with("middleware"), "told to panic");
    next.call(request).await
}

/// The status line, the headers and the body of the answer to a request.
async fn ask(client: &mut BufStream<TcpStream>, path: &str) -> io::Result<(String, String)> {
    client
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: abc\r\n\r\n").as_bytes())
        .await?;
    client.flush().await?;
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        assert_ne!(client.read_line(&mut head).await?, 0, "the connection ended");
        length = head[from..].strip_prefix("content-length: ").map_or(length, |n| n.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    Ok((head.to_lowercase(), String::from_utf8(body).unwrap()))
}

#[rstest]
#[case::handler("/now")]
#[case::handler_after_a_while("/later")]
#[case::middleware("/middleware")]
#[actix_web::test]
async fn row_40_a_panic_is_500_on_a_connection_that_stays_usable(#[case] path: &str) {
    let server = HttpServer::new(|| {
        App::new()
            .app_data(web::Data::new(Lifecycle::default()))
            .app_data(web::Data::new(HttpMetrics::register(&Registry::new()).unwrap()))
            .route("/now", web::get().to(panics))
            .route("/later", web::get().to(panics_later))
            .default_service(web::to(not_found))
            .wrap(from_fn(in_a_middleware))
            .wrap(from_fn(every_answer))
    })
    .workers(1)
    .disable_signals()
    .bind((Ipv4Addr::LOCALHOST, 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);

    let mut client = BufStream::new(TcpStream::connect(address).await.unwrap());
    for _ in 0..3 {
        let (head, body) = ask(&mut client, path).await.unwrap();
        assert!(head.starts_with("http/1.1 500 ") && head.contains("x-request-id: abc\r\n"), "{head}");
        assert_eq!(body, r#"{"code":500,"error":"Internal Server Error"}"#);
        let (head, _) = ask(&mut client, "/other").await.unwrap();
        assert!(head.starts_with("http/1.1 404 "), "{head}");
    }
    drop(client);
    handle.stop(false).await;
}
