//! Which paths may be reached: listed ones, spelled in every way SDKs spell them, and no others.

mod common;

use common::{routed, seen};
use policies::descriptor::EndpointMethod;
use policies::vocabulary::{Code, Dialect, Operation};

/// Method and path of each line of a list of a provider's own paths, holes filled.
fn paths(list: &str) -> Vec<(String, String, String)> {
    let lines = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = lines.map(|line| {
        let (method, path) = line.split_once(' ').unwrap();
        (method.to_owned(), path.to_owned(), fill(path))
    });
    split.collect()
}

fn fill(path: &str) -> String {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, hole)) = rest.split_once('{') {
        let (_, after) = hole.split_once('}').unwrap();
        filled = filled + before + "conversation";
        rest = after;
    }
    filled + rest
}

fn allowed(provider: &str, list: &str) -> Vec<String> {
    let open = paths(list).into_iter().filter(|(method, _, path)| {
        match routed(method, &format!("/{provider}{path}"), &[]) {
            Ok(_) => true,
            Err(code) => {
                assert_eq!(code, Code::ForbiddenEndpoint, "{method} {path}");
                false
            }
        }
    });
    open.map(|(method, path, _)| format!("{method} {path}")).collect()
}

#[test]
fn elevenlabs_opens_speech_and_lists_only() {
    let open = allowed("elevenlabs", include_str!("data/elevenlabs.paths.txt"));
    let expected = [
        "POST /v1/audio-isolation",
        "POST /v1/audio-isolation/stream",
        "POST /v1/forced-alignment",
        "GET /v1/models",
        "GET /v1/shared-voices",
        "POST /v1/sound-generation",
        "POST /v1/speech-to-speech/{voice_id}",
        "POST /v1/speech-to-speech/{voice_id}/stream",
        "POST /v1/speech-to-text",
        "POST /v1/text-to-dialogue",
        "POST /v1/text-to-dialogue/stream",
        "POST /v1/text-to-dialogue/stream/with-timestamps",
        "POST /v1/text-to-dialogue/with-timestamps",
        "POST /v1/text-to-speech/{voice_id}",
        "POST /v1/text-to-speech/{voice_id}/stream",
        "POST /v1/text-to-speech/{voice_id}/stream/with-timestamps",
        "POST /v1/text-to-speech/{voice_id}/with-timestamps",
        "GET /v1/user/subscription",
        "GET /v1/voices",
        "GET /v1/voices/settings/default",
        "GET /v1/voices/{voice_id}",
        "GET /v1/voices/{voice_id}/settings",
        "GET /v2/voices",
    ];
    assert_eq!(open, expected);
}

#[test]
fn gemini_opens_models_that_speak_or_transcribe_only() {
    // The holes of the list are filled with a name that is no speech model.
    let open = allowed("gemini", include_str!("data/gemini.paths.txt"));
    assert_eq!(open, ["GET /v1beta/models", "GET /v1beta/models/{modelsId}"]);
    for (model, operation) in [
        ("gemini-3.8-flash-tts", Operation::Tts),
        ("gemini-3.8-flash-lite-tts", Operation::Tts),
        ("gemini-3.1-flash-tts-preview", Operation::Tts),
        ("gemini-3.5-transcribe", Operation::Stt),
        ("gemini-3.5-transcribe-live", Operation::Stt),
    ] {
        for version in ["v1", "v1beta", "v1alpha"] {
            for verb in ["generateContent", "streamGenerateContent", "countTokens"] {
                let target = format!("/gemini/{version}/models/{model}:{verb}?alt=sse");
                let (_, route) =
                    routed("POST", &target, &[]).unwrap_or_else(|code| panic!("{target}: {code}"));
                assert_eq!(route.endpoint().operation, operation, "{target}");
                assert_eq!(route.model_from_path.as_deref(), Some(model));
            }
        }
    }
    for path in [
        "v1beta/models/gemini-3.8-flash:generateContent",
        "v1beta/models/gemini-3.8-flash-image:generateContent",
        "v1beta/tunedModels/my-tts:generateContent",
        "v1beta/models/x-tts:embedContent",
        "v2/models/x-tts:generateContent",
        "v1beta/models/x-tts:generateContent:x",
    ] {
        assert_eq!(
            routed("POST", &format!("/gemini/{path}"), &[]).err(),
            Some(Code::ForbiddenEndpoint),
            "{path}"
        );
    }
    for order in [
        "$httpMethod=DELETE",
        "a=1&%24HTTPHeaders=X-Goog-Api-Key:x",
        "userProject=p",
    ] {
        let target = format!("/gemini/v1beta/models/x-tts:generateContent?{order}");
        assert_eq!(
            routed("POST", &target, &[]).err(),
            Some(Code::ForbiddenEndpoint),
            "{order}"
        );
    }
    let escaped = routed("POST", "/gemini/v1beta/models%2Fx-tts:generateContent", &[]);
    assert_eq!(escaped.err(), Some(Code::InvalidRequest));
}

