//! A host that only the operator can name: its URL is a setting, and only listed ones are taken.

mod common;

use common::settings;
use policies::descriptor::{Provider, Providers, check_file};

const SETTING: &str = r#"
[[settings]]
name = "base_url"
title = "Base URL"
required = true
shape = "operator_url"
"#;
const LISTED: [&str; 2] = ["http://10.0.0.5:8000/v1", "https://speech.example"];

/// A descriptor whose one host has that URL.
fn text(url: &str) -> String {
    let sound = include_str!("../../config/providers/gemini.toml");
    let from = "url = \"https://generativelanguage.googleapis.com\"";
    assert!(sound.contains(from));
    sound
        .replacen("id = \"gemini\"", "id = \"own\"", 1)
        .replacen(from, &format!("url = \"{url}\""), 1)
        + SETTING
}

fn providers(listed: &[&str]) -> Providers {
    let urls: Vec<_> = listed.iter().map(|url| (*url).to_owned()).collect();
    Providers::default()
        .with_file("own.toml", &text("{base_url}"))
        .and_then(|own| own.with_base_urls("own", &urls))
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn host(provider: &Provider, url: &str) -> Option<String> {
    let hosts = provider.hosts(&settings(&[("base_url", url)])).ok()?;
    Some(hosts.get("api")?.to_string())
}

#[test]
fn a_listed_url_is_the_whole_host() {
    let providers = providers(&LISTED);
    let own = providers.get("own").unwrap();
    for url in LISTED {
        assert!(own.settings(&settings(&[("base_url", url)])).is_ok(), "{url}");
        assert_eq!(host(own, url).as_deref(), Some(url));
    }
    assert_eq!(host(own, "https://speech.example/").as_deref(), Some(LISTED[1]));
}

#[test]
fn any_other_url_is_refused_when_it_is_given_and_when_the_host_is_made() {
    let providers = providers(&LISTED);
    let own = providers.get("own").unwrap();
    for url in [
        "",
        "speech.example",
        "http://speech.example",
        "https://speech.example/v1",
        "https://speech.example:8443",
        "https://speech.example@evil.example",
        "http://10.0.0.5:8000",
        "http://10.0.0.5:8000/v1/../admin",
        "http://10.0.0.5:8000/v1?x",
    ] {
        let error = own.settings(&settings(&[("base_url", url)])).unwrap_err();
        assert_eq!(error.setting, "base_url", "{url}");
        assert!(
            error.message.contains("providers.own.base_urls") && error.message.contains(LISTED[0]),
            "{error}"
        );
        assert_eq!(host(own, url), None, "{url}");
    }
    assert_eq!(own.settings(&settings(&[])).unwrap_err().setting, "base_url");
}

#[test]
fn without_a_list_no_url_fits_and_the_error_says_where_it_goes() {
    let providers = providers(&[]);
    let own = providers.get("own").unwrap();
    let error = own.settings(&settings(&[("base_url", LISTED[0])])).unwrap_err();
    assert!(error.message.contains("none is listed"), "{error}");
    assert!(error.message.contains("providers.own.base_urls"), "{error}");
    assert_eq!(host(own, LISTED[0]), None);
}

#[test]
fn such_a_hole_stands_alone_and_only_the_operator_fills_it() {
    for url in [
        "https://{base_url}",
        "{base_url}/v1",
        "https://{base_url}.example",
        "{base_url}{base_url}",
    ] {
        let error = check_file("own.toml", &text(url)).unwrap_err().to_string();
        assert!(
            error.contains("hosts.api.url: base_url is a whole URL"),
            "{error}"
        );
    }
    for given in ["known = [\"http://10.0.0.5\"]", "default = \"http://10.0.0.5\""] {
        let text = text("{base_url}").replacen("required = true", given, 1);
        let error = check_file("own.toml", &text).unwrap_err().to_string();
        assert!(error.contains("settings.0.known"), "{error}");
    }
}

#[test]
fn a_list_is_refused_by_key_where_it_means_nothing() {
    let with = |id: &str, url: &str| {
        let error = providers(&[]).with_base_urls(id, &[url.to_owned()]);
        error.unwrap_err().to_string()
    };
    for url in [
        "10.0.0.5:8000",
        "ftp://10.0.0.5",
        "http://user@10.0.0.5",
        "http://10.0.0.5/?x",
        "",
    ] {
        let error = with("own", url);
        assert!(error.contains("providers.own.base_urls"), "{error}");
    }
    assert!(with("owm", LISTED[0]).contains("own"));
    let error = Providers::built_in()
        .unwrap()
        .with_base_urls("gemini", &[LISTED[0].to_owned()])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "configuration: providers.gemini.base_urls: this provider has no setting that is a URL"
    );
}
