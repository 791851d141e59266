//! TLS on both sides: HTTP/2 and HTTP/1.1 upstream, certificates verified, ours exchangeable.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use gateway::{Live, TlsFiles};
use policies::vocabulary::Outcome;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::fixture::{KEY, LISTEN, Options, SPEAK};

struct Certificate {
    made: CertifiedKey<KeyPair>,
    folder: TempDir,
}

impl Certificate {
    fn new(name: &str) -> Self {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let made = generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { made, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.path(),
            key: self.folder.path().join("key.pem"),
        }
    }

    fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        let key = PrivatePkcs8KeyDer::from(self.made.signing_key.serialize_der());
        let config = ServerConfig::builder().with_no_client_auth();
        let mut config = config
            .with_single_cert(vec![self.made.cert.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.made.cert.pem().as_bytes()).unwrap();
        reqwest::Client::builder()
            .add_root_certificate(root)
            .no_proxy()
            .build()
            .unwrap()
    }
}

/// A provider on TLS that speaks HTTP/2 and echoes bodies, with a trailer.
async fn http2_provider(acceptor: TlsAcceptor) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            let counter = counter.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                counter.fetch_add(1, Ordering::SeqCst);
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(echo(request, respond));
                }
            });
        }
    });
    (port, connections)
}

async fn echo(request: http::Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    assert_eq!(head.headers["xi-api-key"], KEY);
    assert!(!head.headers.contains_key("transfer-encoding") && !head.headers.contains_key("host"));
    assert_eq!(head.uri.host(), Some("localhost"));
    let mut answer = respond.send_response(http::Response::new(()), false).unwrap();
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else { return };
        body.flow_control().release_capacity(chunk.len()).unwrap();
        answer.send_data(chunk, false).unwrap();
    }
    if head.uri.path() == "/v1/sound-generation" {
        // Once head and data are through; a reset at once would overtake them.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer.send_reset(h2::Reason::INTERNAL_ERROR);
        return;
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "42".parse().unwrap());
    trailers.insert("x-voxgate-error", "ours".parse().unwrap());
    trailers.insert("location", "https://evil.example/".parse().unwrap());
    trailers.insert("x-echo", KEY.parse().unwrap());
    answer.send_trailers(trailers).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_upstream_over_verified_tls() {
    let certificate = Certificate::new("localhost");
    let (port, connections) = http2_provider(certificate.acceptor(&["h2"])).await;
    let mut options = Options::to("127.0.0.1:1".parse().unwrap());
    options.origin = format!("https://localhost:{port}");
    options.ca_file = Some(certificate.path());
    options.workers = 1;
    let fixture = options.start().await;
    for size in [2usize, 70_000, 4 << 20] {
        let body = vec![b'y'; size];
        let answer = fixture
            .request("POST", LISTEN)
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.bytes().await.unwrap(), body);
    }
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "the connection was not reused"
    );
    let broken = fixture
        .request("POST", "/elevenlabs/v1/sound-generation")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 200);
    assert!(broken.bytes().await.is_err());
    assert_eq!(fixture.usage(4).await[0].outcome, Outcome::Interrupted);

    let mut wire = fixture.connect().await;
    wire.send(fixture.head("POST", LISTEN, "transfer-encoding: chunked\r\n"))
        .await;
    wire.send("3\r\nabc\r\n0\r\n\r\n").await;
    wire.until("3\r\nabc\r\n0\r\n\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_between_http2_sides() {
    let certificate = Certificate::new("localhost");
    let (port, _) = http2_provider(certificate.acceptor(&["h2"])).await;
    let mut options = Options::to("127.0.0.1:1".parse().unwrap());
    options.origin = format!("https://localhost:{port}");
    options.ca_file = Some(certificate.path());
    let fixture = options.start().await;
    let stream = tokio::net::TcpStream::connect(fixture.address()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(fixture.url(LISTEN))
        .header("xi-api-key", &fixture.token)
        .body(())
        .unwrap();
    let (answer, mut body) = send.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"abc"), true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    assert_eq!(answer.data().await.unwrap().unwrap(), "abc");
    let trailers = answer.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["x-checksum"], "42");
    assert_eq!(trailers.len(), 1, "{trailers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_upstream_over_tls_and_an_unknown_issuer() {
    let certificate = Certificate::new("localhost");
    let acceptor = certificate.acceptor(&["http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"{}") && stream.read_buf(&mut head).await.unwrap() > 0 {}
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
                .await
                .unwrap();
        }
    });
    for (trusted, status) in [(true, 200), (false, 502)] {
        let mut options = Options::to("127.0.0.1:1".parse().unwrap());
        options.origin = format!("https://localhost:{port}");
        options.ca_file = trusted.then(|| certificate.path());
        let fixture = options.start().await;
        let answer = fixture.request("POST", SPEAK).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), status);
        if !trusted {
            assert_eq!(answer.headers()["x-voxgate-error"], "provider_unreachable");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_certificate_can_be_exchanged_while_serving() {
    let (first, second) = (Certificate::new("localhost"), Certificate::new("localhost"));
    let mut options = Options::to("127.0.0.1:1".parse().unwrap());
    options.tls = Some(first.files());
    let fixture = options.start().await;
    let url = format!("https://localhost:{}/healthz", fixture.address().port());
    let answer = first.client().get(&url).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(second.client().get(&url).send().await.is_err());

    let live = |files: TlsFiles| Live {
        cors_origins: Vec::new(),
        tls: Some(files),
    };
    let mixed = TlsFiles {
        cert: first.path(),
        key: second.files().key,
    };
    assert!(fixture.running().reload(live(mixed)).is_err());
    assert!(
        first.client().get(&url).send().await.is_ok(),
        "a bad pair replaced a good one"
    );
    fixture.running().reload(live(second.files())).unwrap();
    assert_eq!(
        second
            .client()
            .get(&url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "ok\n"
    );
    assert!(first.client().get(&url).send().await.is_err());
}
