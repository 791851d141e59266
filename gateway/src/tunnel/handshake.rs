//! The HTTP before a WebSocket (RFC 6455, 4): whether a caller asks for one as it should, and the answer that agrees.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use policies::rewrite::SUBPROTOCOL;
use policies::vocabulary::{Code, Refusal};
use sha1::{Digest, Sha1};

use crate::respond;

/// What the standard appends to a key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A caller's wish for a WebSocket.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What its key must be answered with.
    accept: HeaderValue,
    offers_ours: bool,
}

impl Wish {
    pub fn read(head: &RequestHeader) -> Result<Self, Refusal> {
        let refuse = |message| Err(Refusal::new(Code::InvalidRequest, message));
        if head.method != Method::GET || head.version != Version::HTTP_11 {
            return refuse("ask for a WebSocket with GET over HTTP/1.1");
        }
        let length = head.headers.get(CONTENT_LENGTH);
        if length.is_some_and(|length| length != "0") || head.headers.contains_key(TRANSFER_ENCODING) {
            return refuse("a WebSocket is asked for without a body");
        }
        if !lists(&head.headers, &CONNECTION, "upgrade") {
            return refuse("a WebSocket is asked for with the header Connection: Upgrade too");
        }
        if head
            .headers
            .get(SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            return refuse("speak version 13 of the WebSocket protocol and say so in Sec-WebSocket-Version");
        }
        let mut keys = head.headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return refuse("send Sec-WebSocket-Key once");
        };
        let bytes = STANDARD.decode(key.as_bytes());
        if bytes.is_ok_and(|bytes| bytes.len() == 16) {
            Ok(Self {
                accept: accept(key.as_bytes()),
                offers_ours: lists(&head.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
            })
        } else {
            refuse("Sec-WebSocket-Key is 16 bytes in base64")
        }
    }

    /// Whether a provider that has been sent the caller's key gives the answer to it.
    pub fn is_met_by(&self, answer: &ResponseHeader) -> bool {
        answer.headers.get(SEC_WEBSOCKET_ACCEPT) == Some(&self.accept)
            && lists(&answer.headers, &UPGRADE, "websocket")
    }

    /// The answer that agrees, with these headers too. A subprotocol that the provider has chosen stays.
    pub fn agreed(&self, mut headers: HeaderMap) -> Box<ResponseHeader> {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if self.offers_ours && !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        respond::head(StatusCode::SWITCHING_PROTOCOLS, headers)
    }
}

fn accept(key: &[u8]) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::from_str(&STANDARD.encode(digest)).expect("base64 is visible ASCII")
}

/// Whether a header that lists words lists this one.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(','));
    words.any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(change: (&'static str, &str)) -> Result<Wish, Refusal> {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            change,
        ] {
            head.insert_header(name, value).unwrap();
        }
        Wish::read(&head)
    }

    #[test]
    fn the_example_of_the_standard_is_answered_as_it_says() {
        let wish = asked(("sec-websocket-protocol", "USP, voxgate, voxgate.vxg_x")).unwrap();
        let answer = wish.agreed(HeaderMap::new());
        assert_eq!(
            answer.headers[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(answer.headers[SEC_WEBSOCKET_PROTOCOL], "voxgate");
        assert!(wish.is_met_by(&answer));
        assert!(
            !asked(("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="))
                .unwrap()
                .is_met_by(&answer)
        );
    }

    #[test]
    fn a_subprotocol_that_the_provider_chose_goes_before_ours() {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("USP"));
        let wish = asked(("sec-websocket-protocol", "USP, voxgate")).unwrap();
        assert_eq!(wish.agreed(headers).headers[SEC_WEBSOCKET_PROTOCOL], "USP");
        let none = asked(("sec-websocket-protocol", "voxgate.vxg_x"))
            .unwrap()
            .agreed(HeaderMap::new());
        assert!(!none.headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn who_asks_in_another_way_is_told_how() {
        for change in [
            ("connection", "keep-alive"),
            ("sec-websocket-version", "8"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("sec-websocket-key", "short"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSBpcyBsb25n"),
        ] {
            assert_eq!(
                asked(change).unwrap_err().code,
                Code::InvalidRequest,
                "{change:?}"
            );
        }
    }
}
