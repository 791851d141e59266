//! What each kind of call consumes, read from whole calls as they pass, however they are cut.

mod common;

use common::{headers, routed};
use policies::meter::{Meter, Reading};

struct Call<'a> {
    target: &'a str,
    head: &'a [(&'a str, &'a str)],
    body: &'a [u8],
    status: u16,
    answer_head: &'a [(&'a str, &'a str)],
    answer: &'a [u8],
}

impl Call<'_> {
    /// The reading, which must not depend on where the chunks break.
    fn reading(&self) -> Reading {
        let (inbound, route) = routed("POST", self.target, self.head).unwrap();
        let readings = [1, 7, 4096].map(|size| {
            let mut meter = Meter::start(&route, &headers(self.head), inbound.query.as_deref());
            self.body
                .chunks(size)
                .for_each(|chunk| meter.request_chunk(chunk));
            meter.answer_head(self.status, &headers(self.answer_head));
            self.answer
                .chunks(size)
                .for_each(|chunk| meter.answer_chunk(chunk));
            meter.reading()
        });
        assert_eq!(readings[0], readings[1]);
        assert_eq!(readings[0], readings[2]);
        readings[0].clone()
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn speech<'a>() -> Call<'a> {
    Call {
        target: "/elevenlabs/v1/text-to-speech/v/stream?output_format=pcm_24000",
        head: &[JSON],
        body: r#"{"voice_settings":{"text":"no"},"text":"Grüße \u4e16 😀","model_id":"eleven_flash_v2_5"}"#
            .as_bytes(),
        status: 200,
        answer_head: &[("content-type", "audio/mpeg"), ("request-id", "req_1")],
        answer: &[0; 96_000],
    }
}

#[test]
fn no_name_of_a_model_keeps_a_call_off_the_record() {
    let nul = Call {
        body: br#"{"text":"ab","model_id":"a\u0000b","x":undefined,"model_id":"eleven_v3"}"#,
        ..speech()
    };
    assert_eq!(nul.reading().model.as_deref(), Some("a\u{fffd}b"));
    let target = format!("/gemini/v1beta/models/{}-tts:generateContent", "x".repeat(60_000));
    let long = Call {
        target: &target,
        ..speech()
    };
    assert_eq!(long.reading().model, None);
}

#[test]
fn speech_over_json() {
    let reading = speech().reading();
    assert_eq!(reading.model.as_deref(), Some("eleven_flash_v2_5"));
    assert_eq!(reading.characters, Some(9));
    assert_eq!(reading.audio_seconds, Some(2.0));
    assert_eq!(reading.provider_request_id.as_deref(), Some("req_1"));
    let charged = Call {
        answer_head: &[("character-cost", "5")],
        ..speech()
    };
    assert_eq!(charged.reading().characters, Some(5));
    let defaults = Call {
        target: "/elevenlabs/v1/text-to-speech/v",
        body: br#"{"text":"ab"}"#,
        ..speech()
    }
    .reading();
    assert_eq!(
        (defaults.model.as_deref(), defaults.audio_seconds),
        (Some("eleven_multilingual_v2"), Some(6.0))
    );
    let opus = Call {
        target: "/elevenlabs/v1/text-to-speech/v?output_format=opus_48000_64",
        ..speech()
    };
    assert_eq!(opus.reading().audio_seconds, None);
    let wav = Call {
        target: "/elevenlabs/v1/text-to-speech/v?output_format=wav_24000",
        answer: &[0; 48_044],
        ..speech()
    };
    assert_eq!(wav.reading().audio_seconds, Some(1.0));
}

#[test]
fn a_refused_call_consumes_nothing() {
    let refused = Call {
        status: 401,
        answer_head: &[JSON, ("request-id", "r")],
        answer: br#"{"detail":{}}"#,
        ..speech()
    };
    let reading = refused.reading();
    assert_eq!((reading.characters, reading.audio_seconds), (None, None));
    assert_eq!(
        (reading.model.as_deref(), reading.provider_request_id.as_deref()),
        (Some("eleven_flash_v2_5"), Some("r"))
    );
}

#[test]
fn what_is_compressed_is_not_guessed_at() {
    let packed = Call {
        head: &[JSON, ("content-encoding", "gzip")],
        answer_head: &[("content-encoding", "gzip")],
        ..speech()
    };
    let reading = packed.reading();
    assert_eq!((reading.characters, reading.audio_seconds), (None, None));
}

#[test]
fn dialogue_adds_its_turns_up() {
    let call = Call {
        target: "/elevenlabs/v1/text-to-dialogue",
        body: br#"{"inputs":[{"text":"Hi","voice_id":"a"},{"voice_id":"b","text":"Ho!"}]}"#,
        ..speech()
    };
    let reading = call.reading();
    assert_eq!(
        (reading.model.as_deref(), reading.characters),
        (Some("eleven_v3"), Some(5))
    );
}

#[test]
fn transcription_from_a_form() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF....\r\n--b\r\n\
        Content-Disposition: form-data; name=\"model_id\"\r\n\r\nscribe_v2\r\n--b--\r\n";
    let call = Call {
        target: "/elevenlabs/v1/speech-to-text",
        head: &[("content-type", "multipart/form-data; boundary=b")],
        body: body.as_bytes(),
        status: 200,
        answer_head: &[JSON],
        answer: br#"{"text":"\"audio_duration_secs\":9","words":[{"audio_duration_secs":7}],"audio_duration_secs":12.5}"#,
    };
    let reading = call.reading();
    assert_eq!(
        (reading.model.as_deref(), reading.audio_seconds),
        (Some("scribe_v2"), Some(12.5))
    );
    assert_eq!(reading.characters, None);
}

