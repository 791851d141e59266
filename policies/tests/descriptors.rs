//! Settings become hosts safely, overrides replace templates, and a descriptor that is wrong or unsafe is
//! refused with the place and the nearest right word.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{OWN_SERVER, PROVIDERS, enough, provider, settings};
use policies::descriptor::{Providers, TimeoutOverrides, check_file};
use proptest::prelude::*;

const SOUND: &str = include_str!("../../config/providers/azure.toml");

fn host(id: &str, name: &str, given: &[(&str, &str)]) -> String {
    let provider = provider(id);
    let settings = provider
        .settings(&settings(given))
        .unwrap_or_else(|error| panic!("{error}"));
    provider.hosts(&settings).unwrap().get(name).unwrap().to_string()
}

#[test]
fn settings_choose_the_host() {
    for (given, expected) in [
        (&[][..], "https://api.elevenlabs.io"),
        (&[("residency", "us")], "https://api.us.elevenlabs.io"),
        (&[("residency", "eu")], "https://api.eu.residency.elevenlabs.io"),
        (&[("residency", "in")], "https://api.in.residency.elevenlabs.io"),
        (&[("residency", "sg")], "https://api.sg.residency.elevenlabs.io"),
    ] {
        assert_eq!(host("elevenlabs", "api", given), expected);
    }
    for (name, given, expected) in [
        (
            "tts",
            &[("region", "eastus")][..],
            "https://eastus.tts.speech.microsoft.com",
        ),
        (
            "stt",
            &[("region", "eastus")],
            "https://eastus.stt.speech.microsoft.com",
        ),
        (
            "api",
            &[("region", "eastus")],
            "https://eastus.api.cognitive.microsoft.com",
        ),
        (
            "tts",
            &[("domain", "my-name")],
            "https://my-name.cognitiveservices.azure.com/tts",
        ),
        (
            "api",
            &[("domain", "my-name"), ("region", "eastus")],
            "https://my-name.cognitiveservices.azure.com",
        ),
        (
            "stt",
            &[("region", "usgovvirginia"), ("cloud", "government")],
            "https://usgovvirginia.stt.speech.azure.us",
        ),
        (
            "api",
            &[("region", "chinaeast2"), ("cloud", "china")],
            "https://chinaeast2.api.cognitive.azure.cn",
        ),
    ] {
        assert_eq!(host("azure", name, given), expected);
    }
}

#[test]
fn what_could_change_the_host_is_refused_by_name() {
    let azure = provider("azure");
    for region in [
        "",
        "a",
        "East US",
        "EastUS",
        "eastus.evil.example",
        "eastus/",
        "eastus#",
        "eastus@evil",
        "eastus:80",
        "-eastus",
        "eastus-",
        "east_us",
        "e\u{430}stus",
        "eastus\n",
        " eastus",
        "e%61stus",
        "{domain}",
        &"a".repeat(33),
    ] {
        let error = azure.settings(&settings(&[("region", region)])).unwrap_err();
        assert_eq!(error.setting, "region", "{region:?}");
        // Hosts are made from what the database holds, so they check again.
        if region.len() != 33 && region != "a" && region != "eastus-x" {
            let error = azure.hosts(&settings(&[("region", region)])).unwrap_err();
            assert_eq!(error.setting, "region", "{region:?}");
        }
    }
    assert_eq!(azure.settings(&settings(&[])).unwrap_err().setting, "region");
    let error = azure.settings(&settings(&[("regoin", "eastus")])).unwrap_err();
    assert_eq!(error.setting, "regoin");
    assert!(error.message.contains("region"), "{error}");
    assert_eq!(
        provider("elevenlabs")
            .settings(&settings(&[("residency", "de")]))
            .unwrap_err()
            .setting,
        "residency"
    );
    assert_eq!(
        provider("gemini")
            .settings(&settings(&[("region", "x")]))
            .unwrap_err()
            .setting,
        "region"
    );
}

