//! The upstream head: no credential of the caller's survives, the key stands in exactly one place, the
//! host is the descriptor's, and making the head twice gives the same bytes.

mod common;

use common::{KEY, PROVIDERS, enough, headers, provider, seen, settings};
use http::{HeaderMap, Method};
use policies::descriptor::{Hosts, Origin, Provider, check_file};
use policies::rewrite::upstream_head;
use policies::rules::{AnswerHeader, leads_away, presented_tokens, recognise};
use proptest::prelude::*;

/// The head as it goes on the wire, one line per header.
fn written(parts: &http::request::Parts) -> String {
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text
}

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}

fn made(provider: &Provider, origin: &Origin, path: &str, query: Option<&str>, head: &HeaderMap) -> String {
    written(&upstream_head(provider, origin, &Method::POST, path, query, head, KEY).unwrap())
}

/// Every place of a credential, with what it holds around the token.
const PLACES: [(&str, &str); 22] = [
    ("authorization", "Bearer {}"),
    ("authorization", "Token {}"),
    ("authorization", "Basic {}"),
    ("authorization", "{}"),
    ("xi-api-key", "{}"),
    ("ocp-apim-subscription-key", "{}"),
    ("x-goog-api-key", "{}"),
    ("api-key", "{}"),
    ("x-api-key", "{}"),
    ("cookie", "session={}"),
    ("proxy-authorization", "Basic {}"),
    ("sec-websocket-protocol", "USP, voxgate, voxgate.{}"),
    ("x-voxgate-anything", "{}"),
    ("?", "key={}"),
    ("?", "token={}"),
    ("?", "access_token={}"),
    ("?", "Authorization=Bearer%20{}"),
    ("?", "single_use_token={}"),
    ("?", "Ocp-Apim-Subscription-Key={}"),
    ("?", "xi-api-k%65y={}"),
    ("?", "subscription-key={}"),
    ("?", "API_KEY={}"),
];

fn innocent() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec![
        "accept",
        "content-type",
        "user-agent",
        "x-connectionid",
        "origin",
        "?a",
        "?b%20",
    ]);
    prop::collection::vec((name.prop_map(str::to_owned), "[a-z0-9]{0,8}"), 0..5)
}

proptest! {
    #[test]
    fn no_credential_survives_and_the_key_stands_once(
        token in "vxg_[A-Za-z0-9]{36}",
        places in prop::collection::vec(prop::sample::select(PLACES.to_vec()), 1..6),
        innocent in innocent(),
        id in prop::sample::select(vec!["azure", "elevenlabs", "gemini"]),
    ) {
        let provider = common::provider(id);
        let mut head = Vec::new();
        let mut query = Vec::new();
        let shown = places.iter().map(|(name, around)| ((*name).to_owned(), around.replace("{}", &token)));
        for (name, value) in innocent.into_iter().chain(shown) {
            match name.strip_prefix('?') {
                Some("") => query.push(value),
                Some(name) => query.push(format!("{name}={value}")),
                None => head.push((name, value)),
            }
        }
        let pairs: Vec<_> = head.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let head = headers(&pairs);
        let uri = format!("/{}/v1/any?{}", provider.id, query.join("&")).parse().unwrap();
        let inbound = recognise(&Method::POST, &uri, &head, &PROVIDERS).unwrap();
        prop_assert!(presented_tokens(uri.query(), &head).iter().all(|shown| shown.expose() == token));

        let hosts = provider.hosts(&provider.settings(&enough(&provider)).unwrap()).unwrap();
        for origin in hosts.0.values() {
            for query in [inbound.query.as_deref(), uri.query()] {
                let out = made(&provider, origin, &inbound.raw_path, query, &head);
                prop_assert!(!out.contains(&token), "{}", out);
                prop_assert_eq!(out.matches(KEY).count(), 1);
                let host = format!("\nhost: {}\n", origin.authority());
                prop_assert!(out.contains(&host) && out.matches("\nhost: ").count() == 1);
                prop_assert_eq!(&out, &made(&provider, origin, &inbound.raw_path, query, &head));
            }
        }
    }

    #[test]
    fn other_parameters_keep_their_bytes(query in "[a-z%0-9=;+~-]{0,30}(&[a-z]{1,3}=[a-zA-Z0-9%+]{0,5}){0,4}") {
        prop_assume!(!query.contains("key") && !query.contains("token"));
        let uri: Result<http::Uri, _> = format!("/elevenlabs/v1/models?{query}").parse();
        prop_assume!(uri.is_ok());
        let inbound = seen("GET", &format!("/elevenlabs/v1/models?{query}"), &[]).unwrap();
        prop_assert_eq!(inbound.query.unwrap_or_default(), query);
    }
}

