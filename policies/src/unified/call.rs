//! The parts of a call to a provider, filled from its templates.

use std::fmt::Write as _;

use http::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use minijinja::{Value, context};

use super::TranslatedHead;
use crate::descriptor::{Field, HeadTemplate, Texts};
use crate::rewrite::RewriteError;

pub(super) fn head(
    texts: &Texts,
    template: &HeadTemplate,
    content_type: &str,
    with: &Value,
) -> Result<TranslatedHead, RewriteError> {
    let mut headers = HeaderMap::with_capacity(template.headers.len() + 4);
    headers.insert(CONTENT_TYPE, header_value(content_type)?);
    // Some providers refuse a call that names no agent.
    headers.insert(USER_AGENT, HeaderValue::from_static("voxgate"));
    for (name, text) in filled(texts, &template.headers, with)? {
        headers.insert::<HeaderName>(name, header_value(&text)?);
    }
    let mut query = String::new();
    for (name, text) in filled(texts, &template.query, with)? {
        let divider = if query.is_empty() { "" } else { "&" };
        write!(query, "{divider}{name}={text}").map_err(|_| RewriteError::Head("query"))?;
    }
    Ok(TranslatedHead {
        method: Method::POST,
        path: texts.fill(&template.path, with)?,
        query: (!query.is_empty()).then_some(query),
        headers,
    })
}

fn header_value(text: &str) -> Result<HeaderValue, RewriteError> {
    HeaderValue::from_str(text).map_err(|_| RewriteError::Head("header"))
}

/// Each field as often as it stands, those filled with nothing left out.
pub(super) fn filled<N: Clone>(
    texts: &Texts,
    fields: &[Field<N>],
    with: &Value,
) -> Result<Vec<(N, String)>, RewriteError> {
    let mut all = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(list) = &field.each else {
            let text = texts.fill(&field.text, with)?;
            if !text.is_empty() {
                all.push((field.name.clone(), text));
            }
            continue;
        };
        let items = with.get_attr(list).and_then(|list| list.try_iter());
        for item in items.into_iter().flatten() {
            let text = texts.fill(&field.text, &context! { item, ..with.clone() })?;
            if !text.is_empty() {
                all.push((field.name.clone(), text));
            }
        }
    }
    Ok(all)
}
