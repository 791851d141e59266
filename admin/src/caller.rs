//! Who is calling and what that proof allows, settled before a handler or a body is looked at.
//!
//! [`prove`] stands before every call under `/api/v1`; handlers take the outcome whole, as [`Proven`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use policies::vocabulary::{
    Actor, AuditAction, AuditEvent, AuditOutcome, Caller, Code, Owner, PresentedToken, RecordEvent, Refusal,
    Scope, TeamId, UserId,
};
use uuid::Uuid;

use crate::Admin;
use crate::answer::{AnsweredUser, Arrived};
use crate::params::Params;
use crate::problem::Problem;

/// The scopes of which a caller needs one; none listed means that any proven caller may.
#[derive(Clone, Copy, Debug)]
pub struct Needs(pub &'static [Scope]);

/// The peer of the connection. No header is believed about it.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

/// A caller who has proven who it is and whose token allows the call.
#[derive(Clone, Debug)]
pub struct Proven {
    pub caller: Arc<Caller>,
    pub actor: Actor,
}

pub async fn prove(
    State((admin, needs)): State<(Arc<Admin>, Needs)>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut actor = actor_of(&request);
    let mut response = match authenticate(&admin, request.headers()).await {
        Err(refusal) => Problem::from(refusal).into_response(),
        Ok(caller) => {
            actor.user = Some(caller.user.clone());
            match allow(&caller, needs) {
                Err(problem) => problem.into_response(),
                Ok(()) => {
                    request.extensions_mut().insert(Proven {
                        caller,
                        actor: actor.clone(),
                    });
                    next.run(request).await
                }
            }
        }
    };
    if let Some(user) = &actor.user {
        response.extensions_mut().insert(AnsweredUser(user.clone()));
    }
    record_refusal(&admin, actor, response.extensions().get());
    response
}

fn actor_of(request: &Request) -> Actor {
    let ip = request.extensions().get::<Peer>().map(|peer| peer.0);
    let request_id = request
        .extensions()
        .get::<Arrived>()
        .map_or_else(Uuid::now_v7, |arrived| arrived.0);
    Actor {
        user: None,
        ip,
        request_id,
    }
}

async fn authenticate(admin: &Admin, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
    let presented = bearer(headers).ok_or_else(|| {
        Refusal::new(
            Code::Unauthenticated,
            "send an access token or JWT as `Authorization: Bearer …`",
        )
    })?;
    admin.callers.authenticate(&[presented]).await
}

/// The token of the one `Authorization` header; two of them are as good as none.
fn bearer(headers: &HeaderMap) -> Option<PresentedToken> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| PresentedToken::new(token))
}

fn allow(caller: &Caller, Needs(scopes): Needs) -> Result<(), Problem> {
    if scopes.is_empty() || scopes.iter().any(|scope| caller.may(*scope)) {
        return Ok(());
    }
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    Err(Problem::new(
        Code::Forbidden,
        format!("this call needs a token with scope {}", names.join(" or ")),
    ))
}

/// Refusals of identity and permission go on record. They do not wait for the database, and those of strangers
/// share a budget, or whoever guesses at tokens would decide how much it has to do and to keep.
fn record_refusal(admin: &Admin, actor: Actor, problem: Option<&Problem>) {
    let Some(problem) = problem else { return };
    if !matches!(problem.code, Code::Unauthenticated | Code::Forbidden) {
        return;
    }
    if actor.user.is_none() && !admin.strangers.take(Instant::now()) {
        return;
    }
    let detail = Some(format!("{}: {}", problem.code, problem.detail));
    let event = admin.audit_event(&actor, AuditAction::CallRefuse, AuditOutcome::Refused);
    admin
        .vault
        .record(RecordEvent::Audit(Box::new(AuditEvent { detail, ..event })));
}

impl Proven {
    /// Whose credentials or selections a call is about, for reading: one's own, or those of a team one is in.
    pub fn reads(&self, params: &mut Params) -> Result<Owner, Problem> {
        let caller = &self.caller;
        self.owner(params, |team| {
            caller.teams.contains(team) || caller.admin_of.contains(team)
        })
    }

    /// The same for changing: one's own, or those of a team one is an admin of.
    pub fn changes(&self, params: &mut Params) -> Result<Owner, Problem> {
        self.owner(params, |team| self.caller.admin_of.contains(team))
    }

    fn owner(&self, params: &mut Params, in_team: impl Fn(&TeamId) -> bool) -> Result<Owner, Problem> {
        let own = Owner::User(self.caller.user.clone());
        let Some(text) = params.take("owner") else {
            return Ok(own);
        };
        let named = text
            .split_once(':')
            .and_then(|(kind, id)| Owner::from_parts(kind, id));
        match named {
            Some(Owner::Team(team)) if !team.as_str().is_empty() => match in_team(&team) {
                true => Ok(Owner::Team(team)),
                false => {
                    Err(Problem::new(Code::Forbidden, "you may not do this for that team").param("owner"))
                }
            },
            Some(owner) if owner == own => Ok(own),
            Some(Owner::User(_)) => {
                Err(Problem::new(Code::Forbidden, "only its user may do this for a user").param("owner"))
            }
            _ => Err(Problem::invalid("owner", "`owner` is spelled team:ID")),
        }
    }

    /// Whose record a call is about: everyone's or one user's for operators, else one's own.
    pub fn recorded(&self, params: &mut Params) -> Result<Option<UserId>, Problem> {
        let text = params.take("owner");
        if text.as_ref().is_some_and(|text| text.starts_with("team:")) {
            return Err(Problem::invalid(
                "owner",
                "the record is kept by user: `owner` is spelled user:ID",
            ));
        }
        let asked = text.map(|text| UserId::new(text.strip_prefix("user:").unwrap_or(&text)));
        if self.caller.is_operator() {
            return Ok(asked);
        }
        match asked {
            Some(user) if user != self.caller.user => Err(Problem::new(
                Code::Forbidden,
                "only operators may see the record of others",
            )
            .param("owner")),
            _ => Ok(Some(self.caller.user.clone())),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Proven {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let proven = parts.extensions.get::<Proven>().cloned();
        proven.ok_or_else(|| Problem::internal("a call was reached without proof of its caller"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::harness::House;

    #[tokio::test]
    async fn a_flood_of_wrong_tokens_does_not_fill_the_record() {
        let house = House::build().await;
        let calls = (0..400).map(|_| house.call("GET /api/v1/me", "sk-guess", ""));
        for said in futures::future::join_all(calls).await {
            said.is(401, "unauthenticated");
        }
        let mut recorded = 0;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let before = recorded;
            recorded = house.audited(AuditAction::CallRefuse).await.len();
            if recorded > 0 && recorded == before {
                break;
            }
        }
        assert!((1..200).contains(&recorded), "{recorded}");
    }

    #[test]
    fn the_token_is_that_of_one_bearer_header() {
        let table: [(&[&str], Option<&str>); 8] = [
            (&["Bearer abc"], Some("abc")),
            (&["bearer  abc "], Some("abc")),
            (&["Bearer "], None),
            (&["Bearer"], None),
            (&["Token abc"], None),
            (&["abc"], None),
            (&["Bearer abc", "Bearer def"], None),
            (&[], None),
        ];
        for (values, token) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(
                bearer(&headers).as_ref().map(PresentedToken::expose),
                token,
                "{values:?}"
            );
        }
    }
}
