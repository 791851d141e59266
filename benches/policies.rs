//! The pure part of a call, function by function: what the gateway adds to each call beyond moving bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use policies::descriptor::{EndpointMethod, Origin, Provider, Providers};
use policies::meter::Meter;
use policies::rewrite::upstream_head;
use policies::rules::{Inbound, Route, judge, judge_close, recognise, route};
use policies::socket::{Side, SocketMeter, setup};
use policies::unified::{SpeechRequest, Transcript, TranscriptionRequest, Word, render, speech_delta, split};
use policies::vocabulary::Task;

const TOKEN: &str = "vxg_0123456789abcdefghijABCDEFGHIJ012345";

/// A request head as SDKs send it.
struct Head {
    uri: Uri,
    headers: HeaderMap,
}

fn head(target: &str, token_header: &'static str, content_type: &'static str) -> Head {
    let pairs = [
        ("host", "127.0.0.1:8080"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate"),
        ("connection", "keep-alive"),
        ("user-agent", "sdk/2.78.0"),
        ("content-length", "61"),
        ("content-type", content_type),
        (token_header, TOKEN),
    ];
    let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Head {
        uri: target.parse().expect("a target"),
        headers: headers.into_iter().collect(),
    }
}

fn speech() -> Head {
    let target = "/elevenlabs/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=mp3_44100_128";
    head(target, "xi-api-key", "application/json")
}

fn decided(providers: &Providers, head: &Head) -> (Inbound, Route) {
    let inbound = recognise(&Method::POST, &head.uri, &head.headers, providers).expect("a known provider");
    let route = route(&inbound, &Method::POST).expect("a listed endpoint");
    (inbound, route)
}

fn origin(provider: &Provider) -> Origin {
    let known = provider
        .settings
        .iter()
        .filter_map(|setting| Some((setting.name.clone(), setting.known.first()?.clone())));
    let hosts = provider.hosts(&known.collect()).expect("hosts");
    let (_, origin) = hosts.0.into_iter().next().expect("a host");
    Origin::clone(&origin)
}

fn heads(criterion: &mut Criterion) {
    let providers = Providers::built_in().expect("built-in descriptors");
    let transcribe = "/azure/speechtotext/transcriptions:transcribe?api-version=2025-10-15";
    let generate = "/gemini/v1beta/models/gemini-3.5-transcribe:generateContent";
    let mut group = criterion.benchmark_group("recognise and route");
    for (name, head) in [
        ("first endpoints of a long list", speech()),
        (
            "last endpoints, by query token",
            head(
                "/gemini/v1beta/models/x-transcribe:countTokens?key=vxg_x",
                "x-other",
                "application/json",
            ),
        ),
        (
            "model in the path",
            head(generate, "x-goog-api-key", "application/json"),
        ),
        (
            "one of several hosts",
            head(transcribe, "ocp-apim-subscription-key", "multipart/form-data"),
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| decided(&providers, black_box(&head)))
        });
    }
    group.finish();

    let head = speech();
    let (inbound, route) = decided(&providers, &head);
    let origin = origin(&route.provider);
    criterion.bench_function("upstream head", |bencher| {
        bencher.iter(|| {
            let query = inbound.query.as_deref();
            upstream_head(
                &route.provider,
                &origin,
                &Method::POST,
                &inbound.raw_path,
                query,
                black_box(&head.headers),
                "sk_key",
            )
        });
    });
}

fn verdicts(criterion: &mut Criterion) {
    let providers = Providers::built_in().expect("built-in descriptors");
    let provider = providers.get("elevenlabs").expect("a provider");
    let refusal =
        br#"{"detail":{"status":"missing_permissions","message":"lacks the permission models_read"}}"#;
    criterion.bench_function("judge a refusal", |bencher| {
        bencher.iter(|| judge(provider, black_box(401), refusal))
    });
    criterion.bench_function("judge a success", |bencher| {
        bencher.iter(|| judge(provider, black_box(200), b""))
    });
}

fn meters(criterion: &mut Criterion) {
    let providers = Providers::built_in().expect("built-in descriptors");
    let mut group = criterion.benchmark_group("meter");
    let text = format!(
        r#"{{"text":"{}","model_id":"eleven_flash_v2_5"}}"#,
        "Grüße aus Köln. ".repeat(64)
    );
    let head = speech();
    let (inbound, speech) = decided(&providers, &head);
    let whole_call = |answer: &HeaderMap, chunk: &[u8]| {
        let mut meter = Meter::start(&speech, &head.headers, inbound.query.as_deref());
        meter.request_chunk(text.as_bytes());
        meter.answer_head(200, answer);
        meter.answer_chunk(chunk);
        meter.reading()
    };
    let answer = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("audio/mpeg"))]);
    group.bench_function("a call of 1 KiB of text and one chunk of audio", |bencher| {
        bencher.iter(|| whole_call(&answer, black_box(&[0; 32 * 1024])));
    });

    let json = self::head(
        "/gemini/v1beta/models/x-tts:generateContent",
        "x-goog-api-key",
        "application/json",
    );
    let (_, generate) = decided(&providers, &json);
    let audio = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"data":"{}"}}}}]}}}}]"#,
        "QUJD".repeat(16 * 1024)
    );
    group.throughput(Throughput::Bytes(audio.len() as u64));
    group.bench_function("64 KiB of audio inside JSON", |bencher| {
        bencher.iter(|| {
            let mut meter = Meter::start(&generate, &json.headers, None);
            meter.answer_head(200, &json.headers);
            meter.answer_chunk(black_box(audio.as_bytes()));
            meter.reading()
        });
    });

    let form = self::head(
        "/elevenlabs/v1/speech-to-text",
        "xi-api-key",
        "multipart/form-data; boundary=b",
    );
    let (_, upload) = decided(&providers, &form);
    let noise: Vec<u8> = (0..256 * 1024_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    group.throughput(Throughput::Bytes(noise.len() as u64));
    group.bench_function("256 KiB of an upload", |bencher| {
        bencher.iter(|| {
            let mut meter = Meter::start(&upload, &form.headers, None);
            meter.request_chunk(
                b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n",
            );
            noise
                .chunks(16 * 1024)
                .for_each(|chunk| meter.request_chunk(black_box(chunk)));
            meter.reading()
        });
    });
    group.finish();
}