#[test]
fn what_is_of_this_hop_or_about_the_way_stays_here() {
    let head = headers(&[
        ("host", "gateway"),
        ("connection", "keep-alive, X-Private, content-length"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 x"),
        ("x-real-ip", "10.0.0.1"),
        ("x-http-method-override", "DELETE"),
        ("x-goog-user-project", "other"),
        ("ocp-apim-subscription-region", "other"),
        ("accept-encoding", "gzip"),
        ("content-length", "3"),
        ("content-type", "application/json"),
        ("user-agent", "sdk/1"),
        ("x-connectionid", "c"),
    ]);
    let out = made(
        &provider("elevenlabs"),
        &origin("https://a.example"),
        "/v1/x",
        None,
        &head,
    );
    let expected = "POST /v1/x\nhost: a.example\naccept-encoding: identity\ncontent-length: 3\ncontent-type: application/json\n\
        user-agent: sdk/1\nx-connectionid: c\n";
    assert_eq!(out, format!("{expected}xi-api-key: {KEY}\n"));
}

#[test]
fn the_key_is_marked_sensitive_and_refused_when_no_header_can_hold_it() {
    let (provider, at) = (provider("elevenlabs"), origin("https://a.example"));
    let make = |key| {
        upstream_head(
            &provider,
            &at,
            &Method::GET,
            "/v1/models",
            None,
            &HeaderMap::new(),
            key,
        )
    };
    let parts = make(KEY).unwrap();
    assert!(parts.headers["xi-api-key"].is_sensitive());
    assert!(!format!("{parts:?}").contains(KEY));
    for key in ["a\r\nx: y", "a\nb", "a\0"] {
        let error = make(key).unwrap_err().to_string();
        assert!(!error.contains(key), "{error}");
    }
}

#[test]
fn a_base_path_stands_once() {
    let azure = provider("azure");
    let at = origin("https://name.cognitiveservices.azure.com/tts");
    let line = |path| {
        made(&azure, &at, path, None, &HeaderMap::new())
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(line("/cognitiveservices/v1"), "POST /tts/cognitiveservices/v1");
    assert_eq!(
        line("/tts/cognitiveservices/websocket/v1"),
        "POST /tts/cognitiveservices/websocket/v1"
    );
    assert_eq!(line("/ttsx/v1"), "POST /tts/ttsx/v1");
}

#[test]
fn a_key_may_go_into_the_query_or_behind_a_scheme() {
    let text = include_str!("../../config/providers/elevenlabs.toml");
    let with = |key: &str| check_file("x.toml", &text.replace("header = \"xi-api-key\"", key)).unwrap();
    let at = origin("https://a.example");
    let query = with("query = \"key\"");
    let out = made(
        &query,
        &at,
        "/v1/x",
        Some("a=1&key=mine&token=mine"),
        &HeaderMap::new(),
    );
    assert!(
        out.starts_with("POST /v1/x?a=1&key=sk%5Fprovider%5Fkey%5F0123456789\n"),
        "{out}"
    );
    assert!(!out.contains("mine"));
    let token =
        with("header = \"authorization\"\nformat = \"Token {key}\"\nfixed_headers = { x-version = \"2\" }");
    let out = made(
        &token,
        &at,
        "/v1/x",
        None,
        &headers(&[("authorization", "Bearer mine"), ("x-version", "1")]),
    );
    assert!(
        out.contains(&format!("authorization: Token {KEY}\n")) && out.contains("x-version: 2\n"),
        "{out}"
    );
    assert!(!out.contains("mine") && !out.contains("x-version: 1"));
}

#[test]
fn no_answer_header_leads_past_the_gateway() {
    let azure = provider("azure");
    let hosts = azure.hosts(&settings(&[("domain", "name")])).unwrap();
    let own = "https://name.cognitiveservices.azure.com";
    let rewrite = |path: &str| AnswerHeader::Rewrite(path.parse().unwrap());
    for (name, value, expected) in [
        ("set-cookie", "a=b".to_owned(), AnswerHeader::Drop),
        ("alt-svc", "h3=\":443\"".to_owned(), AnswerHeader::Drop),
        (
            "report-to",
            r#"{"endpoints":[{"url":"https://collector.example"}]}"#.to_owned(),
            AnswerHeader::Drop,
        ),
        ("nel", r#"{"report_to":"default"}"#.to_owned(), AnswerHeader::Drop),
        (
            "strict-transport-security",
            "max-age=1".to_owned(),
            AnswerHeader::Drop,
        ),
        ("x-accel-redirect", "/etc/passwd".to_owned(), AnswerHeader::Drop),
        ("content-type", "audio/mpeg".to_owned(), AnswerHeader::Keep),
        (
            "location",
            "https://evil.example/x".to_owned(),
            AnswerHeader::Refuse,
        ),
        ("location", "//evil.example/x".to_owned(), AnswerHeader::Refuse),
        ("location", "/\\evil.example/x".to_owned(), AnswerHeader::Refuse),
        (
            "location",
            "http://name.cognitiveservices.azure.com/x".to_owned(),
            AnswerHeader::Refuse,
        ),
        ("location", format!("{own}@evil.example/x"), AnswerHeader::Refuse),
        ("location", format!("{own}:8443/x"), AnswerHeader::Refuse),
        ("location", "javascript:alert(1)".to_owned(), AnswerHeader::Refuse),
        (
            "location",
            format!("{own}/x?a=1&key=secret"),
            rewrite("/azure/x?a=1"),
        ),
        ("location", "/x/y?token=1".to_owned(), rewrite("/azure/x/y")),
        ("location", "y?z".to_owned(), AnswerHeader::Keep),
        ("location", "y?z=a:b".to_owned(), AnswerHeader::Keep),
        (
            "location",
            "https:evil.example/x".to_owned(),
            AnswerHeader::Refuse,
        ),
        (
            "location",
            "ht\ttps:evil.example/x".to_owned(),
            AnswerHeader::Refuse,
        ),
        ("location", "\\evil.example/x".to_owned(), AnswerHeader::Refuse),
        (
            "operation-location",
            format!("{own}/speechtotext/t/1"),
            rewrite("/azure/speechtotext/t/1"),
        ),
        (
            "x-goog-upload-url",
            "https://upload.example/u?upload_id=1".to_owned(),
            AnswerHeader::Drop,
        ),
        (
            "link",
            "<https://a.example/2>; rel=next".to_owned(),
            AnswerHeader::Drop,
        ),
        ("link", "</2>; rel=next".to_owned(), AnswerHeader::Keep),
    ] {
        let got = leads_away(&azure, &hosts, &name.parse().unwrap(), &value.parse().unwrap());
        assert_eq!(got, expected, "{name}: {value}");
    }
    assert_eq!(
        leads_away(
            &azure,
            &Hosts::default(),
            &http::header::LOCATION,
            &own.parse().unwrap()
        ),
        AnswerHeader::Refuse
    );
}
