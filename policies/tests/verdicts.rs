//! What each provider's answers say about a key: the tables of its documentation, and answers that are
//! none of its own.

mod common;

use common::{PROVIDERS, headers, provider};
use policies::rules::{code_of, explain, judge, judge_close, retry_after, stops_everything};
use policies::vocabulary::{Code, Verdict};

fn check(id: &str, table: &[(u16, &str, Verdict)]) {
    let provider = provider(id);
    for (status, body, verdict) in table {
        assert_eq!(
            judge(&provider, *status, body.as_bytes()),
            *verdict,
            "{id} {status} {body}"
        );
    }
}

#[test]
fn elevenlabs() {
    check(
        "elevenlabs",
        &[
            (200, "", Verdict::Valid),
            (
                401,
                r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#,
                Verdict::Invalid,
            ),
            (
                401,
                r#"{"detail":{"type":"authentication_error","code":"invalid_api_key"}}"#,
                Verdict::Invalid,
            ),
            (
                401,
                r#"{"detail":{"status":"missing_permissions","message":"x models_read"}}"#,
                Verdict::Restricted,
            ),
            (401, r#"{"detail":{"status":"quota_exceeded"}}"#, Verdict::Quota),
            (
                401,
                r#"{"detail":{"status":"detected_unusual_activity"}}"#,
                Verdict::Blocked,
            ),
            (401, r#"{"detail":"Invalid API key"}"#, Verdict::Invalid),
            (
                401,
                r#"{"detail":[{"code":"invalid_api_key"}]}"#,
                Verdict::Invalid,
            ),
            (401, r#"{"detail":"Unauthorized"}"#, Verdict::Caller),
            (
                401,
                r#"{"detail":[{"loc":["header"],"msg":"invalid_api_key","type":"x"}]}"#,
                Verdict::Caller,
            ),
            (401, "<html>invalid_api_key</html>", Verdict::Caller),
            (
                402,
                r#"{"detail":{"code":"paid_plan_required"}}"#,
                Verdict::Restricted,
            ),
            (
                403,
                r#"{"detail":{"status":"only_for_creator+"}}"#,
                Verdict::Restricted,
            ),
            (403, r#"{"detail":"Forbidden"}"#, Verdict::Restricted),
            (
                403,
                r#"{"detail":{"message":"IP address not allowed"}}"#,
                Verdict::Blocked,
            ),
            (
                403,
                "<!doctype html><title>Just a moment</title>",
                Verdict::Blocked,
            ),
            (400, r#"{"detail":{"status":"voice_not_found"}}"#, Verdict::Caller),
            (404, r#"{"detail":"Not Found"}"#, Verdict::Caller),
            (
                422,
                r#"{"detail":[{"loc":["body","text"],"msg":"field required","type":"missing"}]}"#,
                Verdict::Caller,
            ),
            (
                429,
                r#"{"detail":{"status":"too_many_concurrent_requests"}}"#,
                Verdict::RateLimited,
            ),
            (
                429,
                r#"{"detail":{"status":"system_busy"}}"#,
                Verdict::RateLimited,
            ),
            (500, "oops", Verdict::Unavailable),
        ],
    );
}

#[test]
fn gemini() {
    let error = |status: &str, reason: &str, message: &str| {
        format!(
            r#"{{"error":{{"code":400,"message":"{message}","status":"{status}","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}"}}]}}}}"#
        )
    };
    let wrong = error(
        "INVALID_ARGUMENT",
        "API_KEY_INVALID",
        "API key not valid. Please pass a valid API key.",
    );
    let daily = r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]}]}}"#;
    let minutely = r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinute"}]}]}}"#;
    let location = error(
        "FAILED_PRECONDITION",
        "",
        "User location is not supported for the API use.",
    );
    check(
        "gemini",
        &[
            (200, "{}", Verdict::Valid),
            (400, &wrong, Verdict::Invalid),
            (400, &format!("[{wrong}]"), Verdict::Invalid),
            (400, &format!("data: {wrong}\r\n\r\n"), Verdict::Invalid),
            (
                400,
                r#"{"error":{"message":"API Key not found. Please pass a valid API key."}}"#,
                Verdict::Invalid,
            ),
            (
                400,
                &error("INVALID_ARGUMENT", "", "Unknown name"),
                Verdict::Caller,
            ),
            (
                400,
                &error(
                    "INVALID_ARGUMENT",
                    "",
                    r#"Unknown name \"API key not valid\": no such field."#,
                ),
                Verdict::Caller,
            ),
            (400, &location, Verdict::Blocked),
            (
                400,
                &error("FAILED_PRECONDITION", "", "Please enable billing"),
                Verdict::Restricted,
            ),
            (
                401,
                &error("UNAUTHENTICATED", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "x"),
                Verdict::Invalid,
            ),
            (401, "<html>", Verdict::Caller),
            (
                403,
                &error("PERMISSION_DENIED", "SERVICE_DISABLED", "x"),
                Verdict::Restricted,
            ),
            (
                403,
                &error("PERMISSION_DENIED", "API_KEY_SERVICE_BLOCKED", "x"),
                Verdict::Restricted,
            ),
            (
                403,
                &error("PERMISSION_DENIED", "API_KEY_HTTP_REFERRER_BLOCKED", "x"),
                Verdict::Blocked,
            ),
            (
                403,
                &error("PERMISSION_DENIED", "", "Your API key was reported as leaked."),
                Verdict::Invalid,
            ),
            (
                403,
                &error("PERMISSION_DENIED", "", "unregistered callers"),
                Verdict::Caller,
            ),
            (403, &error("PERMISSION_DENIED", "", "no"), Verdict::Restricted),
            (
                404,
                &error("NOT_FOUND", "", "models/x is not found"),
                Verdict::Caller,
            ),
            (429, daily, Verdict::Quota),
            (429, minutely, Verdict::RateLimited),
            (429, "", Verdict::RateLimited),
            (503, &error("UNAVAILABLE", "", "overloaded"), Verdict::Unavailable),
        ],
    );
}

#[test]
fn azure() {
    check(
        "azure",
        &[
            (200, "[]", Verdict::Valid),
            (401, "", Verdict::Invalid),
            (
                401,
                r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}"#,
                Verdict::Invalid,
            ),
            (
                403,
                r#"{"error":{"code":"403","message":"Out of call volume quota. Quota will be replenished"}}"#,
                Verdict::Quota,
            ),
            (
                403,
                r#"{"error":{"message":"Access denied due to Virtual Network/Firewall rules."}}"#,
                Verdict::Blocked,
            ),
            (403, "", Verdict::Restricted),
            (400, "", Verdict::Caller),
            (415, "", Verdict::Caller),
            (429, "", Verdict::RateLimited),
            (429, r#"{"error":{"message":"Quota exceeded"}}"#, Verdict::Quota),
            (502, "", Verdict::Unavailable),
        ],
    );
}

#[test]
fn only_a_refusal_makes_a_key_invalid() {
    for provider in PROVIDERS.iter() {
        for status in (100..600).filter(|status| !(400..500).contains(status) || *status == 429) {
            for body in [
                "",
                "{}",
                "<html>",
                r#"{"detail":{"status":"invalid_api_key"}}"#,
                "API key not valid",
            ] {
                assert_ne!(
                    judge(provider, status, body.as_bytes()),
                    Verdict::Invalid,
                    "{} {status}",
                    provider.id
                );
            }
        }
        assert_eq!(judge(provider, 200, b"\xff\xfe"), Verdict::Valid);
        assert_eq!(judge(provider, 500, b"<html>"), Verdict::Unavailable);
        assert_eq!(judge(provider, 429, b"<html>"), Verdict::RateLimited);
    }
}

#[test]
fn a_closing_is_judged_by_code_and_reason() {
    const LOCATION: &str = "User location is not supported for the API use without a billing account linked.";
    const THROTTLED: &str = "The request is throttled because you have exceeded the concurrent request limit allowed for your sub";
    for (id, code, reason, verdict) in [
        ("elevenlabs", 1008, "Invalid API key", Some(Verdict::Invalid)),
        ("elevenlabs", 1008, "invalid_api_key", Some(Verdict::Invalid)),
        (
            "elevenlabs",
            1008,
            "This request exceeds your quota of 10000. You have 0 credits remaining.",
            Some(Verdict::Quota),
        ),
        (
            "elevenlabs",
            1008,
            "You have exceeded your quota.",
            Some(Verdict::Quota),
        ),
        (
            "elevenlabs",
            1008,
            "A voice with voice_id invalid_api_key does not exist.",
            None,
        ),
        (
            "elevenlabs",
            1008,
            "Have not received a new text input within the timeout.",
            None,
        ),
        ("elevenlabs", 1008, "", None),
        ("elevenlabs", 1000, "Invalid API key", None),
        ("elevenlabs", 1011, "invalid_api_key", None),
        ("azure", 4429, THROTTLED, Some(Verdict::RateLimited)),
        ("azure", 4429, "", Some(Verdict::RateLimited)),
        (
            "azure",
            4429,
            "The monthly Quota is used up",
            Some(Verdict::Quota),
        ),
        ("azure", 1007, "Quota exceeded. Cid: ", Some(Verdict::Quota)),
        (
            "azure",
            1007,
            "Throttled due to too many requests",
            Some(Verdict::RateLimited),
        ),
        ("azure", 1007, "Unsupported voice Quota exceeded.", None),
        ("azure", 1007, "Could not find the voice en-US-Nobody", None),
        ("azure", 1002, "invalid subscription key", None),
        ("azure", 1000, "", None),
        (
            "gemini",
            1007,
            "API key not valid. Please pass a valid API key.",
            Some(Verdict::Invalid),
        ),
        (
            "gemini",
            1007,
            "API key expired. Please renew the API key.",
            Some(Verdict::Invalid),
        ),
        (
            "gemini",
            1007,
            "API Key not found. Please pass a valid API key.",
            Some(Verdict::Invalid),
        ),
        ("gemini", 1007, LOCATION, Some(Verdict::Blocked)),
        (
            "gemini",
            1011,
            "You exceeded your current quota, please check your plan and billing details.",
            Some(Verdict::Quota),
        ),
        ("gemini", 1007, "Request contains an invalid argument.", None),
        (
            "gemini",
            1007,
            "Invalid JSON payload received. Unknown name \"API key not valid. Please pass a valid API key.\"",
            None,
        ),
        (
            "gemini",
            1000,
            "API key not valid. Please pass a valid API key.",
            None,
        ),
        ("openai", 1008, "invalid_api_key", None),
    ] {
        let judged = judge_close(&provider(id), code, reason);
        assert_eq!(
            judged.as_ref().map(|judged| judged.verdict),
            verdict,
            "{id} {code} {reason}"
        );
        let says = judged.map(|judged| judged.says).unwrap_or_default();
        assert!(says.is_empty() || says.ends_with('.') && !says.contains("concurrent"));
    }
}

/// A status is told apart from a closing code of the same number, and neither hears the other's rules.
#[test]
fn http_hears_no_rules_of_sockets() {
    for provider in PROVIDERS.iter() {
        for body in [
            r#"{"message_type":"auth_error","error":"invalid_api_key"}"#,
            r#"{"RecognitionStatus":"Forbidden"}"#,
            "invalid_api_key",
            "API key not valid",
            "Quota exceeded",
        ] {
            assert_eq!(
                judge(provider, 200, body.as_bytes()),
                Verdict::Valid,
                "{}",
                provider.id
            );
            for status in [1007, 1008, 4429] {
                assert_eq!(judge(provider, status, body.as_bytes()), Verdict::Unavailable);
            }
        }
        for code in [200, 401, 403, 429] {
            assert_eq!(
                judge_close(provider, code, "quota exceeded"),
                None,
                "{}",
                provider.id
            );
        }
    }
}

#[test]
fn every_verdict_has_its_code() {
    for verdict in Verdict::ALL {
        let code = code_of(*verdict);
        match verdict {
            Verdict::Valid | Verdict::Caller => assert_eq!(code, None),
            Verdict::Invalid => assert_eq!(code, Some(Code::CredentialInvalid)),
            Verdict::Restricted | Verdict::Blocked => assert_eq!(code, Some(Code::CredentialRestricted)),
            Verdict::Quota => assert_eq!(code, Some(Code::ProviderQuotaExceeded)),
            Verdict::RateLimited => assert_eq!(code, Some(Code::ProviderRateLimited)),
            Verdict::Unavailable => assert_eq!(code, Some(Code::ProviderError)),
        }
    }
}

#[test]
fn explanations_say_what_to_mend_and_repeat_no_body() {
    let says = |id: &str, status: u16, body: &str| {
        let provider = provider(id);
        explain(
            &provider,
            judge(&provider, status, body.as_bytes()),
            status,
            body.as_bytes(),
        )
    };
    let missing = r#"{"detail":{"status":"missing_permissions","message":"The API key you used is missing the permission models_read to execute this operation. sk_planted"}}"#;
    let text = says("elevenlabs", 401, missing);
    assert!(
        text.contains("models_read") && !text.contains("speech_to_text") && !text.contains("sk_planted"),
        "{text}"
    );
    let unnamed = says(
        "elevenlabs",
        401,
        r#"{"detail":{"status":"missing_permissions"}}"#,
    );
    assert!(unnamed.contains("a permission"), "{unnamed}");
    let text = says("azure", 401, "sk_planted");
    assert!(
        text.contains("key") && text.contains("region") && !text.contains("sk_planted"),
        "{text}"
    );
    let old = says(
        "gemini",
        401,
        r#"{"error":{"status":"UNAUTHENTICATED","message":"sk_planted"}}"#,
    );
    assert!(old.contains("Make a new key"), "{old}");
    for provider in PROVIDERS.iter() {
        for verdict in Verdict::ALL {
            let text = explain(provider, *verdict, 418, b"sk_planted");
            assert!(
                text.len() > 20 && text.ends_with('.') && !text.contains("sk_planted"),
                "{text}"
            );
        }
    }
}

#[test]
fn some_refusals_stop_everything() {
    let gemini = provider("gemini");
    let disabled = br#"{"error":{"status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}}"#;
    assert!(stops_everything(&gemini, 403, disabled));
    let denied = br#"{"error":{"status":"PERMISSION_DENIED"}}"#;
    assert!(stops_everything(&gemini, 403, denied));
    let unpaid = br#"{"error":{"status":"FAILED_PRECONDITION","message":"enable billing"}}"#;
    assert!(!stops_everything(&gemini, 400, unpaid));
    let no_speech =
        br#"{"detail":{"status":"missing_permissions","message":"the permission text_to_speech"}}"#;
    assert!(stops_everything(&provider("elevenlabs"), 401, no_speech));
    let missing = br#"{"detail":{"status":"missing_permissions","message":"models_read"}}"#;
    assert!(!stops_everything(&provider("elevenlabs"), 401, missing));
}

#[test]
fn the_wait_is_found_wherever_it_stands() {
    let none = headers(&[]);
    let gemini = provider("gemini");
    let info = br#"{"error":{"details":[{"@type":"x"},{"@type":"RetryInfo","retryDelay":"27.2s"}]}}"#;
    assert_eq!(retry_after(&gemini, &none, info), Some(28));
    assert_eq!(
        retry_after(&gemini, &headers(&[("retry-after", "3")]), info),
        Some(3)
    );
    let sentence = br#"{"error":{"message":"Quota exceeded. Please retry in 12.34s."}}"#;
    assert_eq!(retry_after(&gemini, &none, sentence), Some(13));
    assert_eq!(retry_after(&gemini, &none, b"<html>retry in 5s"), None);
    let azure = br#"{"error":{"code":"429","message":"Please retry after 7 seconds."}}"#;
    assert_eq!(retry_after(&provider("azure"), &none, azure), Some(7));
    assert_eq!(retry_after(&provider("elevenlabs"), &none, b"{}"), None);
    assert_eq!(
        retry_after(&gemini, &headers(&[("retry-after", "-5")]), b""),
        None
    );
}
