use std::collections::HashMap;

use super::*;

fn parse(text: &str) -> Result<Settings, SettingsError> {
    Settings::parse("voxgate.toml", text, HashMap::new())
}

fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment = pairs
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Settings::parse("voxgate.toml", "", environment)
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let settings = parse("").expect("defaults");
    assert_eq!(settings.gateway.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.database.url, "sqlite://voxgate-data/voxgate.db");
    assert_eq!(settings.gateway.max_body_bytes, 5_368_709_120);
}

#[test]
fn the_example_file_shows_the_defaults() {
    let example = include_str!("../../config/voxgate.example.toml");
    let mut shown = parse(example).expect("the example parses");
    shown.origin.clear();
    let defaults = Settings::default();
    assert_eq!(format!("{shown:?}"), format!("{defaults:?}"));
    assert_eq!(shown.database.url, defaults.database.url);
}

#[test]
fn the_example_file_names_every_key_also_the_optional_ones() {
    let example = include_str!("../../config/voxgate.example.toml");
    let uncommented: String = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = ") || rest.starts_with('['))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let settings =
        parse(&uncommented.replace("# or api_key_file", "#")).expect("every commented key is a real one");
    assert!(settings.gateway.tls.is_some());
    assert!(settings.gateway.close_on_revoke.is_some());
    assert!(settings.record.journal.is_some());
    assert_eq!(settings.auth.jwt.len(), 1);
    let azure = &settings.providers.each["azure"];
    assert_eq!(azure.timeouts.idle_seconds, Some(600));
    assert_eq!(azure.base_urls, ["http://10.0.0.5:8000/v1"]);
}

#[test]
fn a_misspelt_key_is_named_with_the_nearest_known_one() {
    let error = parse("[gateway]\nlissten = \"127.0.0.1:1\"\n")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "voxgate.toml: gateway.lissten: unknown key; the nearest known one is `listen`"
    );
    let error = parse("[gatway]\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "voxgate.toml: gatway: unknown key; the nearest known one is `gateway`"
    );
    let error = parse("[providers.elevenlabs]\napi_kee = \"x\"\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("providers.elevenlabs.api_kee: unknown key"),
        "{error}"
    );
    assert!(error.contains("`api_key`"), "{error}");
}