#[test]
fn markup_counts_its_text_and_names_its_kind() {
    let call = |voice: &str, format: &'static str| {
        let body = format!("<speak version='1.0'>\n <voice name='{voice}'>你好 world</voice></speak>");
        Call {
            target: "/azure/cognitiveservices/v1",
            head: &[
                ("content-type", "application/ssml+xml"),
                ("x-microsoft-outputformat", format),
            ],
            body: body.as_bytes(),
            status: 200,
            answer_head: &[("x-requestid", "7")],
            answer: &[0; 48_000],
        }
        .reading()
    };
    let reading = call("en-US-AvaNeural", "raw-24khz-16bit-mono-pcm");
    assert_eq!(
        (reading.model.as_deref(), reading.characters),
        (Some("neural"), Some(10))
    );
    assert_eq!(
        (reading.audio_seconds, reading.provider_request_id.as_deref()),
        (Some(1.0), Some("7"))
    );
    let hd = call("en-US-Ava:DragonHDLatestNeural", "ogg-24khz-16bit-mono-opus");
    assert_eq!((hd.model.as_deref(), hd.audio_seconds), (Some("hd"), None));
}

#[test]
fn recognition_says_its_length() {
    let call = |target: &'static str, answer: &'static str| {
        Call {
            target,
            head: &[],
            body: b"RIFF",
            status: 200,
            answer_head: &[("content-type", "application/json; charset=utf-8")],
            answer: answer.as_bytes(),
        }
        .reading()
    };
    let short = call(
        "/azure/speech/recognition/conversation/cognitiveservices/v1?language=en-US",
        r#"{"RecognitionStatus":"Success","Offset":100,"Duration":25000000,"NBest":[{"Duration":1}]}"#,
    );
    assert_eq!(
        (short.model.as_deref(), short.audio_seconds),
        (Some("short-audio"), Some(2.5))
    );
    let fast = call(
        "/azure/speechtotext/transcriptions:transcribe?api-version=2025-10-15",
        r#"{"durationMilliseconds":2500,"phrases":[{"durationMilliseconds":9}]}"#,
    );
    assert_eq!(
        (fast.model.as_deref(), fast.audio_seconds),
        (Some("fast-transcription"), Some(2.5))
    );
}

#[test]
fn tokens_come_from_the_last_event() {
    let events = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"data\":\"AAAA\"}}]}}],\"usageMetadata\":{\"promptTokenCount\":5}}\r\n\r\n\
        data: {\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":50,\"promptTokensDetails\":[{\"tokenCount\":1}]}}\r\n\r\n";
    let call = |answer_head, answer: &'static str| {
        Call {
            target: "/gemini/v1beta/models/gemini-3.8-flash-tts:streamGenerateContent?alt=sse",
            head: &[JSON],
            body: r#"{"contents":[{"parts":[{"text":"Hi"},{"text":"世界"}]}],"generation_config":{"speechConfig":{}}}"#.as_bytes(),
            status: 200,
            answer_head,
            answer: answer.as_bytes(),
        }
        .reading()
    };
    let list = r#"[{"usageMetadata":{"promptTokenCount":4}},{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":50}}]"#;
    let whole = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":50}}"#;
    for reading in [
        call(&[("content-type", "text/event-stream")], events),
        call(&[JSON], list),
        call(&[JSON], whole),
    ] {
        assert_eq!(
            (reading.tokens_in, reading.tokens_out, reading.audio_seconds),
            (Some(5), Some(50), Some(2.0))
        );
        assert_eq!(
            (reading.characters, reading.model.as_deref()),
            (Some(4), Some("gemini-3.8-flash-tts"))
        );
    }
}

#[test]
fn bodies_of_other_shapes_are_borne() {
    for body in [
        &b""[..],
        b"\xff\xfe",
        b"{\"text\":",
        b"[[[[",
        b"<speak><voice name='",
        b"--b\r\n",
    ] {
        for target in [
            "/elevenlabs/v1/text-to-speech/v",
            "/elevenlabs/v1/speech-to-text",
            "/azure/cognitiveservices/v1",
            "/gemini/v1/models/x-tts:generateContent",
        ] {
            for kind in [
                "application/json",
                "text/event-stream",
                "multipart/form-data; boundary=b",
                "text/html",
            ] {
                let head = [("content-type", kind)];
                let call = Call {
                    target,
                    head: &head,
                    body,
                    status: 200,
                    answer_head: &head,
                    answer: body,
                };
                call.reading();
            }
        }
    }
}
