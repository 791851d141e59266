//! Voxgate's own errors in the shape that a path's SDKs understand, so that each raises its typed error.

use serde_json::{Value, json};

use crate::vocabulary::{Code, Dialect};

/// Content type and body. `setup_url` is left out where there is nothing to mend.
pub fn error_body(
    dialect: Dialect,
    code: Code,
    message: &str,
    param: Option<&str>,
    setup_url: Option<&str>,
) -> (&'static str, String) {
    let mut body = match dialect {
        Dialect::OpenAi => json!({"error": {
            "message": message, "type": openai_type(code), "code": code.as_str(), "param": param,
        }}),
        Dialect::Detail => json!({"detail": {"status": code.as_str(), "message": message}}),
        Dialect::Google => google(code, message, setup_url),
        Dialect::Plain => json!({"error": {"code": code.as_str(), "message": message}}),
    };
    let outer = if dialect == Dialect::Detail {
        "detail"
    } else {
        "error"
    };
    if let (Some(url), Some(members), false) =
        (setup_url, body[outer].as_object_mut(), dialect == Dialect::Google)
    {
        members.insert("setup_url".to_owned(), url.into());
    }
    ("application/json", body.to_string())
}

fn openai_type(code: Code) -> &'static str {
    match code.status() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// `google.rpc.Status`: our code travels as the reason of an `ErrorInfo`.
fn google(code: Code, message: &str, setup_url: Option<&str>) -> Value {
    let metadata = setup_url.map_or(json!({}), |url| json!({"setup_url": url}));
    json!({"error": {
        "code": code.status(),
        "message": message,
        "status": google_status(code),
        "details": [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": code.as_str(),
            "domain": "voxgate",
            "metadata": metadata,
        }],
    }})
}

fn google_status(code: Code) -> &'static str {
    match code.status() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        424 => "FAILED_PRECONDITION",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        502 | 503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(dialect: Dialect) -> Value {
        let url = Some("http://setup/x");
        let (kind, text) = error_body(dialect, Code::CredentialMissing, "no key", Some("model"), url);
        assert_eq!(kind, "application/json");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn each_dialect_has_its_shape() {
        assert_eq!(
            body(Dialect::OpenAi),
            json!({"error": {"message": "no key", "type": "invalid_request_error", "code": "credential_missing",
                "param": "model", "setup_url": "http://setup/x"}})
        );
        assert_eq!(
            body(Dialect::Detail),
            json!({"detail": {"status": "credential_missing", "message": "no key", "setup_url": "http://setup/x"}})
        );
        assert_eq!(
            body(Dialect::Plain),
            json!({"error": {"code": "credential_missing", "message": "no key", "setup_url": "http://setup/x"}})
        );
        let google = body(Dialect::Google);
        assert_eq!(google["error"]["code"], 424);
        assert_eq!(google["error"]["status"], "FAILED_PRECONDITION");
        assert_eq!(google["error"]["details"][0]["reason"], "credential_missing");
        assert_eq!(
            google["error"]["details"][0]["metadata"]["setup_url"],
            "http://setup/x"
        );
    }
}
