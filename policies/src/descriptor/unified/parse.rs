//! `[speech]` and `[transcription]`, from what was written to what is meant, and the OpenAI dialect where nothing was.

use std::collections::BTreeMap;

use super::file::*;
use super::*;
use crate::descriptor::errors::Findings;
use crate::descriptor::parse::{header, optional, pointer, pointers};
use crate::descriptor::text::{Place, Text, Texts, TextsBuilder};
use crate::vocabulary::AudioFormat;

const OF_SPEECH: [&str; 6] = ["model", "voice", "input", "instructions", "speed", "format"];
const OF_TRANSCRIPTION: [&str; 13] = [
    "model",
    "content_type",
    "translation",
    "language",
    "languages",
    "prompt",
    "keywords",
    "temperature",
    "words",
    "times",
    "speakers",
    "audio",
    "item",
];
/// Those that are known before a caller's form has been read.
const KNOWN_FIRST: [&str; 3] = ["model", "content_type", "translation"];

const OPENAI_SPEECH: &str = r#"{"model": {{ model }}, "input": {{ input }}, "voice": {{ voice }}, "response_format": {{ format }}
{%- if instructions %}, "instructions": {{ instructions }}{% endif %}
{%- if speed %}, "speed": {{ speed }}{% endif %}}"#;

/// Name, text, and the list that it stands for.
const OPENAI_FIELDS: [(&str, &str, Option<&str>); 10] = [
    ("model", "{{ model }}", None),
    (
        "language",
        "{% if languages and languages|length == 1 and not translation %}{{ language }}{% endif %}",
        None,
    ),
    (
        "languages[]",
        "{% if languages|length > 1 %}{{ item }}{% endif %}",
        Some("languages"),
    ),
    ("prompt", "{% if prompt %}{{ prompt }}{% endif %}", None),
    ("keywords[]", "{{ item }}", Some("keywords")),
    (
        "temperature",
        "{% if temperature is not none %}{{ temperature }}{% endif %}",
        None,
    ),
    (
        "response_format",
        "{% if speakers %}diarized_json{% elif times %}verbose_json{% else %}json{% endif %}",
        None,
    ),
    // Only where speakers are told apart is a way of cutting the recording asked for.
    ("chunking_strategy", "{% if speakers %}auto{% endif %}", None),
    ("timestamp_granularities[]", "{% if words %}word{% endif %}", None),
    (
        "timestamp_granularities[]",
        "{% if words %}segment{% endif %}",
        None,
    ),
];

/// Reads the parts of one provider, whose templates it gathers.
pub(in super::super) struct Reader<'f, 't> {
    texts: TextsBuilder,
    findings: &'f mut Findings<'t>,
}

impl<'f, 't> Reader<'f, 't> {
    pub fn new(findings: &'f mut Findings<'t>) -> Self {
        Self {
            texts: TextsBuilder::new(),
            findings,
        }
    }

    pub fn done(self) -> Texts {
        self.texts.done()
    }

    pub fn speech(&mut self, file: FileSpeech) -> Option<SpeechSource> {
        let known = &OF_SPEECH;
        let head = self.head("speech", file.path, file.query, file.headers, known)?;
        let speaks_openai = file.json.is_none() && file.ssml.is_none();
        let body = match (file.json, file.ssml) {
            (Some(json), None) => SpeechBody::Json(self.text("speech.json", &json, Place::Json, known)?),
            (None, Some(ssml)) => SpeechBody::Ssml(self.text("speech.ssml", &ssml, Place::Xml, known)?),
            (None, None) => SpeechBody::Json(self.text("speech.json", OPENAI_SPEECH, Place::Json, known)?),
            (Some(_), Some(_)) => {
                self.findings
                    .add("speech.ssml", "the body is json or ssml, not both");
                return None;
            }
        };
        let limit = |limit: FileLimit| (globs(&limit.models), limit.characters);
        Some(SpeechSource {
            default_model: file.default_model,
            models: models(file.models),
            default_voice: file.default_voice,
            default_voices: file
                .default_voices
                .into_iter()
                .map(|own| (globs(&own.models), own.voice))
                .collect(),
            head,
            body,
            max_characters: file.max_characters.into_iter().map(limit).collect(),
            wide_characters_count_double: file.wide_characters_count_double,
            speed: file.speed.map(|range| (range.from, range.to)),
            instructions: globs(&file.instructions),
            styles: file.styles,
            formats: match file.formats {
                Some(formats) => formats,
                None if speaks_openai => openai_formats(),
                None => BTreeMap::new(),
            },
            samples: match file.samples {
                Some(samples) => Some(Samples {
                    asked: samples.asked,
                    rate: samples.rate,
                }),
                None => speaks_openai.then(openai_samples),
            },
            events: match file.events {
                Some(events) => Some(self.events(events)?),
                None => None,
            },
        })
    }

