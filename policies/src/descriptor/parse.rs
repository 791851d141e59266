//! From what was written to what is meant. Each problem is told with the key it stands at; a part that
//! cannot be parsed is left out, so that one reading tells of them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::errors::Findings;
use super::file::*;
use super::nearest;
use super::pattern::PathPattern;
use super::pointer::{Glob, Pointer};
use super::provider::*;
use super::settings::{LONGEST_LABEL, Setting, Shape, Template};
use super::socket::{self, SocketPlan};
use super::unified::TranscriptionSource;
use super::unified::parse::{Reader, head_comes_first};
use crate::vocabulary::ProviderId;

mod verdict;

pub(super) fn provider(file: File, findings: &mut Findings<'_>) -> Option<Provider> {
    let meters = meters(file.meters, findings);
    let sockets = socket::parse::sockets(file.sockets, findings);
    let mut unified = Reader::new(findings);
    let speech = file.speech.and_then(|file| unified.speech(file));
    let transcription = file.transcription.and_then(|file| unified.transcription(file));
    let texts = unified.done();
    let transcription = transcription.map(|source| TranscriptionSource {
        head_comes_first: head_comes_first(&source, &texts),
        ..source
    });
    Some(Provider {
        speech,
        transcription,
        texts,
        messages: pointers(&file.messages, "messages", findings),
        settings: file
            .settings
            .into_iter()
            .map(|setting| self::setting(setting, &file.id))
            .collect(),
        hosts: file
            .hosts
            .into_iter()
            .filter_map(|(name, host)| hosts(name, host, findings))
            .collect(),
        key: key(file.key, findings)?,
        endpoints: nth(file.endpoints, "endpoints", findings, |e, key, f| {
            endpoint(e, &meters, &sockets, key, f)
        }),
        verdicts: nth(file.verdicts, "verdicts", findings, verdict::parse),
        retry: RetryHints {
            at: pointers(&file.retry.at, "retry.at", findings),
            sentences: pointers(&file.retry.sentences, "retry.sentences", findings),
            phrases: file.retry.phrases,
        },
        probes: nth(file.probes, "probes", findings, call),
        models: models(file.models, findings),
        voices: voices(file.voices, findings),
        quota: file.quota.and_then(|quota| self::quota(quota, findings)),
        request_id_headers: file
            .request_id_headers
            .iter()
            .filter_map(|name| header(name, "request_id_headers", findings))
            .collect(),
        prices: file.prices.into_iter().map(price).collect(),
        timeouts: Timeouts {
            connect: Duration::from_millis(file.timeouts.connect_ms),
            first_byte: Duration::from_millis(file.timeouts.first_byte_ms),
            idle: Duration::from_millis(file.timeouts.idle_ms),
        },
        id: ProviderId::new(file.id),
        name: file.name,
        key_url: file.key_url,
        dialect: file.dialect,
        operations: file.operations,
        root_paths: file.root_paths,
        refused_query: file.refused_query,
    })
}

