//! The request head → [`Recognised`]. Heads that two readers could read differently are refused first.

use http::{Method, header};
use pingora::http::RequestHeader;
use policies::descriptor::Providers;
use policies::rules::{self, Inbound, UnifiedInbound};
use policies::vocabulary::{Code, Dialect, Refusal};

use super::{Seen, Stop};

/// Which of the two modes a request is for.
pub enum Recognised {
    Native(Inbound),
    Unified(UnifiedInbound),
}

pub fn recognise(head: &RequestHeader, providers: &Providers) -> Result<Recognised, Stop> {
    well_formed(head).map_err(|refusal| Seen::nothing(Dialect::Plain).stop(refusal))?;
    if let Some(unified) = rules::recognise_unified(&head.method, &head.uri, &head.headers) {
        return unified
            .map(Recognised::Unified)
            .map_err(|refusal| Seen::unified().stop(refusal));
    }
    rules::recognise(&head.method, &head.uri, &head.headers, providers)
        .map(Recognised::Native)
        .map_err(|(dialect, refusal)| Seen::nothing(dialect).stop(refusal))
}

/// What pingora lets pass and a gateway should not: no `Host`, tunnels, proxy-style targets, and targets that
/// are not text.
fn well_formed(head: &RequestHeader) -> Result<(), Refusal> {
    let refuse = |message| Err(Refusal::new(Code::InvalidRequest, message));
    let names_host = head.headers.contains_key(header::HOST) || head.uri.authority().is_some();
    if head.method == Method::CONNECT {
        return refuse("CONNECT is not offered");
    }
    if !names_host {
        return refuse("the request names no host");
    }
    if !head.raw_path_is_utf8() {
        return refuse("the request target is not text");
    }
    if !head.raw_path().starts_with(b"/") {
        return refuse("send the path alone as the request target");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, host: bool) -> RequestHeader {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        if host {
            head.insert_header("host", "gateway").unwrap();
        }
        head
    }

    #[test]
    fn odd_heads_are_refused() {
        assert!(well_formed(&head("GET", "/elevenlabs/v1/voices", true)).is_ok());
        for (method, target, host) in [
            ("GET", "/elevenlabs/v1/voices", false),
            ("CONNECT", "api.example.com:443", true),
            ("GET", "http://other.example/elevenlabs/v1/voices", true),
        ] {
            let refusal = well_formed(&head(method, target, host)).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidRequest, "{method} {target}");
        }
    }
}