#[test]
fn a_misspelt_key_from_the_environment_names_the_variable() {
    let error = from_environment(&[("VOXGATE__ADMIN__LISTN", "127.0.0.1:1")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("environment variable VOXGATE__ADMIN__LISTN: admin.listn: unknown key"),
        "{error}"
    );
}

#[test]
fn the_environment_wins_over_the_file_and_numbers_and_lists_are_read() {
    let environment = [
        ("VOXGATE__GATEWAY__WORKERS", "3"),
        (
            "VOXGATE__GATEWAY__CORS_ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("VOXGATE__PROVIDERS__ELEVENLABS__API_KEY", "0123"),
        ("VOXGATE__DATABASE__MIGRATE", "false"),
    ];
    let environment = environment
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    let settings = Settings::parse("f", "[gateway]\nworkers = 1\n", environment).expect("readable");
    assert_eq!(settings.gateway.workers, 3);
    assert_eq!(
        settings.gateway.cors_origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(
        settings.providers.each["elevenlabs"]
            .api_key
            .as_ref()
            .unwrap()
            .expose(),
        "0123"
    );
    assert!(!settings.database.migrate);
}

#[test]
fn the_times_of_websockets_are_at_least_a_second_and_have_an_end() {
    for (written, says) in [
        (
            "socket_idle_seconds = 0",
            "socket_idle_seconds: must be 1 to 604800 seconds",
        ),
        (
            "socket_idle_seconds = 604801",
            "socket_idle_seconds: must be 1 to 604800 seconds",
        ),
        (
            "socket_token_seconds = 0",
            "socket_token_seconds: must be 1 to 3600 seconds",
        ),
        (
            "socket_record_seconds = 0",
            "socket_record_seconds: must be 1 to 86400 seconds",
        ),
    ] {
        let error = parse(&format!("[gateway]\n{written}\n")).unwrap_err().to_string();
        assert_eq!(error, format!("voxgate.toml: gateway.{says}"));
    }
    let negative = parse("[gateway]\nsocket_record_seconds = -1\n")
        .unwrap_err()
        .to_string();
    assert!(negative.contains("gateway.socket_record_seconds"), "{negative}");
    let shortest =
        "[gateway]\nsocket_idle_seconds = 1\nsocket_token_seconds = 1\nsocket_record_seconds = 1\n";
    assert_eq!(parse(shortest).unwrap().gateway.socket_idle_seconds, 1);
    assert!(parse("[gateway]\nsocket_idle_seconds = 604800\n").is_ok());
}

#[test]
fn whether_revoking_closes_websockets_has_three_answers() {
    let said = |text: &str| parse(text).unwrap().gateway.close_on_revoke;
    assert_eq!(said(""), None);
    assert_eq!(said("[gateway]\nclose_on_revoke = true\n"), Some(true));
    let from = |value| from_environment(&[("VOXGATE__GATEWAY__CLOSE_ON_REVOKE", value)]);
    assert_eq!(from("false").unwrap().gateway.close_on_revoke, Some(false));
    assert_eq!(from("true").unwrap().gateway.close_on_revoke, Some(true));
    let error = from("perhaps").unwrap_err().to_string();
    assert!(error.contains("VOXGATE__GATEWAY__CLOSE_ON_REVOKE"), "{error}");
    let idle = from_environment(&[("VOXGATE__GATEWAY__SOCKET_IDLE_SECONDS", "7200")]).unwrap();
    assert_eq!(idle.gateway.socket_idle_seconds, 7_200);
}

#[test]
fn a_value_of_the_wrong_type_is_named_but_not_repeated() {
    let error = parse("[providers]\nelevenlabs = \"sk_planted_secret\"\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("providers.elevenlabs"), "{error}");
    assert!(!error.contains("sk_planted_secret"), "{error}");
    let error = parse("[gateway]\nworkers = \"many\"\n").unwrap_err().to_string();
    assert!(error.contains("gateway.workers"), "{error}");
}

#[test]
fn a_key_is_given_once() {
    let both = "[providers.azure]\napi_key = \"a\"\napi_key_file = \"b\"\n";
    let error = parse(both).unwrap_err().to_string();
    assert!(error.contains("providers.azure.api_key_file"), "{error}");
}

#[test]
fn an_issuer_has_exactly_one_source_of_keys() {
    let none = "[[auth.jwt]]\nissuer=\"i\"\naudience=\"a\"\nalgorithms=[\"RS256\"]\n";
    assert!(parse(none).unwrap_err().to_string().contains("auth.jwt[0]"));
    let two = format!("{none}secret_file=\"s\"\njwks_url=\"https://x\"\n");
    assert!(parse(&two).is_err());
}

#[test]
fn a_configured_key_is_not_printed() {
    let settings = parse("[providers.azure]\napi_key = \"planted\"\n").expect("readable");
    assert!(!format!("{settings:?}").contains("planted"));
}

#[test]
fn a_missing_key_is_named() {
    let error = parse("[[auth.jwt]]\nissuer = \"x\"\n").unwrap_err().to_string();
    assert_eq!(error, "voxgate.toml: auth.jwt[0].audience: is missing");
}

#[test]
fn what_providers_cannot_use_is_named_with_the_file() {
    let table = [
        (
            "[providers.elevenlab]\napi_key = \"k\"\n",
            "providers.elevenlab: there is no such provider; the nearest known one is `elevenlabs`",
        ),
        (
            "[providers.azure]\napi_key = \"k\"\nsettings = { region = \"east.us\" }\n",
            "providers.azure.settings.region: must be 2 to 32 lower-case ASCII letters and digits",
        ),
    ];
    for (text, says) in table {
        let settings = parse(text).expect("readable");
        let used = crate::wiring::providers(&settings)
            .and_then(|providers| crate::wiring::system_keys(&settings, &providers));
        let error = format!("{:#}", used.expect_err("not usable"));
        assert_eq!(error, format!("voxgate.toml: {says}"));
    }
}

#[test]
fn a_syntax_error_does_not_quote_the_key_beside_it() {
    for text in [
        "[providers.elevenlabs]\napi_key = \"sk_secret_0123456789\n",
        "[providers.elevenlabs]\napi_key = sk_secret_0123456789\n",
        "api_key = \"sk_secret_0123456789\" \"\n",
    ] {
        let error = Settings::parse("x.toml", text, HashMap::new())
            .unwrap_err()
            .to_string();
        assert!(error.contains("x.toml: TOML parse error at line "), "{error}");
        assert!(!error.contains("sk_secret") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_public_address_is_one_that_links_can_begin_with() {
    let error = parse("[admin]\npublic_url = \"voxgate.example\"\n")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "voxgate.toml: admin.public_url: must begin with http:// or https://"
    );
}

#[test]
fn base_urls_come_from_a_list_or_from_the_environment() {
    let urls = |settings: Settings| settings.providers.each["own"].base_urls.clone();
    let file = parse("[providers.own]\nbase_urls = [\"http://a/v1\", \"http://b\"]\n").unwrap();
    assert_eq!(urls(file), ["http://a/v1", "http://b"]);
    let environment = from_environment(&[("VOXGATE__PROVIDERS__OWN__BASE_URLS", "http://a/v1, http://b")]);
    assert_eq!(urls(environment.unwrap()), ["http://a/v1", "http://b"]);
    let error = parse("[providers.own]\nbase_url = [\"http://a\"]\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("providers.own.base_url: unknown key"), "{error}");
    assert!(error.contains("`base_urls`"), "{error}");
}
