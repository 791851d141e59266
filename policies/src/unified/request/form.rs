//! `POST /v1/audio/transcriptions` and `…/translations`: the fields of a form beside its file.
//!
//! Lists come as `name[]` or as `name`, repeated. An empty field is as good as absent, as forms send those that
//! nobody filled in.

use super::{TranscriptionRequest, invalid, is_blank, name, unknown_field, unsupported};
use crate::vocabulary::{Refusal, Task, TranscriptFormat};

/// The fields of both endpoints, which stand once.
const COMMON: &[&str] = &["model", "prompt", "response_format", "temperature"];
const TRANSCRIPTION: &[&str] = &[
    "model",
    "language",
    "languages",
    "prompt",
    "keywords",
    "response_format",
    "temperature",
    "timestamp_granularities",
    "stream",
    "include",
    "chunking_strategy",
    "known_speaker_names",
    "known_speaker_references",
];
const LISTS: &[&str] = &[
    "languages",
    "keywords",
    "timestamp_granularities",
    "include",
    "known_speaker_names",
    "known_speaker_references",
];

const TRANSLATED_AS: &[TranscriptFormat] = &[
    TranscriptFormat::Json,
    TranscriptFormat::Text,
    TranscriptFormat::Srt,
    TranscriptFormat::VerboseJson,
    TranscriptFormat::Vtt,
];

pub(super) fn transcription(
    task: Task,
    fields: &[(String, String)],
) -> Result<TranscriptionRequest, Refusal> {
    let form = Form::read(task, fields)?;
    form.refuse_what_is_not_offered()?;
    let format = form.format(task)?;
    let (words, segments) = form.granularities(format)?;
    let model = form.one("model").ok_or_else(|| invalid("model", "is missing"))?;
    Ok(TranscriptionRequest {
        task,
        model: name("model", model)?,
        languages: form.languages(),
        prompt: form.one("prompt").map(str::to_owned),
        keywords: form.all("keywords").map(str::to_owned).collect(),
        temperature: form.temperature()?,
        format,
        words,
        segments,
        stream: form.stream(format)?,
    })
}

/// The fields that say something, each known.
struct Form<'f>(Vec<(&'static str, &'f str)>);

impl<'f> Form<'f> {
    fn read(task: Task, fields: &'f [(String, String)]) -> Result<Self, Refusal> {
        let known = match task {
            Task::Translation => COMMON,
            Task::Transcription | Task::Speech => TRANSCRIPTION,
        };
        let mut form = Self(Vec::with_capacity(fields.len()));
        for (written, value) in fields {
            let name = named(written, known)?;
            if is_blank(value) {
                continue;
            }
            if !LISTS.contains(&name) && form.one(name).is_some() {
                return Err(invalid(name, "must be given once"));
            }
            form.0.push((name, value));
        }
        Ok(form)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'f str> {
        self.0
            .iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    fn one(&self, name: &str) -> Option<&'f str> {
        self.all(name).next()
    }

    fn refuse_what_is_not_offered(&self) -> Result<(), Refusal> {
        for (field, why) in [
            ("include", "is not offered: log probabilities are not passed on"),
            (
                "known_speaker_names",
                "is not offered: speakers are named A, B, …",
            ),
            (
                "known_speaker_references",
                "is not offered: speakers are named A, B, …",
            ),
        ] {
            if self.one(field).is_some() {
                return Err(invalid(field, why));
            }
        }
        // How audio is cut is left to the provider, which is what `auto` asks for.
        match self.one("chunking_strategy") {
            None | Some("auto") => Ok(()),
            Some(_) => Err(invalid("chunking_strategy", "must be auto or left out")),
        }
    }

    fn format(&self, task: Task) -> Result<TranscriptFormat, Refusal> {
        let offered = match task {
            Task::Translation => TRANSLATED_AS,
            Task::Transcription | Task::Speech => TranscriptFormat::ALL,
        };
        let Some(name) = self.one("response_format") else {
            return Ok(TranscriptFormat::Json);
        };
        let format = TranscriptFormat::parse(name).filter(|format| offered.contains(format));
        format.ok_or_else(|| {
            let formats: Vec<_> = offered.iter().map(|format| format.as_str()).collect();
            unsupported(&formats)
        })
    }

    /// Words and segments; only segments where `verbose_json` is asked for without a word about either.
    fn granularities(&self, format: TranscriptFormat) -> Result<(bool, bool), Refusal> {
        const FIELD: &str = "timestamp_granularities";
        let (mut words, mut segments) = (false, false);
        for granularity in self.all(FIELD) {
            match granularity {
                "word" => words = true,
                "segment" => segments = true,
                _ => return Err(invalid(FIELD, "must be of word, segment")),
            }
        }
        let verbose = format == TranscriptFormat::VerboseJson;
        match (words || segments, verbose) {
            (true, false) => Err(invalid(FIELD, "goes with response_format=verbose_json only")),
            (false, true) => Ok((false, true)),
            _ => Ok((words, segments)),
        }
    }