/// Parses each item with its own key, `list.3`, and keeps those that could be.
pub(super) fn nth<T, U>(
    items: Vec<T>,
    list: &str,
    findings: &mut Findings<'_>,
    parse: impl Fn(T, &str, &mut Findings<'_>) -> Option<U>,
) -> Vec<U> {
    let numbered = items.into_iter().enumerate();
    numbered
        .filter_map(|(at, item)| parse(item, &format!("{list}.{at}"), findings))
        .collect()
}

fn setting(file: FileSetting, provider: &str) -> Setting {
    let shape = match file.shape {
        FileShape::Label { min, max, hyphens } => Shape::Label {
            min,
            max: max.min(LONGEST_LABEL),
            hyphens,
        },
        FileShape::OneOf(words) => Shape::OneOf(words),
        FileShape::OperatorUrl => Shape::OperatorUrl {
            listed_at: format!("providers.{provider}.base_urls"),
            urls: Vec::new(),
        },
    };
    Setting {
        name: file.name,
        title: file.title,
        help: file.help,
        required: file.required,
        required_unless: file.required_unless,
        default: file.default,
        shape,
        known: file.known,
    }
}

fn hosts(name: String, file: FileHost, findings: &mut Findings<'_>) -> Option<(String, HostTemplate)> {
    let key = format!("hosts.{name}");
    let mut host = HostTemplate::new(findings.take(format!("{key}.url"), Template::parse(&file.url))?);
    host.variants = nth(
        file.variants,
        &format!("{key}.variants"),
        findings,
        |variant, key, findings| {
            let any = |value: String| (value != "*").then_some(value);
            Some(HostVariant {
                when: variant
                    .when
                    .into_iter()
                    .map(|(name, value)| (name, any(value)))
                    .collect(),
                url: findings.take(format!("{key}.url"), Template::parse(&variant.url))?,
            })
        },
    );
    host.settle();
    Some((name, host))
}

fn key(file: FileKey, findings: &mut Findings<'_>) -> Option<KeyPlacement> {
    let place = match (file.header, file.query) {
        (Some(name), None) => KeyPlace::Header(header(&name, "key.header", findings)?),
        (None, Some(name)) => KeyPlace::Query(name),
        _ => {
            findings.add("key", "a key goes to exactly one place: give header or query");
            return None;
        }
    };
    let Some((before, after)) = file.format.split_once("{key}") else {
        findings.add("key.format", "the format must hold {key} once");
        return None;
    };
    let fixed_headers = file.fixed_headers.iter().filter_map(|(name, value)| {
        let at = format!("key.fixed_headers.{name}");
        Some((
            header(name, &at, findings)?,
            findings.take(at.as_str(), HeaderValue::from_str(value))?,
        ))
    });
    let fixed_headers = fixed_headers.collect();
    Some(KeyPlacement {
        place,
        before: before.to_owned(),
        after: after.to_owned(),
        fixed_headers,
    })
}

pub(super) fn header(name: &str, key: &str, findings: &mut Findings<'_>) -> Option<HeaderName> {
    findings.take(key, HeaderName::from_bytes(name.as_bytes()))
}

pub(super) fn pointer(text: &str, key: &str, findings: &mut Findings<'_>) -> Option<Pointer> {
    findings.take(key, Pointer::parse(text))
}

pub(super) fn pointers(texts: &[String], key: &str, findings: &mut Findings<'_>) -> Vec<Pointer> {
    texts
        .iter()
        .filter_map(|text| pointer(text, key, findings))
        .collect()
}

pub(super) fn optional(text: &Option<String>, key: &str, findings: &mut Findings<'_>) -> Option<Pointer> {
    text.as_ref().and_then(|text| pointer(text, key, findings))
}

fn endpoint(
    file: FileEndpoint,
    meters: &BTreeMap<String, Arc<MeterPlan>>,
    sockets: &BTreeMap<String, Arc<SocketPlan>>,
    key: &str,
    findings: &mut Findings<'_>,
) -> Option<Endpoint> {
    let method = match file.method.as_str() {
        "WS" => EndpointMethod::WebSocket,
        other => EndpointMethod::Http(method(other, &format!("{key}.method"), findings)?),
    };
    let is_socket = method == EndpointMethod::WebSocket;
    for (word, given, fits) in [
        ("meter", &file.meter, !is_socket),
        ("socket", &file.socket, is_socket),
    ] {
        if given.is_some() && !fits {
            findings.add(
                format!("{key}.{word}"),
                "a WebSocket (`method = \"WS\"`) has a `socket`, any other call a `meter`",
            );
        }
    }
    let meter = named("meter", file.meter.as_deref(), meters, key, findings)?;
    let socket = named("socket", file.socket.as_deref(), sockets, key, findings)?;
    Some(Endpoint {
        method,
        path: findings.take(format!("{key}.path"), PathPattern::parse(&file.path))?,
        host: file.host,
        inbound_prefixes: file.inbound_prefixes,
        upstream_prefix: file.upstream_prefix,
        operation: file.operation,
        meter,
        socket,
    })
}

/// What an endpoint names of the file's tables; the default where it names nothing.
fn named<T: Default>(
    word: &str,
    name: Option<&str>,
    tables: &BTreeMap<String, Arc<T>>,
    key: &str,
    findings: &mut Findings<'_>,
) -> Option<Arc<T>> {
    let Some(name) = name else {
        return Some(Arc::default());
    };
    let found = tables.get(name).cloned();
    if found.is_none() {
        let near = nearest(name, tables.keys().map(String::as_str));
        let hint = near
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        findings.add(format!("{key}.{word}"), format!("unknown {word} {name}{hint}"));
    }
    found
}

/// The methods that speech providers use; anything else is most likely a slip.
fn method(text: &str, key: &str, findings: &mut Findings<'_>) -> Option<Method> {
    match text {
        "GET" => Some(Method::GET),
        "POST" => Some(Method::POST),
        "PUT" => Some(Method::PUT),
        "PATCH" => Some(Method::PATCH),
        "DELETE" => Some(Method::DELETE),
        _ => {
            findings.add(
                key,
                format!("{text} is none of GET, POST, PUT, PATCH, DELETE and WS"),
            );
            None
        }
    }
}

fn meters(
    files: BTreeMap<String, FileMeter>,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, Arc<MeterPlan>> {
    let parsed = files.into_iter().filter_map(|(name, file)| {
        let plan = meter(file, &format!("meters.{name}"), findings)?;
        Some((name, Arc::new(plan)))
    });
    parsed.collect()
}

fn meter(file: FileMeter, key: &str, findings: &mut Findings<'_>) -> Option<MeterPlan> {
    let scaled = nth(
        file.audio_seconds,
        &format!("{key}.audio_seconds"),
        findings,
        |item, key, findings| {
            Some(Scaled {
                at: pointer(&item.at, key, findings)?,
                times: item.times,
            })
        },
    );
    let characters_header = match &file.characters_header {
        Some(name) => Some(header(name, &format!("{key}.characters_header"), findings)?),
        None => None,
    };
    let voices = file
        .model_by_voice
        .iter()
        .map(|rule| (Glob::new(&rule.voice), rule.model.clone()));
    Some(MeterPlan {
        request: file.request,
        model: pointers(&file.model, &format!("{key}.model"), findings),
        model_default: file.model_default,
        model_by_voice: voices.collect(),
        characters: pointers(&file.characters, &format!("{key}.characters"), findings),
        wide_characters_count_double: file.wide_characters_count_double,
        characters_header,
        audio_seconds: scaled,
        tokens_in: pointers(&file.tokens_in, &format!("{key}.tokens_in"), findings),
        tokens_out: pointers(&file.tokens_out, &format!("{key}.tokens_out"), findings),
        audio_bytes: match file.audio_bytes {
            Some(bytes) => Some(audio_bytes(bytes, &format!("{key}.audio_bytes"), findings)?),
            None => None,
        },
    })
}

fn audio_bytes(file: FileAudioBytes, key: &str, findings: &mut Findings<'_>) -> Option<AudioBytes> {
    let format = match (file.query, file.header) {
        (Some(name), None) => FormatPlace::Query(name),
        (None, Some(name)) => FormatPlace::Header(header(&name, &format!("{key}.header"), findings)?),
        _ => {
            findings.add(
                key,
                "the format is asked for in exactly one place: give query or header",
            );
            return None;
        }
    };
    for (name, _) in file.bytes_per_second.iter().filter(|(_, rate)| **rate <= 0.0) {
        findings.add(
            format!("{key}.bytes_per_second.{name}"),
            "a rate is more than zero",
        );
    }
    let head = |name: &str| file.head_bytes.get(name).copied().unwrap_or_default();
    let rates = file.bytes_per_second.iter();
    let formats = rates.map(|(name, rate)| {
        (
            name.clone(),
            ByteRate {
                per_second: *rate,
                head: head(name),
            },
        )
    });
    Some(AudioBytes {
        format,
        default_format: file.default,
        formats: formats.collect(),
    })
}

fn call(file: FileCall, key: &str, findings: &mut Findings<'_>) -> Option<Call> {
    Some(Call {
        method: method(&file.method, &format!("{key}.method"), findings)?,
        host: file.host,
        path: file.path,
        query: file.query.into_iter().collect(),
    })
}

fn models(file: FileModels, findings: &mut Findings<'_>) -> ModelSource {
    let operations = file.operations.into_iter().map(|(operation, test)| {
        let key = format!("models.operations.{operation}.flag");
        let names = test.names.iter().map(|name| Glob::new(name)).collect();
        (
            operation,
            ModelTest {
                flag: optional(&test.flag, &key, findings),
                names,
            },
        )
    });
    let operations = operations.collect();
    ModelSource {
        call: file.call.and_then(|file| call(file, "models.call", findings)),
        items: pointer(&file.items, "models.items", findings).unwrap_or_default(),
        id: pointer(&file.id, "models.id", findings).unwrap_or_default(),
        id_prefix: file.id_prefix,
        name: pointer(&file.name, "models.name", findings).unwrap_or_default(),
        next: optional(&file.next, "models.next", findings),
        page_query: file.page_query,
        operations,
        fixed: file.fixed,
    }
}

fn voices(file: FileVoices, findings: &mut Findings<'_>) -> VoiceSource {
    VoiceSource {
        call: file.call.and_then(|file| call(file, "voices.call", findings)),
        items: pointer(&file.items, "voices.items", findings).unwrap_or_default(),
        id: pointer(&file.id, "voices.id", findings).unwrap_or_default(),
        name: pointer(&file.name, "voices.name", findings).unwrap_or_default(),
        languages: pointers(&file.languages, "voices.languages", findings),
        gender: optional(&file.gender, "voices.gender", findings),
        styles: optional(&file.styles, "voices.styles", findings),
        preview: optional(&file.preview, "voices.preview", findings),
        next: optional(&file.next, "voices.next", findings),
        page_query: file.page_query,
        search_query: file.search_query,
        language_query: file.language_query,
        fixed: file.fixed,
        more: file.more,
    }
}

fn quota(file: FileQuota, findings: &mut Findings<'_>) -> Option<QuotaSource> {
    Some(QuotaSource {
        call: call(file.call, "quota.call", findings)?,
        used: pointer(&file.used, "quota.used", findings)?,
        limit: pointer(&file.limit, "quota.limit", findings)?,
        unit: file.unit,
        resets_at: optional(&file.resets_at, "quota.resets_at", findings),
    })
}

fn price(file: FilePrice) -> Price {
    Price {
        models: file.models.iter().map(|name| Glob::new(name)).collect(),
        operation: file.operation,
        per_million_characters: file.per_million_characters,
        per_hour: file.per_hour,
        per_million_tokens_in: file.per_million_tokens_in,
        per_million_tokens_out: file.per_million_tokens_out,
        from: file.from,
        until: file.until,
        checked: file.checked,
        source: file.source,
    }
}