proptest! {
    #[test]
    fn the_host_is_always_the_descriptors(region in "\\PC{0,20}|[a-z0-9./#@:%-]{0,20}", domain in "\\PC{0,20}|[a-z0-9-]{1,20}") {
        let azure = provider("azure");
        for given in [settings(&[("region", &region)]), settings(&[("domain", &domain)])] {
            for hosts in [azure.hosts(&given).ok(), azure.settings(&given).ok().and_then(|s| azure.hosts(&s).ok())] {
                for origin in hosts.iter().flat_map(|hosts| hosts.0.values()) {
                    let (label, suffix) = origin.host.split_once('.').unwrap();
                    prop_assert!(given.values().any(|value| value == label));
                    prop_assert!(["tts.speech.microsoft.com", "stt.speech.microsoft.com", "api.cognitive.microsoft.com",
                        "cognitiveservices.azure.com"].contains(&suffix), "{}", origin);
                    prop_assert!(origin.https && origin.port == 443);
                }
            }
        }
    }
}

#[test]
fn overrides_replace_templates_and_variants() {
    let overrides = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> { settings(pairs) };
    let own = PROVIDERS
        .clone()
        .with_hosts("elevenlabs", &overrides(&[("api", "http://127.0.0.1:9000/base")]))
        .unwrap();
    let hosts = own
        .get("elevenlabs")
        .unwrap()
        .hosts(&settings(&[("residency", "eu")]))
        .unwrap();
    assert_eq!(
        hosts.get("api").unwrap().to_string(),
        "http://127.0.0.1:9000/base"
    );
    let own = PROVIDERS
        .clone()
        .with_hosts("azure", &overrides(&[("tts", "https://{region}.proxy.example")]))
        .unwrap();
    let azure = own.get("azure").unwrap();
    let hosts = azure.hosts(&settings(&[("region", "eastus")])).unwrap();
    assert_eq!(
        hosts.get("tts").unwrap().to_string(),
        "https://eastus.proxy.example"
    );
    assert_eq!(
        hosts.get("stt").unwrap().to_string(),
        "https://eastus.stt.speech.microsoft.com"
    );
    assert_eq!(
        azure.settings(&settings(&[("domain", "d")])).unwrap_err().setting,
        "domain"
    );

    for (id, name, url, says) in [
        ("elevenlab", "api", "http://x", "elevenlabs"),
        ("elevenlabs", "apu", "http://x", "api"),
        ("azure", "tts", "https://{regio}.x", "region"),
        ("azure", "tts", "ftp://x", "https://"),
        ("azure", "tts", "https://user@x", "user name"),
        ("azure", "tts", "https://x?y", "query"),
    ] {
        let error = PROVIDERS
            .clone()
            .with_hosts(id, &overrides(&[(name, url)]))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says) && error.contains(id), "{error}");
    }
    let limits = TimeoutOverrides {
        idle: Some(Duration::from_secs(9)),
        ..TimeoutOverrides::default()
    };
    let own = PROVIDERS.clone().with_timeouts("gemini", limits).unwrap();
    assert_eq!(own.get("gemini").unwrap().timeouts.idle, Duration::from_secs(9));
    let zero = TimeoutOverrides {
        idle: Some(Duration::ZERO),
        ..TimeoutOverrides::default()
    };
    assert!(PROVIDERS.clone().with_timeouts("gemini", zero).is_err());
}