#[test]
fn azure_opens_speech_on_the_host_that_does_it() {
    let open = allowed("azure", include_str!("data/azure.paths.txt"));
    let expected = [
        "GET /speechtotext/transcriptions/locales",
        "POST /speechtotext/transcriptions:transcribe",
        "POST /cognitiveservices/v1",
        "GET /cognitiveservices/voices/list",
        "POST /tts/cognitiveservices/v1",
        "GET /tts/cognitiveservices/voices/list",
        "POST /stt/speech/recognition/{mode}/cognitiveservices/v1",
        "POST /speech/recognition/{mode}/cognitiveservices/v1",
    ];
    assert_eq!(open, expected);
    for (target, host, upstream) in [
        ("/azure/cognitiveservices/v1", "tts", "/cognitiveservices/v1"),
        ("/azure/tts/cognitiveservices/v1", "tts", "/cognitiveservices/v1"),
        ("/tts/cognitiveservices/v1", "tts", "/cognitiveservices/v1"),
        ("/cognitiveservices/v1", "tts", "/cognitiveservices/v1"),
        (
            "/stt/speech/recognition/dictation/cognitiveservices/v1",
            "stt",
            "/speech/recognition/dictation/cognitiveservices/v1",
        ),
        (
            "/speechtotext/transcriptions:transcribe",
            "api",
            "/speechtotext/transcriptions:transcribe",
        ),
    ] {
        let (inbound, route) = routed("POST", target, &[]).unwrap();
        assert_eq!(
            (route.endpoint().host.as_str(), inbound.raw_path.as_str()),
            (host, upstream),
            "{target}"
        );
    }
    let target = "/azure/cognitiveservices/v1?generateredirectresponse=true";
    assert_eq!(routed("POST", target, &[]).err(), Some(Code::ForbiddenEndpoint));
}

#[test]
fn websockets_lead_to_endpoints_of_their_own() {
    let upgrade = [("upgrade", "websocket"), ("connection", "Upgrade")];
    for (target, upstream) in [
        (
            "/elevenlabs/v1/text-to-speech/v/stream-input",
            "/v1/text-to-speech/v/stream-input",
        ),
        (
            "/elevenlabs/v1/speech-to-text/realtime",
            "/v1/speech-to-text/realtime",
        ),
        (
            "/azure/cognitiveservices/websocket/v1",
            "/tts/cognitiveservices/websocket/v1",
        ),
        (
            "/tts/cognitiveservices/websocket/v1",
            "/tts/cognitiveservices/websocket/v1",
        ),
        ("/stt/speech/universal/v2", "/speech/universal/v2"),
        (
            "/gemini//ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        ),
    ] {
        let inbound = seen("GET", target, &upgrade).unwrap();
        assert!(inbound.websocket);
        assert_eq!(inbound.raw_path, upstream, "{target}");
        let route = policies::rules::route(&inbound, &http::Method::GET).unwrap();
        assert_eq!(route.endpoint().method, EndpointMethod::WebSocket, "{target}");
    }
}

#[test]
fn paths_are_read_one_way_only() {
    let (inbound, _) = routed(
        "POST",
        "/elevenlabs//v1///text-to-speech/%41b%20c/stream?x=%2F&x=+&y",
        &[],
    )
    .unwrap();
    assert_eq!(inbound.path, "/v1/text-to-speech/Ab c/stream");
    assert_eq!(inbound.raw_path, "/v1/text-to-speech/%41b%20c/stream");
    assert_eq!(inbound.query.as_deref(), Some("x=%2F&x=+&y"));
    for path in [
        "/elevenlabs/v1/text-to-speech/..%2fuser",
        "/elevenlabs/v1/models/../user",
        "/elevenlabs/v1/%2e%2e/v1/models",
        "/elevenlabs/v1/models%00",
        "/elevenlabs/v1/models%5c",
        "/elevenlabs/v1/text-to-speech/%252e%252e",
    ] {
        assert_eq!(
            routed("GET", path, &[]).err(),
            Some(Code::InvalidRequest),
            "{path}"
        );
    }
}

#[test]
fn a_path_speaks_the_dialect_of_its_provider() {
    for (target, code, dialect) in [
        ("/", Code::UnknownProvider, Dialect::Plain),
        ("/nobody/v1/x", Code::UnknownProvider, Dialect::Plain),
        ("/Elevenlabs/v1/models", Code::UnknownProvider, Dialect::Plain),
        ("/elevenlabs/%2f", Code::InvalidRequest, Dialect::Detail),
        ("/gemini/%2f", Code::InvalidRequest, Dialect::Google),
        ("/azure/%2f", Code::InvalidRequest, Dialect::Plain),
        ("/speech/%2f", Code::InvalidRequest, Dialect::Plain),
    ] {
        let (found, refusal) = seen("GET", target, &[]).unwrap_err();
        assert_eq!((refusal.code, found), (code, dialect), "{target}");
    }
    assert_eq!(seen("GET", "/elevenlabs", &[]).unwrap().path, "/");
}

#[test]
fn scopes_admit_what_they_name() {
    use policies::rules::allow;
    use policies::vocabulary::{Caller, Scope, Scopes, UserId};
    let caller = |scopes: Option<&[Scope]>| Caller {
        user: UserId::new("u"),
        teams: vec![],
        admin_of: vec![],
        roles: vec![],
        scopes: scopes.map(Scopes::of),
        token_id: None,
        expires_at: None,
    };
    for (scopes, tts, stt, lookup) in [
        (None, true, true, true),
        (Some(&[Scope::Tts][..]), true, false, true),
        (Some(&[Scope::Stt]), false, true, true),
        (Some(&[Scope::UsageRead]), false, false, false),
        (Some(&[]), false, false, false),
    ] {
        let caller = caller(scopes);
        let allowed =
            [Operation::Tts, Operation::Stt, Operation::Lookup].map(|of| allow(&caller, of).is_ok());
        assert_eq!(allowed, [tts, stt, lookup], "{scopes:?}");
    }
}