fn socket(providers: &Providers, id: &str, path: &str) -> Route {
    let provider = providers.get(id).expect("a provider").clone();
    let endpoint = provider.endpoints.iter().position(|endpoint| {
        endpoint.method == EndpointMethod::WebSocket && endpoint.path.matches(path, |_, _| {})
    });
    Route {
        endpoint: endpoint.expect("a listed socket"),
        provider,
        model_from_path: None,
    }
}

/// What each message of a live session costs: 8 KiB of sound, in base64 and as it is, and a few words.
fn sockets(criterion: &mut Criterion) {
    let providers = Providers::built_in().expect("built-in descriptors");
    let live = socket(
        &providers,
        "gemini",
        "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    );
    let speech = socket(&providers, "elevenlabs", "/v1/text-to-speech/v/stream-input");
    let recognition = socket(&providers, "azure", "/speech/universal/v2");
    let base64 = "QUJD".repeat(2048);
    let lines = "Path: audio\r\nX-RequestId: 0123456789abcdef0123456789abcdef\r\nX-Timestamp: 2026-11-22T00:00:00Z\r\n";
    let headed = [&(lines.len() as u16).to_be_bytes(), lines.as_bytes(), &[7; 8192]].concat();
    let audio =
        format!(r#"{{"realtimeInput":{{"audio":{{"data":"{base64}","mimeType":"audio/pcm;rate=16000"}}}}}}"#);
    let answer = format!(
        r#"{{"audio":"{base64}","isFinal":null,"alignment":{{"chars":["a","b"],"charStartTimesMs":[0,3]}}}}"#
    );
    let words = r#"{"text":"A few words of a sentence ","try_trigger_generation":true}"#;
    let mut group = criterion.benchmark_group("socket meter");
    for (name, route, side, message) in [
        (
            "8 KiB of base64 from a caller",
            &live,
            Side::Caller,
            audio.as_bytes(),
        ),
        (
            "8 KiB of base64 from a provider",
            &speech,
            Side::Provider,
            answer.as_bytes(),
        ),
        (
            "8 KiB of sound behind a head",
            &recognition,
            Side::Caller,
            headed.as_slice(),
        ),
        ("a few words", &speech, Side::Caller, words.as_bytes()),
    ] {
        let mut meter = SocketMeter::start(route, None);
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                meter.begin(side, side == Side::Caller && message[0] == 0);
                meter.payload(side, black_box(message));
                meter.end(side)
            });
        });
    }
    let plan = live.endpoint().socket.setup.clone().expect("a setup");
    let mut again = setup::Again::new(&plan);
    group.throughput(Throughput::Bytes(audio.len() as u64));
    group.bench_function("8 KiB of base64, looked through for a setup", |bencher| {
        bencher.iter(|| {
            again.begin();
            again.feed(black_box(audio.as_bytes()))
        });
    });
    group.finish();
    criterion.bench_function("judge a closing", |bencher| {
        bencher.iter(|| judge_close(&speech.provider, black_box(1008), "Input timeout exceeded"))
    });
}

/// What a call of `/v1` costs beyond its provider's call: reading what is asked, cutting, rendering.
fn unified(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unified");
    let text = "This is one sentence of many, all alike. ".repeat(25);
    let body = format!(r#"{{"model":"default","input":"{text}","voice":"alloy","speed":1.1}}"#);
    group.bench_function("a speech request of 1 KiB", |bencher| {
        bencher.iter(|| SpeechRequest::parse(black_box(body.as_bytes())));
    });
    group.bench_function("an event with 4 KiB of audio", |bencher| {
        bencher.iter(|| speech_delta(black_box(&[7; 4096])));
    });
    let words = "This is one sentence of many, all alike."
        .split(' ')
        .cycle()
        .take(1000)
        .enumerate();
    let words = words.map(|(nth, word)| Word {
        text: word.to_owned(),
        start: nth as f64 * 0.4,
        end: nth as f64 * 0.4 + 0.3,
        speaker: None,
    });
    let transcript = Transcript {
        text: "This is one sentence of many, all alike. ".repeat(125),
        duration: Some(400.0),
        words: words.collect(),
        ..Transcript::default()
    };
    for format in ["json", "srt", "verbose_json"] {
        let fields = [("model", "default"), ("response_format", format)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = TranscriptionRequest::parse(Task::Transcription, &fields).expect("a request");
        group.bench_function(format!("1,000 words as {format}"), |bencher| {
            bencher.iter(|| render(black_box(&transcript), &request));
        });
    }
    let long = text.repeat(1000);
    group.throughput(Throughput::Bytes(long.len() as u64));
    group.bench_function("1 MB of input in pieces of 4,096", |bencher| {
        bencher.iter(|| split(black_box(&long), 4096, true));
    });
    group.finish();
}

criterion_group!(benches, heads, verdicts, meters, sockets, unified);
criterion_main!(benches);