    fn events(&mut self, file: FileEvents) -> Option<SpeechEvents> {
        let at = "speech.events";
        Some(SpeechEvents {
            audio: pointer(&file.audio, &format!("{at}.audio"), self.findings)?,
            mime: optional(&file.mime, &format!("{at}.mime"), self.findings),
            finish: self.finish(file.finish, &format!("{at}.finish")),
            error: optional(&file.error, &format!("{at}.error"), self.findings),
        })
    }

    pub fn transcription(&mut self, file: FileTranscription) -> Option<TranscriptionSource> {
        let known = &OF_TRANSCRIPTION;
        let head = self.head("transcription", file.path, file.query, file.headers, known)?;
        let speaks_openai = file.file.is_none() && file.json.is_none() && !file.recording;
        let body = match (file.file, file.fields, file.json, file.recording) {
            (Some(name), Some(fields), None, false) => TranscriptionBody::Form {
                file: name,
                fields: self.fields("transcription.fields", fields, Place::Plain, known, named)?,
            },
            (None, None, Some(json), false) => {
                TranscriptionBody::Json(self.text("transcription.json", &json, Place::Json, known)?)
            }
            (None, None, None, true) => TranscriptionBody::Recording,
            (None, None, None, false) => self.openai_form()?,
            _ => {
                self.findings.add(
                    "transcription",
                    "the recording goes as a form (`file` and `fields`), within `json`, or alone (`recording`)",
                );
                return None;
            }
        };
        Some(TranscriptionSource {
            default_model: file.default_model,
            models: models(file.models),
            head,
            body,
            head_comes_first: false,
            max_bytes: file.max_bytes,
            can: can(&file.can),
            locales: file.locales,
            answer: match file.answer {
                Some(answer) => self.answer(answer)?,
                None if speaks_openai => openai_answer(),
                None => {
                    self.findings
                        .add("transcription.answer", "say where the answer holds the text");
                    return None;
                }
            },
        })
    }

    fn openai_form(&mut self) -> Option<TranscriptionBody> {
        let field = |(name, text, each): (&str, &str, Option<&str>)| FileField {
            name: name.to_owned(),
            text: Some(text.to_owned()),
            json: None,
            each: each.map(str::to_owned),
        };
        let fields = OPENAI_FIELDS.map(field).into_iter().collect();
        let fields = self.fields(
            "transcription.fields",
            fields,
            Place::Plain,
            &OF_TRANSCRIPTION,
            named,
        )?;
        Some(TranscriptionBody::Form {
            file: "file".to_owned(),
            fields,
        })
    }

    fn answer(&mut self, file: FileAnswer) -> Option<TranscriptPointers> {
        let at = "transcription.answer";
        Some(TranscriptPointers {
            text: pointers(&file.text, &format!("{at}.text"), self.findings),
            silence: optional(&file.silence, &format!("{at}.silence"), self.findings),
            language: optional(&file.language, &format!("{at}.language"), self.findings),
            duration: file.duration.and_then(|timed| {
                Some((
                    pointer(&timed.at, &format!("{at}.duration.at"), self.findings)?,
                    timed.times,
                ))
            }),
            words: self.stretches(file.words, &format!("{at}.words")),
            segments: self.stretches(file.segments, &format!("{at}.segments")),
            finish: self.finish(file.finish, &format!("{at}.finish")),
        })
    }

    fn stretches(&mut self, file: Option<FileStretches>, at: &str) -> Option<Stretches> {
        let file = file?;
        let end = match (&file.end, &file.lasts) {
            (Some(end), None) => StretchEnd::At(pointer(end, &format!("{at}.end"), self.findings)?),
            (None, Some(lasts)) => StretchEnd::After(pointer(lasts, &format!("{at}.lasts"), self.findings)?),
            _ => {
                self.findings
                    .add(at, "give where each ends: `end`, or how long it `lasts`");
                return None;
            }
        };
        Some(Stretches {
            items: pointer(&file.items, &format!("{at}.items"), self.findings)?,
            text: pointers(&file.text, &format!("{at}.text"), self.findings),
            start: pointer(&file.start, &format!("{at}.start"), self.findings)?,
            end,
            times: file.times,
            speaker: optional(&file.speaker, &format!("{at}.speaker"), self.findings),
            only: self.finish(file.only, &format!("{at}.only")),
        })
    }

