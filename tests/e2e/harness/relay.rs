//! A wire to the database that a test can cut and mend.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, atomic::AtomicBool};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

#[derive(Clone)]
pub struct Relay(Arc<Wire>);

struct Wire {
    port: u16,
    behind: AtomicU16,
    whole: AtomicBool,
    open: Mutex<Vec<AbortHandle>>,
}

impl Relay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind the relay");
        let port = listener.local_addr().expect("its address").port();
        let wire = Wire {
            port,
            behind: AtomicU16::new(0),
            whole: AtomicBool::new(true),
            open: Mutex::default(),
        };
        let relay = Self(Arc::new(wire));
        let accepting = relay.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if accepting.0.whole.load(Ordering::SeqCst) {
                    accepting.carry(near);
                }
            }
        });
        relay
    }

    /// The address with the relay in front of its host.
    pub fn before(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("a URL");
        self.0.behind.store(url.port().expect("a port"), Ordering::SeqCst);
        url.set_port(Some(self.0.port)).expect("a URL with a host");
        url.to_string()
    }

    fn carry(&self, mut near: TcpStream) {
        let port = self.0.behind.load(Ordering::SeqCst);
        let carrying = tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                // Either end's leaving ends it.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
        self.0.open.lock().unwrap().push(carrying.abort_handle());
    }

    pub fn cut(&self) {
        self.0.whole.store(false, Ordering::SeqCst);
        self.0
            .open
            .lock()
            .unwrap()
            .drain(..)
            .for_each(|carrying| carrying.abort());
    }

    pub fn mend(&self) {
        self.0.whole.store(true, Ordering::SeqCst);
    }
}