    fn languages(&self) -> Vec<String> {
        let mut languages: Vec<String> = Vec::new();
        for language in self.all("language").chain(self.all("languages")) {
            if !languages.iter().any(|known| known == language) {
                languages.push(language.to_owned());
            }
        }
        languages
    }

    fn temperature(&self) -> Result<Option<f64>, Refusal> {
        let Some(text) = self.one("temperature") else {
            return Ok(None);
        };
        match text.trim().parse::<f64>() {
            Ok(temperature) if (0.0..=1.0).contains(&temperature) => {
                Ok(Some(temperature).filter(|temperature| *temperature != 0.0))
            }
            _ => Err(invalid("temperature", "must be a number from 0 to 1")),
        }
    }

    fn stream(&self, format: TranscriptFormat) -> Result<bool, Refusal> {
        let streams = match self.one("stream").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => return Ok(false),
            Some("true") => true,
            Some(_) => return Err(invalid("stream", "must be true or false")),
        };
        match format {
            TranscriptFormat::Json | TranscriptFormat::Text | TranscriptFormat::DiarizedJson => Ok(streams),
            TranscriptFormat::Srt | TranscriptFormat::Vtt | TranscriptFormat::VerboseJson => Err(invalid(
                "stream",
                "goes with response_format json, text and diarized_json only",
            )),
        }
    }
}

