//! What every answer has, whichever call it comes from: a request id, the security headers, a body for
//! each [`Problem`], an end in time, and one log line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use policies::rewrite::marks::{ERROR, REQUEST_ID, SETUP_URL};
use policies::vocabulary::{Code, RequestId, UserId};
use uuid::Uuid;

use crate::Admin;
use crate::problem::Problem;
use crate::telemetry::Answered;

/// Every call is answered within this time: the 10 seconds that people are promised, less the way back.
const ANSWER_WITHIN: Duration = Duration::from_millis(9_500);

/// On each answer. The few pages here hold neither scripts nor styles, so nothing at all may load.
const FIXED_HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// The id under which a request is answered, audited and logged.
#[derive(Clone, Copy)]
pub struct Arrived(pub RequestId);

/// The user that an answer is for, left in the answer's extensions for the log line.
#[derive(Clone)]
pub struct AnsweredUser(pub UserId);

pub async fn finish(State(admin): State<Arc<Admin>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = Uuid::now_v7();
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    request.extensions_mut().insert(Arrived(request_id));

    let answering = AssertUnwindSafe(answer(&admin, request, next)).catch_unwind();
    let mut response = match tokio::time::timeout(ANSWER_WITHIN, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::internal("a handler panicked").into_response(),
        Err(_) => Problem::new(
            Code::Overloaded,
            "this took too long; nothing is known of its outcome",
        )
        .retry_after(Some(5))
        .because("the call was still at work at its deadline")
        .into_response(),
    };

    let problem = problem_of(&mut response);
    if let Some(problem) = &problem {
        write_problem(&mut response, problem, request_id, &admin.public_url);
    }
    write_headers(response.headers_mut(), request_id);
    Answered {
        request_id,
        method: method.as_str(),
        path: path.as_deref().unwrap_or("(none)"),
        status: response.status().as_u16(),
        user: response.extensions().get::<AnsweredUser>().map(|user| &user.0),
        problem: problem.as_ref(),
        duration: started.elapsed(),
    }
    .record();
    response
}

/// A change is answered when it holds on every node.
async fn answer(admin: &Admin, request: Request, next: Next) -> Response {
    let changes = !request.method().is_safe();
    let response = next.run(request).await;
    if changes && response.status().is_success() {
        admin.vault.let_others_notice().await;
    }
    response
}

/// A call's own problem, or the one behind a bare status that the router gave.
fn problem_of(response: &mut Response) -> Option<Problem> {
    let status = response.status();
    let own = response.extensions_mut().remove::<Problem>();
    own.or_else(|| (status.is_client_error() || status.is_server_error()).then(|| Problem::of_status(status)))
}

/// Keeps the headers that are there: a 405 has its `allow` already.
fn write_problem(response: &mut Response, problem: &Problem, request_id: RequestId, public_url: &str) {
    let (body, setup_url) = problem.body(request_id, public_url);
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(ERROR, HeaderValue::from_static(problem.code.as_str()));
    if let Some(url) = setup_url.and_then(|url| HeaderValue::from_str(&url).ok()) {
        headers.insert(SETUP_URL, url);
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.code == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

fn write_headers(headers: &mut HeaderMap, request_id: RequestId) {
    for (name, value) in FIXED_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let id =
        HeaderValue::from_str(&request_id.to_string()).expect("a UUID is hexadecimal digits and hyphens");
    headers.insert(REQUEST_ID, id);
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::harness::House;

    #[tokio::test]
    async fn a_panic_is_a_problem_and_says_nothing_of_itself() {
        let house = House::build().await;
        let router: Router = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("inner-secret") }))
            .layer(from_fn_with_state(house.admin.clone(), finish));
        let request = Request::get("/panic").body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("routers do not fail");
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["x-voxgate-error"], "internal");
        let body = axum::body::to_bytes(response.into_body(), 4096)
            .await
            .expect("a body");
        assert!(!String::from_utf8_lossy(&body).contains("inner-secret"));
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_answered() {
        let house = House::build().await;
        let router: Router = Router::new()
            .route(
                "/slow",
                get(async || std::future::pending::<&'static str>().await),
            )
            .layer(from_fn_with_state(house.admin.clone(), finish));
        let started = Instant::now();
        let request = Request::get("/slow").body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("routers do not fail");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from(5))
        );
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
    }
}