/// What a descriptor with one change is refused with.
fn refused(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "nothing to change: {from}");
    match check_file("own.toml", &SOUND.replacen(from, to, 1)) {
        Ok(_) => panic!("taken: {to}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn the_linter_points_at_what_is_wrong() {
    for (from, to, says) in [
        ("id = \"azure\"", "id = \"Azure\"", ": id: "),
        (
            "name = \"Azure AI Speech\"",
            "nam = \"x\"",
            "did you mean `name`?",
        ),
        (
            "host = \"tts\"",
            "host = \"ttss\"",
            "endpoints.0.host: unknown host ttss; did you mean tts?",
        ),
        (
            "meter = \"speech\"",
            "meter = \"spech\"",
            "endpoints.0.meter: unknown meter spech; did you mean speech?",
        ),
        (
            "{region}.tts",
            "{regoin}.tts",
            "hosts.tts.url: unknown setting regoin; did you mean region?",
        ),
        (
            "https://{region}.tts.speech.microsoft.com",
            "http://{region}.example.com",
            "https only",
        ),
        (
            "https://{region}.tts.speech.microsoft.com",
            "https://{region}@x.example",
            "hosts.tts.url",
        ),
        (
            "/cognitiveservices/voices/list\"\nhost",
            "/sts/v1.0/issueToken\"\nhost",
            "issuetoken stands for calls",
        ),
        (
            "path = \"/cognitiveservices/v1\"",
            "path = \"/{anything}\"",
            "begins with a hole",
        ),
        (
            "path = \"/cognitiveservices/v1\"",
            "path = \"cognitiveservices\"",
            "a path begins with /",
        ),
        ("method = \"POST\"", "method = \"FETCH\"", "FETCH is none of"),
        (
            "header = \"ocp-apim-subscription-key\"",
            "query = \"secret\"",
            "is not stripped",
        ),
        ("header = \"ocp-apim-subscription-key\"", "", "exactly one place"),
        (
            "header = \"ocp-apim-subscription-key\"",
            "header = \"a\"\nformat = \"Bearer\"",
            "must hold {key}",
        ),
        (
            "verdict = \"invalid\"",
            "verdict = \"caller\"",
            "no answer leads to `invalid`",
        ),
        ("status = [\"401\"]", "status = [\"5xx\"]", "only a refusal"),
        ("status = [\"401\"]", "status = [\"4o1\"]", "4o1 is no status"),
        ("status = [\"401\"]", "status = [\"4xx\"]", "an earlier rule"),
        ("checked = \"2026-11-22\"\n", "", "checked"),
        (
            "source = \"litellm 1.109.1, citing https://",
            "source = \"",
            "says where it was read",
        ),
        (
            "[[probes]]\nhost = \"tts\"",
            "[[probes]]\nhost = \"stt\"",
            "probes.0: GET /cognitiveservices/voices/list on stt",
        ),
        ("idle_ms = 300_000", "idle_ms = 1_000", "timeouts.idle_ms"),
        (
            "required_unless = \"domain\"",
            "required_unless = \"x\"",
            "x is not a setting",
        ),
        (
            "known = [\n",
            "known = [\n    \"East US\",\n",
            "settings.0.known: East US must be",
        ),
        (
            "when = { domain = \"*\", cloud = \"government\" }",
            "when = { domain = \"*\", cloud = \"moon\" }",
            "one of government",
        ),
        ("dialect = \"plain\"", "dialect = \"plian\"", "dialect"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(says), "{from} → {to}:\n{error}");
        assert!(error.starts_with("own.toml"), "{error}");
    }
    let twice = SOUND.to_owned()
        + "\n[[endpoints]]\nmethod = \"POST\"\npath = \"/cognitiveservices/v1\"\nhost = \"tts\"\noperation = \"tts\"\n";
    assert!(
        check_file("own.toml", &twice)
            .unwrap_err()
            .to_string()
            .contains("listed already")
    );
    let error = check_file("own.toml", "id = \"x\"\nname = ").unwrap_err();
    assert_eq!((error.0[0].line, error.0[0].file.as_str()), (Some(2), "own.toml"));
}

/// A socket's endpoint comes third, its parts after those of the meters.
#[test]
fn the_linter_knows_sockets_and_their_rules() {
    let quota = "close = [\"1007\"]\ntext_begins = [\"quota exceeded\"]\nverdict = \"quota\"";
    let phrase = "equals = [\"Forbidden\"]\nverdict = \"quota\"";
    for (from, to, says) in [
        (
            "socket = \"speech\"",
            "socket = \"spech\"",
            "endpoints.2.socket: unknown socket spech; did you mean speech?",
        ),
        (
            "socket = \"speech\"",
            "meter = \"speech\"",
            "endpoints.2.meter: a WebSocket",
        ),
        (
            "meter = \"short_audio\"",
            "socket = \"recognition\"",
            "endpoints.4.socket: a WebSocket",
        ),
        (
            "messages = \"headed\"",
            "messages = \"heded\"",
            "did you mean `headed`?",
        ),
        ("messages = \"headed\"", "", "endpoints.2.socket: `messages` says"),
        (
            "messages = \"headed\"",
            "messages = \"json\"",
            "has a `path`, and no other",
        ),
        ("path = \"text.piece\"", "", "has a `path`, and no other"),
        (
            "path = \"text.piece\"",
            "path = \"SSML\"",
            "two parts are about the same",
        ),
        ("body = \"ssml\"", "body = \"smsl\"", "did you mean `ssml`?"),
        ("body = \"ssml\"", "", "says what is read there"),
        (
            "body = \"ssml\"",
            "body = \"ssml\"\nvoice = [\"/x\"]",
            "places are read in JSON",
        ),
        (
            "format = [\"/synthesis",
            "format = [\"synthesis",
            "sockets.speech.caller.1.format",
        ),
        (
            "samples_per_second = 16_000",
            "samples_per_second = 0",
            "more than zero",
        ),
        ("audio_in = { samples", "audio_in = { smaples", "did you mean"),
        (
            "messages = \"headed\"",
            "messages = \"headed\"\ntoken_in_first_message = true",
            "is in one of `token_fields`",
        ),
        (
            "messages = \"headed\"",
            "messages = \"headed\"\nsetup = { model = [\"/setup/model\"], models = [], from_selection = \"x\" }",
            "would refuse every session",
        ),
        (
            "close = [\"1007\"]",
            "close = [\"401\"]",
            "401 closes no WebSocket",
        ),
        (
            "close = [\"1007\"]",
            "close = [\"5000\"]",
            "5000 closes no WebSocket",
        ),
        (
            "close = [\"1007\"]",
            "close = [\"1007\"]\nmessage = true",
            "exactly one of `status`",
        ),
        (
            "close = [\"1007\"]",
            "status = [\"403\"]\nclose = [\"1007\"]",
            "exactly one of `status`",
        ),
        ("close = [\"1007\"]", "", "exactly one of `status`"),
        (
            "close = [\"1007\"]\ntext_begins = [\"quota exceeded\"]",
            "close = [\"1007\"]\nat = [\"/x\"]",
            "the reason of a closing is text",
        ),
        (
            "close = [\"1007\"]\ntext_begins = [\"quota exceeded\"]",
            "close = [\"1007\"]\nequals = [\"x\"]",
            "look `at` something",
        ),
        (
            "close = [\"1007\"]\ntext_begins = [\"quota exceeded\"]",
            "close = [\"4429\"]\ntext_begins = [\"quota exceeded\"]",
            "an earlier rule",
        ),
        (
            quota,
            "close = [\"1007\"]\ntext_contains = [\"key\"]\nverdict = \"invalid\"",
            "by how its reason begins",
        ),
        (
            quota,
            "close = [\"1007\"]\nverdict = \"invalid\"",
            "by how its reason begins",
        ),
        (
            phrase,
            "contains = [\"Forbidden\"]\nverdict = \"invalid\"",
            "`equals` to a word",
        ),
        (phrase, "verdict = \"invalid\"", "`equals` to a word"),
        (
            "message = true\nat = [\"/RecognitionStatus\"]\nequals = [\"Forbidden\"]",
            "message = true\ntext_contains = [\"Forbidden\"]",
            "says where to look",
        ),
        (
            "message = true",
            "message = true\nstops_everything = true",
            "a call of Voxgate's own",
        ),
        (
            "message = true",
            "message = true\nnames = [\"x\"]",
            "in the answer to a call",
        ),
    ] {
        let error = refused(from, to);
        assert!(error.contains(says), "{from} → {to}:\n{error}");
    }
    for (from, to) in [
        (quota, "close = [\"4401\"]\nverdict = \"invalid\""),
        (phrase, "equals = [\"Unauthorized\"]\nverdict = \"invalid\""),
    ] {
        let text = SOUND.replacen(from, to, 1);
        assert_ne!(text, SOUND);
        check_file("own.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn problems_are_told_with_their_line() {
    let text = SOUND.replacen("host = \"tts\"", "host = \"nowhere\"", 1);
    let line = text
        .lines()
        .position(|line| line == "host = \"nowhere\"")
        .unwrap()
        + 1;
    let errors = check_file("own.toml", &text).unwrap_err();
    assert_eq!(errors.0[0].line, Some(line));
    assert_eq!(errors.0[0].key, "endpoints.0.host");
}

#[test]
fn ids_and_root_paths_are_taken_once() {
    let own = |id: &str, roots: &str| {
        SOUND
            .replacen("id = \"azure\"", &format!("id = \"{id}\""), 1)
            .replacen(
                "[\"/cognitiveservices/\", \"/speech/\", \"/tts/\", \"/stt/\", \"/speechtotext/\"]",
                roots,
                1,
            )
    };
    let with = |text: &str| PROVIDERS.clone().with_file("own.toml", text).map(drop);
    assert!(with(&own("mine", "[]")).is_ok());
    for (id, roots) in [
        ("azure", "[]"),
        ("v1", "[]"),
        ("mine", "[\"/speech/\"]"),
        ("mine", "[\"/elevenlabs/\"]"),
        ("mine", "[\"/speech/x/\"]"),
    ] {
        assert!(with(&own(id, roots)).is_err(), "{id} {roots}");
    }
}

#[test]
fn every_built_in_provider_keeps_to_the_same_rules() {
    /// A server of one's own costs what it costs, and Cartesia sells credits by the plan.
    const WITHOUT_A_LIST_PRICE: [&str; 2] = ["cartesia", "openai-compatible"];
    assert_eq!(Providers::built_in().unwrap().iter().count(), 8);
    for provider in PROVIDERS.iter() {
        let id = &provider.id;
        let settings = provider.settings(&enough(provider)).unwrap();
        let hosts = provider.hosts(&settings).unwrap();
        assert_eq!(hosts, provider.hosts(&settings).unwrap());
        let is_ours = hosts.0.values().all(|origin| origin.to_string() == OWN_SERVER);
        assert!(is_ours || hosts.0.values().all(|origin| origin.https), "{id}");
        assert!(!provider.request_id_headers.is_empty(), "{id}");
        assert_eq!(
            provider.prices.is_empty(),
            WITHOUT_A_LIST_PRICE.contains(&id.as_str()),
            "{id}"
        );
        assert!(provider.timeouts.first_byte >= Duration::from_secs(60), "{id}");
        assert!(
            provider.voices.call.is_some() || !provider.voices.fixed.is_empty(),
            "{id}"
        );
        for rule in &provider.verdicts {
            assert!(
                rule.says.is_some() || rule.verdict == policies::vocabulary::Verdict::Caller,
                "{id}: {rule:?}"
            );
        }
        for operation in &provider.operations {
            let metered = |endpoint: &policies::descriptor::Endpoint| {
                let plan = &endpoint.meter;
                let seconds = !plan.audio_seconds.is_empty() || plan.audio_bytes.is_some();
                seconds || !plan.tokens_out.is_empty() || !plan.characters.is_empty()
            };
            let of = provider
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.operation == *operation);
            assert!(of.into_iter().any(metered), "{id} {operation}");
        }
    }
}