    fn finish(&mut self, file: Option<FileFinish>, at: &str) -> Option<(Pointer, Vec<String>)> {
        let file = file?;
        Some((
            pointer(&file.at, &format!("{at}.at"), self.findings)?,
            file.equals,
        ))
    }

    fn head(
        &mut self,
        at: &str,
        path: String,
        query: Vec<FileField>,
        headers: Vec<FileField>,
        known: &[&str],
    ) -> Option<HeadTemplate> {
        Some(HeadTemplate {
            path: self.text(&format!("{at}.path"), &path, Place::Url, known)?,
            query: self.fields(&format!("{at}.query"), query, Place::Url, known, named)?,
            headers: self.fields(&format!("{at}.headers"), headers, Place::Plain, known, header)?,
        })
    }

    fn fields<N>(
        &mut self,
        at: &str,
        fields: Vec<FileField>,
        place: Place,
        known: &[&str],
        name: impl Fn(&str, &str, &mut Findings<'_>) -> Option<N>,
    ) -> Option<Vec<Field<N>>> {
        let mut read = Vec::new();
        for (nth, field) in fields.into_iter().enumerate() {
            let key = format!("{at}.{nth}");
            let (source, place) = match (field.text, field.json) {
                (Some(text), None) => (text, place),
                (None, Some(json)) if place == Place::Plain => (json, Place::Json),
                _ => {
                    self.findings.add(key, "a field has text, or json in a form");
                    return None;
                }
            };
            read.push(Field {
                name: name(&field.name, &key, self.findings)?,
                text: self.text(&key, &source, place, known)?,
                each: field.each,
            });
        }
        Some(read)
    }

    fn text(&mut self, key: &str, source: &str, place: Place, known: &[&str]) -> Option<Text> {
        let added = self.texts.add(key, source, place, known);
        self.findings.take(key, added)
    }
}

/// Whether a call's head can be made before the fields of a caller's form are known.
pub(in super::super) fn head_comes_first(source: &TranscriptionSource, texts: &Texts) -> bool {
    let head = &source.head;
    let query = head.query.iter().map(|field| &field.text);
    let headers = head.headers.iter().map(|field| &field.text);
    matches!(source.body, TranscriptionBody::Form { .. })
        && std::iter::once(&head.path)
            .chain(query)
            .chain(headers)
            .all(|text| texts.needs_only(text, &KNOWN_FIRST))
}

fn named(name: &str, _: &str, _: &mut Findings<'_>) -> Option<String> {
    Some(name.to_owned())
}

fn globs(names: &[String]) -> Vec<Glob> {
    names.iter().map(|name| Glob::new(name)).collect()
}

fn models(names: Option<Vec<String>>) -> Vec<Glob> {
    names.map_or_else(|| vec![Glob::new("*")], |names| globs(&names))
}

fn can(file: &FileCan) -> Can {
    Can {
        words: globs(&file.words),
        times: globs(&file.times),
        speakers: globs(&file.speakers),
        languages: globs(&file.languages),
        prompt: globs(&file.prompt),
        keywords: globs(&file.keywords),
        temperature: globs(&file.temperature),
        translation: globs(&file.translation),
    }
}

fn openai_formats() -> BTreeMap<AudioFormat, String> {
    let named = |format: &AudioFormat| (*format, format.as_str().to_owned());
    AudioFormat::ALL.iter().map(named).collect()
}

/// OpenAI's `pcm`.
fn openai_samples() -> Samples {
    Samples {
        asked: "pcm".to_owned(),
        rate: Some(24_000),
    }
}

fn openai_answer() -> TranscriptPointers {
    let at = |text: &str| Pointer::parse(text).expect("these are pointers");
    let stretches = |items: &str, text: &str, speaker: Option<&str>| Stretches {
        items: at(items),
        text: vec![at(text)],
        start: at("/start"),
        end: StretchEnd::At(at("/end")),
        times: 1.0,
        speaker: speaker.map(at),
        only: None,
    };
    TranscriptPointers {
        text: vec![at("/text")],
        silence: None,
        language: Some(at("/language")),
        duration: Some((at("/duration"), 1.0)),
        words: Some(stretches("/words/*", "/word", None)),
        segments: Some(stretches("/segments/*", "/text", Some("/speaker"))),
        finish: None,
    }
}
