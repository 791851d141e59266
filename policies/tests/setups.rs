//! Which model the first message of a session is for, how another takes its place, and that no later message
//! changes it.

mod common;

use common::socket;
use policies::descriptor::SocketPlan;
use policies::socket::setup::{Again, Setup, SetupPlan, permits, read, with_model};
use policies::vocabulary::Code;
use proptest::prelude::*;
use serde_json::json;

const LIVE: &str = "/gemini/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

fn plan() -> SetupPlan {
    let (_, route) = socket(LIVE);
    let SocketPlan { setup, .. } = &*route.endpoint().socket;
    setup.clone().expect("a setup")
}

fn asked(message: &str) -> Result<Setup, Code> {
    read(&plan(), message.as_bytes()).map_err(|refusal| refusal.code)
}

#[test]
fn a_setup_names_its_model() {
    let model = |name: &str| Ok(Setup::Model(name.to_owned()));
    for (message, means) in [
        (
            r#"{"setup":{"model":"models/gemini-3.8-live"}}"#,
            model("gemini-3.8-live"),
        ),
        (
            r#"{"setup":{"model":"gemini-3.8-live"}}"#,
            model("gemini-3.8-live"),
        ),
        (
            " {\"setup\" : {\n\"generationConfig\":{\"model\":\"x\",\"y\":[{},\"}\"]}, \"model\" :\"models/gemini-3.5-transcribe-live\" } , \"x\":1}\r\n",
            model("gemini-3.5-transcribe-live"),
        ),
        (
            r#"{"s\u0065tup":{"mod\u0065l":"models\/gemini-2.5-flash-native-audio-latest"}}"#,
            model("gemini-2.5-flash-native-audio-latest"),
        ),
        (
            r#"{"setup":{"model":"models/default"}}"#,
            Ok(Setup::FromSelection),
        ),
        (
            r#"{"setup":{"model":"default","x":"\\\""}}"#,
            Ok(Setup::FromSelection),
        ),
        (
            r#"{"setup":{"model":"models/gemini-3.8-pro"}}"#,
            Err(Code::ForbiddenEndpoint),
        ),
        (
            r#"{"setup":{"model":"tunedModels/x-live"}}"#,
            Err(Code::ForbiddenEndpoint),
        ),
        (
            r#"{"setup":{"model":"models/models/x-live"}}"#,
            Err(Code::ForbiddenEndpoint),
        ),
        (
            r#"{"setup":{"model":"models/../x-live"}}"#,
            Err(Code::ForbiddenEndpoint),
        ),
        (
            r#"{"setup":{"model":"models/a b-live"}}"#,
            Err(Code::ForbiddenEndpoint),
        ),
        (
            r#"{"setup":{"model":"models/x\u0000-live"}}"#,
            Err(Code::ForbiddenEndpoint),
        ),
        (r#"{"setup":{"model":""}}"#, Err(Code::ForbiddenEndpoint)),
        (r#"{"setup":{"model":7}}"#, Err(Code::InvalidRequest)),
        (
            r#"{"setup":{"model":{"model":"a-live"}}}"#,
            Err(Code::InvalidRequest),
        ),
        (r#"{"setup":{}}"#, Err(Code::InvalidRequest)),
        (r#"{"setup":"model"}"#, Err(Code::InvalidRequest)),
        (r#"{"setup":[{"model":"a-live"}]}"#, Err(Code::InvalidRequest)),
        (r#"[{"setup":{"model":"a-live"}}]"#, Err(Code::InvalidRequest)),
        (r#"{"realtimeInput":{}}"#, Err(Code::InvalidRequest)),
        (r#"{"x":{"setup":{"model":"a-live"}}}"#, Err(Code::InvalidRequest)),
        ("{}", Err(Code::InvalidRequest)),
        ("", Err(Code::InvalidRequest)),
        ("nonsense", Err(Code::InvalidRequest)),
        (r#"{"setup":{"model":"a-live"}"#, Err(Code::InvalidRequest)),
        (r#"{"setup":{"model":"a-live"}} {}"#, Err(Code::InvalidRequest)),
        (r#"{'setup':{'model':'a-live'}}"#, Err(Code::InvalidRequest)),
        (r#"{setup:{model:"a-live"}}"#, Err(Code::InvalidRequest)),
    ] {
        assert_eq!(asked(message), means, "{message}");
    }
}

#[test]
fn what_two_parsers_would_read_differently_is_refused() {
    for message in [
        r#"{"setup":{"model":"a-live","model":"b-pro"}}"#,
        r#"{"setup":{"model":"b-pro","model":"a-live"}}"#,
        r#"{"setup":{"model":"a-live","Model":"b-pro"}}"#,
        r#"{"setup":{"model":"a-live","mod\u0065l":"b-pro"}}"#,
        r#"{"setup":{"model":"a-live"},"setup":{"model":"b-pro"}}"#,
        r#"{"setup":{"model":"a-live"},"setup":{}}"#,
        r#"{"setup":{},"setup":{"model":"a-live"}}"#,
        r#"{"setup":{"model":"a-live"},"set\u0075p":{"model":"b-pro"}}"#,
        r#"{"setup":{"model":"a-live"},"setup":null}"#,
        r#"{"setup":{"model":"a-live"},"SETUP":{"model":"b-pro"}}"#,
    ] {
        assert_eq!(asked(message), Err(Code::InvalidRequest), "{message}");
    }
    // Who reads past a byte that is no text finds a second model.
    let hidden = b"{\"setup\":{\"model\":\"a-live\",\"mod\xffel\":\"b-pro\"}}";
    let refused = read(&plan(), hidden).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(Code::InvalidRequest));
}

#[test]
fn a_refusal_names_the_model_and_what_there_is() {
    let long = format!(r#"{{"setup":{{"model":"models/{}\u0007"}}}}"#, "é".repeat(9000));
    for (message, says) in [
        (
            r#"{"setup":{"model":"models/gemini-3.8-pro"}}"#,
            "gemini-3.8-pro is not offered",
        ),
        (r#"{"setup":{"model":"models/gemini-3.8-pro"}}"#, "*-live"),
        (r#"{"setup":{}}"#, "setup.model"),
        (&long, "not offered"),
    ] {
        let refusal = read(&plan(), message.as_bytes()).unwrap_err();
        assert!(refusal.message.contains(says), "{}", refusal.message);
        assert!(refusal.message.len() < 300 && !refusal.message.contains(char::is_control));
    }
}

#[test]
fn only_models_of_speech_are_permitted() {
    for (model, fits) in [
        ("gemini-3.8-live", true),
        ("gemini-3.8-live-extended-thinking", true),
        ("gemini-3.5-live-translate-preview", true),
        ("gemini-3.5-transcribe-live", true),
        ("gemini-2.5-flash-native-audio-latest", true),
        ("gemini-3.8-pro", false),
        ("gemini-3.8-alive", false),
        ("a/b-live", false),
        ("a\\b-live", false),
        ("-live ", false),
        ("ä-live", false),
        ("", false),
    ] {
        assert_eq!(permits(&plan(), model), fits, "{model}");
    }
}

#[test]
fn another_model_takes_its_place_and_nothing_else_moves() {
    for (message, expected) in [
        (
            r#"{"setup":{"model":"models/default"}}"#,
            r#"{"setup":{"model":"models/new-live"}}"#,
        ),
        (
            "\t{ \"x\":\"\u{e9}\\u00e9\", \"s\\u0065tup\" :\n{\"a\":[1,{\"model\":\"default\"}],\"mod\\u0065l\" : \"d\\u0065fault\" ,\"z\":-1.50e+3}} \n",
            "\t{ \"x\":\"\u{e9}\\u00e9\", \"s\\u0065tup\" :\n{\"a\":[1,{\"model\":\"default\"}],\"mod\\u0065l\" : \"models/new-live\" ,\"z\":-1.50e+3}} \n",
        ),
    ] {
        for model in ["new-live", "models/new-live"] {
            let changed = with_model(&plan(), message.as_bytes(), model);
            assert_eq!(String::from_utf8(changed).unwrap(), expected);
        }
    }
    assert_eq!(with_model(&plan(), b"{}", "new-live"), b"{}");
}

fn again(message: &[u8], size: usize) -> bool {
    let mut again = Again::new(&plan());
    again.begin();
    message.chunks(size).any(|chunk| again.feed(chunk))
}

#[test]
fn a_later_message_does_not_set_up_again() {
    let audio =
        json!({"realtimeInput": {"audio": {"data": "QUJD".repeat(50), "mimeType": "audio/pcm;rate=16000"}}});
    for (message, caught) in [
        (audio.to_string().as_str(), false),
        (
            r#"{"clientContent":{"turns":[{"parts":[{"text":"{\"setup\":{}} ' // \\"}]}],"setup":{"model":"x"}}}"#,
            false,
        ),
        (
            r#"{"toolResponse":{"a":[1,-2.5e+3,true,false,null,{}]},"x":1,"y":null}"#,
            false,
        ),
        (r#" { } "#, false),
        ("", false),
        (r#"{"setup":{"model":"models/x"}}"#, true),
        (r#"{"x":1,"setup":null}"#, true),
        (r#"{"s\u0065t\u0075p":{}}"#, true),
        (r#"{"Setup":{}}"#, true),
        (r#"{"a":"\\","setup":{}}"#, true),
        (r#"{"a":"\"","b":[{"c":"]"}],"setup":{}}"#, true),
        // What laxer parsers read, and nobody sends.
        (r#"{'setup':{}}"#, true),
        (r#"{setup:{}}"#, true),
        (r#"{"a":['"'],"setup":{},"b":['"']}"#, true),
        (r#"{"a":[/*"*/],"setup":{},"b":[/*"*/]}"#, true),
        (r#"/**/{"setup":{}}"#, true),
        (r#"[{"setup":{}}]"#, true),
        (r#"{"a":1}{"setup":{}}"#, true),
        (r#"{"a":1,}"#, true),
        ("\u{feff}{\"setup\":{}}", true),
    ] {
        for size in 1..=message.len().max(1) {
            assert_eq!(again(message.as_bytes(), size), caught, "{message} by {size}");
        }
    }
    let long = |name: &str| format!("{{\"{name}\":{{}}}}").into_bytes();
    let cut_inside = [b"{\"".as_slice(), b"x", "é".repeat(100).as_bytes(), b"\":{}}"].concat();
    for (message, caught) in [
        (b"{\"set\xffup\":{}}".to_vec(), true),
        ([b"{\"", [0xff; 200].as_slice(), b"setup\":{}}"].concat(), true),
        (long(&"é".repeat(100)), false),
        (cut_inside, false),
    ] {
        for size in [1, 7, 1000] {
            assert_eq!(
                self::again(&message, size),
                caught,
                "{} by {size}",
                message.escape_ascii()
            );
        }
    }
    let mut again = Again::new(&plan());
    assert!(again.feed(br#"{"setup""#), "as soon as it is there");
    again.begin();
    assert!(!again.feed(br#"{"realtimeInput":{}}"#));
}

fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(Into::into),
        "[ -~é]{0,12}".prop_map(Into::into),
        Just("setup".into()),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[ -~]{0,6}|model|setup", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_else_a_message_holds_its_model_is_found_and_replaced(
        before in values(), after in values(), inner in values(), is_pretty in any::<bool>()
    ) {
        let message = json!({"a": before, "setup": {"b": inner, "model": "models/default", "z": {"model": 1}}, "z": after});
        let text = if is_pretty { serde_json::to_string_pretty(&message) } else { serde_json::to_string(&message) }.unwrap();
        prop_assert_eq!(asked(&text), Ok(Setup::FromSelection));
        let changed = with_model(&plan(), text.as_bytes(), "new-live");
        prop_assert_eq!(String::from_utf8(changed).unwrap(), text.replacen("\"models/default\"", "\"models/new-live\"", 1));
        prop_assert!(again(text.as_bytes(), 3));
    }

    #[test]
    fn strict_messages_without_a_setup_pass(value in values(), size in 1usize..20) {
        let message = json!({"realtimeInput": value}).to_string();
        prop_assert!(!again(message.as_bytes(), size), "{}", message);
    }

    #[test]
    fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[{}\\[\\]\",:a-z\\\\ ]{0,60}") {
        for message in [bytes.as_slice(), text.as_bytes()] {
            let unread = read(&plan(), message).is_err_and(|refusal| refusal.code == Code::InvalidRequest);
            prop_assert_eq!(unread, with_model(&plan(), message, "x\u{7f}") == message);
            let one = again(message, 1);
            prop_assert_eq!(one, again(message, 1000));
            // Whatever sets up is caught.
            let is_setup = serde_json::from_slice::<serde_json::Value>(message).is_ok_and(|value| value.get("setup").is_some());
            prop_assert!(one || !is_setup);
        }
    }
}