/// The field that a form's name stands for.
fn named(written: &str, known: &[&'static str]) -> Result<&'static str, Refusal> {
    if written == "file" {
        return Err(invalid("file", "must be an uploaded file"));
    }
    let name = written.strip_suffix("[]").unwrap_or(written);
    // Objects are spread over several fields: `chunking_strategy[type]`.
    let name = match name.split_once('[') {
        Some(("chunking_strategy", _)) if known.contains(&"chunking_strategy") => {
            return Err(invalid("chunking_strategy", "must be auto or left out"));
        }
        _ => name,
    };
    let field = known.iter().copied().find(|field| *field == name);
    match field {
        Some(field) if written.len() == name.len() || LISTS.contains(&field) => Ok(field),
        Some(field) => Err(invalid(field, "must be given once, without []")),
        None => Err(unknown_field(written, known)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vocabulary::Code;

    fn read(task: Task, fields: &[(&str, &str)]) -> Result<TranscriptionRequest, Refusal> {
        let owned: Vec<_> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        transcription(task, &owned)
    }

    fn transcribe(fields: &[(&str, &str)]) -> TranscriptionRequest {
        let fields = [&[("model", "whisper-1")], fields].concat();
        read(Task::Transcription, &fields).unwrap_or_else(|refusal| panic!("{fields:?}: {refusal:?}"))
    }

    #[test]
    fn a_request_needs_only_its_model() {
        let plain = TranscriptionRequest {
            task: Task::Transcription,
            model: "whisper-1".into(),
            languages: Vec::new(),
            prompt: None,
            keywords: Vec::new(),
            temperature: None,
            format: TranscriptFormat::Json,
            words: false,
            segments: false,
            stream: false,
        };
        assert_eq!(transcribe(&[]), plain);
        let empty = [
            ("language", ""),
            ("prompt", " "),
            ("stream", "False"),
            ("temperature", "0"),
            ("chunking_strategy", "auto"),
            ("include[]", ""),
            ("response_format", "json"),
        ];
        assert_eq!(transcribe(&empty), plain);
    }

    #[test]
    fn fields_come_in_any_order_and_lists_in_both_spellings() {
        let fields = [
            ("keywords[]", "Voxgate"),
            ("timestamp_granularities[]", "word"),
            ("languages[]", "de"),
            ("stream", "false"),
            ("keywords", "pingora"),
            ("response_format", "verbose_json"),
            ("languages", "en"),
            ("temperature", "0.5"),
            ("language", "en"),
            ("prompt", "A talk."),
        ];
        let request = transcribe(&fields);
        assert_eq!(request.languages, ["en", "de"]);
        assert_eq!(request.keywords, ["Voxgate", "pingora"]);
        assert_eq!(request.temperature, Some(0.5));
        assert_eq!(request.prompt.as_deref(), Some("A talk."));
        assert_eq!((request.words, request.segments), (true, false));
        let mut backwards = fields;
        backwards.reverse();
        let mut other = transcribe(&backwards);
        other.keywords.reverse();
        assert_eq!((other.words, other.keywords), (true, request.keywords));
    }

    #[test]
    fn verbose_json_has_segments_unless_words_alone_are_asked_for() {
        const FIELD: &str = "timestamp_granularities[]";
        for (granularities, expected) in [
            (&[][..], (false, true)),
            (&[(FIELD, "word")], (true, false)),
            (&[(FIELD, "segment")], (false, true)),
            (&[(FIELD, "segment"), (FIELD, "word")], (true, true)),
        ] {
            let fields = [&[("response_format", "verbose_json")], granularities].concat();
            let request = transcribe(&fields);
            assert_eq!((request.words, request.segments), expected, "{granularities:?}");
        }
    }

    #[test]
    fn events_go_with_the_formats_that_have_them() {
        for format in TranscriptFormat::ALL {
            let fields = [
                ("model", "m"),
                ("stream", "true"),
                ("response_format", format.as_str()),
            ];
            let streamed = read(Task::Transcription, &fields).map(|request| request.stream);
            match format {
                TranscriptFormat::Json | TranscriptFormat::Text | TranscriptFormat::DiarizedJson => {
                    assert!(streamed.unwrap(), "{format}");
                }
                _ => assert_eq!(streamed.unwrap_err().param.as_deref(), Some("stream"), "{format}"),
            }
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_what_it_takes() {
        for (name, value, field, says) in [
            ("temperature", "1.5", "temperature", "0 to 1"),
            ("temperature", "NaN", "temperature", "0 to 1"),
            ("temperature", "warm", "temperature", "0 to 1"),
            ("stream", "yes", "stream", "true or false"),
            (
                "timestamp_granularities[]",
                "word",
                "timestamp_granularities",
                "verbose_json",
            ),
            (
                "timestamp_granularities[]",
                "line",
                "timestamp_granularities",
                "word, segment",
            ),
            ("include[]", "logprobs", "include", "not offered"),
            (
                "known_speaker_names[]",
                "Ann",
                "known_speaker_names",
                "not offered",
            ),
            (
                "known_speaker_references[]",
                "data:",
                "known_speaker_references",
                "not offered",
            ),
            ("chunking_strategy", "{}", "chunking_strategy", "auto"),
            (
                "chunking_strategy[type]",
                "server_vad",
                "chunking_strategy",
                "auto",
            ),
            ("language[]", "en", "language", "once"),
            ("model", "again", "model", "once"),
            ("file", "/tmp/a.wav", "file", "uploaded"),
        ] {
            let refusal = read(Task::Transcription, &[("model", "m"), (name, value)]).expect_err(name);
            assert_eq!(
                (refusal.code, refusal.param.as_deref()),
                (Code::InvalidRequest, Some(field)),
                "{name}"
            );
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
        for fields in [&[][..], &[("model", " ")]] {
            assert_eq!(
                read(Task::Transcription, fields).unwrap_err().param.as_deref(),
                Some("model")
            );
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let refusal = read(Task::Transcription, &[("model", "m"), ("langauge", "en")]).unwrap_err();
        assert_eq!(
            refusal.message,
            "unknown field `langauge`; did you mean `language`?"
        );
        let refusal = read(Task::Translation, &[("model", "m"), ("language", "en")]).unwrap_err();
        assert!(
            refusal
                .message
                .starts_with("unknown field `language`; known are model")
        );
    }

    #[test]
    fn a_translation_comes_in_every_format_but_with_speakers() {
        for format in TranscriptFormat::ALL {
            let fields = [("response_format", format.as_str()), ("model", "m")];
            let refused = read(Task::Translation, &fields).err();
            let refused = refused
                .as_ref()
                .map(|refusal| (refusal.code, refusal.param.as_deref()));
            let expected = (*format == TranscriptFormat::DiarizedJson)
                .then_some((Code::UnsupportedFormat, Some("response_format")));
            assert_eq!(refused, expected, "{format}");
        }
        let refusal = read(Task::Transcription, &[("model", "m"), ("response_format", "ass")]).unwrap_err();
        assert!(
            refusal
                .message
                .contains("json, text, srt, vtt, verbose_json, diarized_json")
        );
    }

    proptest! {
        #[test]
        fn any_fields_are_read_or_refused(
            fields in proptest::collection::vec((r"[a-z_\[\]]{0,12}", r"\PC{0,8}"), 0..6)
        ) {
            if let Err(refusal) = transcription(Task::Transcription, &fields) {
                prop_assert!(!refusal.message.is_empty());
            }
        }
    }
}
