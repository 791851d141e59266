//! `POST /v1/audio/speech`: a JSON object, `null` as good as absent.

use serde_json::{Map, Value};

use super::{Delivery, SpeechRequest, invalid, is_blank, name, unknown_field, unsupported};
use crate::vocabulary::{AudioFormat, Code, Refusal};

const FIELDS: &[&str] = &[
    "model",
    "input",
    "voice",
    "instructions",
    "response_format",
    "speed",
    "stream_format",
];

/// Beyond every provider's limit, yet far from what a body may hold.
const LONGEST_INPUT: usize = 1_000_000;
/// OpenAI's own limit. They go with every piece of a long input.
const LONGEST_INSTRUCTIONS: usize = 4_096;

pub(super) fn speech(body: &[u8]) -> Result<SpeechRequest, Refusal> {
    let fields = object(body)?;
    Ok(SpeechRequest {
        model: name("model", &filled(&fields, "model")?)?,
        input: input(&fields)?,
        voice: voice(&fields)?,
        instructions: instructions(&fields)?,
        format: format(&fields)?,
        speed: speed(&fields)?,
        delivery: delivery(&fields)?,
    })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let value = serde_json::from_slice(body).map_err(|error| {
        let place = format!(
            "the body is not JSON: line {}, column {}",
            error.line(),
            error.column()
        );
        Refusal::new(Code::InvalidRequest, place)
    })?;
    let Value::Object(mut fields) = value else {
        return Err(Refusal::new(
            Code::InvalidRequest,
            "the body must be a JSON object",
        ));
    };
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(unknown_field(name, FIELDS));
    }
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}

fn string<'f>(fields: &'f Map<String, Value>, name: &'static str) -> Result<Option<&'f str>, Refusal> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(name, "must be a string")),
    }
}

/// A string that must be there and say something.
fn filled(fields: &Map<String, Value>, name: &'static str) -> Result<String, Refusal> {
    match string(fields, name)? {
        None => Err(invalid(name, "is missing")),
        Some(text) if is_blank(text) => Err(invalid(name, "must not be empty")),
        Some(text) => Ok(text.to_owned()),
    }
}

fn input(fields: &Map<String, Value>) -> Result<String, Refusal> {
    let input = filled(fields, "input")?;
    if input.len() > LONGEST_INPUT && input.chars().count() > LONGEST_INPUT {
        return Err(invalid("input", "must be at most 1000000 characters long"));
    }
    Ok(input)
}

fn instructions(fields: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    let said = string(fields, "instructions")?.filter(|text| !is_blank(text));
    match said {
        Some(text) if text.len() > LONGEST_INSTRUCTIONS && text.chars().count() > LONGEST_INSTRUCTIONS => {
            Err(invalid("instructions", "must be at most 4096 characters long"))
        }
        said => Ok(said.map(str::to_owned)),
    }
}

/// A name, or an object with an id as OpenAI takes it for voices of one's own.
fn voice(fields: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    let named = match fields.get("voice") {
        None => return Ok(None),
        Some(Value::String(name)) => name,
        Some(Value::Object(parts)) => match parts.get("id") {
            Some(Value::String(id)) if parts.len() == 1 => id,
            _ => return Err(invalid("voice", "must be a string or {\"id\": \"…\"}")),
        },
        Some(_) => return Err(invalid("voice", "must be a string or {\"id\": \"…\"}")),
    };
    if is_blank(named) {
        return Err(invalid(
            "voice",
            "must not be empty; leave it out for the default",
        ));
    }
    let named = name("voice", named)?;
    Ok(Some(named).filter(|name| name != "default"))
}

fn format(fields: &Map<String, Value>) -> Result<AudioFormat, Refusal> {
    let Some(name) = string(fields, "response_format")? else {
        return Ok(AudioFormat::Mp3);
    };
    AudioFormat::parse(name).ok_or_else(|| {
        let formats: Vec<_> = AudioFormat::ALL.iter().map(|format| format.as_str()).collect();
        unsupported(&formats)
    })
}

fn speed(fields: &Map<String, Value>) -> Result<Option<f64>, Refusal> {
    let Some(value) = fields.get("speed") else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(speed) if (0.25..=4.0).contains(&speed) => Ok(Some(speed).filter(|speed| *speed != 1.0)),
        _ => Err(invalid("speed", "must be a number from 0.25 to 4.0")),
    }
}

fn delivery(fields: &Map<String, Value>) -> Result<Delivery, Refusal> {
    match string(fields, "stream_format")? {
        None | Some("audio") => Ok(Delivery::Audio),
        Some("sse") => Ok(Delivery::Events),
        Some(_) => Err(invalid("stream_format", "must be one of audio, sse")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(body: &str) -> SpeechRequest {
        speech(body.as_bytes()).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"))
    }

    fn refused(body: &str) -> Refusal {
        speech(body.as_bytes()).expect_err(body)
    }

    /// A body with what must be there, and `more`.
    fn with(more: &str) -> String {
        format!(r#"{{"model":"tts-1","input":"Hello"{more}}}"#)
    }

    #[test]
    fn a_request_needs_only_model_and_input() {
        let plain = SpeechRequest {
            model: "tts-1".into(),
            input: "Hello".into(),
            voice: None,
            instructions: None,
            format: AudioFormat::Mp3,
            speed: None,
            delivery: Delivery::Audio,
        };
        for more in [
            "",
            r#","voice":null,"instructions":null,"response_format":null,"speed":null,"stream_format":null"#,
            r#","voice":"default","instructions":" \n","response_format":"mp3","speed":1.0,"stream_format":"audio""#,
            r#","voice":{"id":"default"},"speed":1"#,
        ] {
            assert_eq!(parsed(&with(more)), plain, "{more}");
        }
    }

    #[test]
    fn every_field_is_read() {
        let more = r#","voice":{"id":"v1"},"instructions":"whisper","response_format":"opus","speed":0.25,"stream_format":"sse""#;
        let request = parsed(&with(more));
        assert_eq!(request.voice.as_deref(), Some("v1"));
        assert_eq!(request.instructions.as_deref(), Some("whisper"));
        assert_eq!(request.format, AudioFormat::Opus);
        assert_eq!(request.speed, Some(0.25));
        assert_eq!(request.delivery, Delivery::Events);
        assert_eq!(
            parsed(&with(r#","voice":"alloy""#)).voice.as_deref(),
            Some("alloy")
        );
        for format in AudioFormat::ALL {
            assert_eq!(
                parsed(&with(&format!(r#","response_format":"{format}""#))).format,
                *format
            );
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_what_it_takes() {
        for (more, field, says) in [
            (r#","voice":7"#, "voice", "string or"),
            (r#","voice":{"id":7}"#, "voice", "string or"),
            (r#","voice":{"id":"a","name":"b"}"#, "voice", "string or"),
            (r#","voice":" ""#, "voice", "empty"),
            (r#","voice":"a\u0000b""#, "voice", "printable"),
            (r#","instructions":[]"#, "instructions", "string"),
            (r#","response_format":3"#, "response_format", "string"),
            (r#","speed":0.2"#, "speed", "0.25 to 4.0"),
            (r#","speed":4.01"#, "speed", "0.25 to 4.0"),
            (r#","speed":"1""#, "speed", "0.25 to 4.0"),
            (r#","stream_format":"ogg""#, "stream_format", "audio, sse"),
        ] {
            let refusal = refused(&with(more));
            assert_eq!(
                (refusal.code, refusal.param.as_deref()),
                (Code::InvalidRequest, Some(field)),
                "{more}"
            );
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
        for (body, field) in [
            (r#"{"input":"x"}"#, "model"),
            (r#"{"model":"","input":"x"}"#, "model"),
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":" \n\u3000"}"#, "input"),
            (r#"{"model":"m","input":["x"]}"#, "input"),
        ] {
            assert_eq!(refused(body).param.as_deref(), Some(field), "{body}");
        }
    }

    #[test]
    fn a_format_that_is_none_of_ours_is_told_the_ones_that_are() {
        let refusal = refused(&with(r#","response_format":"ogg""#));
        assert_eq!(
            (refusal.code, refusal.param.as_deref()),
            (Code::UnsupportedFormat, Some("response_format"))
        );
        assert!(refusal.message.contains("mp3, opus, aac, flac, wav, pcm"));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let misspelt = refused(&with(r#","respons_format":"mp3""#));
        assert_eq!(
            misspelt.message,
            "unknown field `respons_format`; did you mean `response_format`?"
        );
        let strange = refused(&with(r#","user":null"#));
        assert!(
            strange
                .message
                .starts_with("unknown field `user`; known are model, input")
        );
        let long = refused(&with(&format!(r#","{}":1"#, "x".repeat(10_000))));
        assert!(long.message.len() < 300);
    }

    #[test]
    fn what_is_not_json_is_told_where_and_never_quoted() {
        let refusal = refused("{\"model\": \"m\",\n \"input\": secret}");
        assert_eq!(refusal.message, "the body is not JSON: line 2, column 11");
        assert!(refused("").message.contains("not JSON"));
        assert_eq!(
            speech(b"\xff").unwrap_err().message,
            "the body is not JSON: line 1, column 1"
        );
        assert!(refused("[1]").message.contains("object"));
    }

    #[test]
    fn input_is_counted_in_characters() {
        let at_most = "é".repeat(LONGEST_INPUT);
        let body = |input: &str| format!(r#"{{"model":"m","input":"{input}"}}"#);
        assert_eq!(parsed(&body(&at_most)).input, at_most);
        assert_eq!(refused(&body(&(at_most + "e"))).param.as_deref(), Some("input"));
    }

    proptest! {
        #[test]
        fn any_input_comes_through_as_it_was_written(input in r"\PC{0,40}[a-z]", speed in 0.25f64..=4.0) {
            let body = serde_json::json!({"model": "m", "input": input, "speed": speed}).to_string();
            let request = parsed(&body);
            prop_assert_eq!(request.input, input);
            prop_assert_eq!(request.speed.unwrap_or(1.0), speed);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Err(refusal) = speech(&body) {
                prop_assert!(!refusal.message.is_empty());
            }
        }
    }
}
