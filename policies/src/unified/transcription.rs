//! A transcription or translation request → the call to one provider, in three parts: a head, what stands before the
//! audio, and what stands behind it.

use bytes::Bytes;
use minijinja::{Value, context};

use super::{AudioFile, Candidate, TranscriptionRequest, TranslatedHead, call, cannot};
use crate::descriptor::{AUDIO, TranscriptionBody, TranscriptionSource, audio_hole, is_one_of};
use crate::rewrite::RewriteError;
use crate::vocabulary::{Code, Refusal, Task, TranscriptFormat};

/// How the caller's audio stands in the provider's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioEncoding {
    AsIs,
    Base64,
}

#[derive(Clone, Debug)]
pub struct TranscriptionPlan {
    task: Task,
    candidate: Candidate,
    file: AudioFile,
}

/// What a file is called whose own name says nothing that could be passed on.
const UNNAMED: &str = "audio";
const OPAQUE: &str = "application/octet-stream";

impl TranscriptionPlan {
    /// Refuses what this provider's model cannot be asked at all: the task, the kind of file.
    pub fn new(task: Task, candidate: &Candidate, file: &AudioFile) -> Result<Self, Refusal> {
        let Candidate { provider, model, .. } = candidate;
        let Some(source) = &provider.transcription else {
            let message = format!("{} is not offered for {task} here", provider.name);
            return Err(cannot("model", message));
        };
        if task == Task::Translation && !is_one_of(&source.can.translation, model) {
            let message = format!("{} does not translate with the model {model}", provider.name);
            return Err(cannot("model", message));
        }
        Ok(Self {
            task,
            candidate: candidate.clone(),
            file: file.clone(),
        })
    }

    fn source(&self) -> Result<&TranscriptionSource, RewriteError> {
        let source = self.candidate.provider.transcription.as_ref();
        source.ok_or(RewriteError::Head("provider"))
    }

    /// Whether head and beginning follow from candidate and file alone, so that audio may go up before all the caller's
    /// fields are known: forms, in which the file comes first and the fields after it.
    pub fn may_stream(&self) -> bool {
        self.source().is_ok_and(|source| source.head_comes_first)
    }

    /// The most audio the provider takes, in bytes.
    pub fn max_audio_bytes(&self) -> u64 {
        self.source().map_or(0, |source| source.max_bytes)
    }

    pub fn encoding(&self) -> AudioEncoding {
        match self.source().map(|source| &source.body) {
            Ok(TranscriptionBody::Json(_)) => AudioEncoding::Base64,
            _ => AudioEncoding::AsIs,
        }
    }

    /// Whether the provider's answer says how long the audio is.
    pub fn says_duration(&self) -> bool {
        self.source().is_ok_and(|source| source.answer.duration.is_some())
    }

    /// Refuses what this provider cannot do, by field, provider, and what it can do.
    pub fn check(&self, request: &TranscriptionRequest) -> Result<(), Refusal> {
        let Candidate { provider, model, .. } = &self.candidate;
        let Some(source) = &provider.transcription else {
            return Err(cannot("model", format!("{} is not offered here", provider.name)));
        };
        let can = &source.can;
        let several = request.languages.len() > 1;
        let asked = [
            (
                request.words,
                &can.words,
                "timestamp_granularities",
                "times of words",
            ),
            (is_timed(request), &can.times, "response_format", "times"),
            (
                wants_speakers(request),
                &can.speakers,
                "response_format",
                "speakers told apart",
            ),
            (request.prompt.is_some(), &can.prompt, "prompt", "a prompt"),
            (
                !request.keywords.is_empty(),
                &can.keywords,
                "keywords",
                "keywords",
            ),
            (
                request.temperature.is_some(),
                &can.temperature,
                "temperature",
                "a temperature",
            ),
            (several, &can.languages, "languages", "more than one language"),
        ];
        for (wanted, models, field, what) in asked {
            if wanted && !is_one_of(models, model) {
                let message = format!("{} does not offer {what} with the model {model}", provider.name);
                let code = match field {
                    "response_format" => Code::UnsupportedFormat,
                    _ => Code::InvalidRequest,
                };
                return Err(Refusal::new(code, message).at(field));
            }
        }
        self.languages(request).map(drop)
    }

    /// The languages as the provider names them.
    fn languages(&self, request: &TranscriptionRequest) -> Result<Vec<String>, Refusal> {
        let Some(source) = &self.candidate.provider.transcription else {
            return Ok(request.languages.clone());
        };
        let named = |language: &String| {
            if source.locales.is_empty() || language.contains('-') {
                return Ok(language.clone());
            }
            let known = source.locales.get(&language.to_ascii_lowercase());
            known.cloned().ok_or_else(|| {
                let name = &self.candidate.provider.name;
                let message = format!("{name} wants a language with its region here, such as en-US");
                cannot("language", message)
            })
        };
        request.languages.iter().map(named).collect()
    }

    /// `request` may be missing where [`Self::may_stream`].
    pub fn head(
        &self,
        request: Option<&TranscriptionRequest>,
        boundary: &str,
    ) -> Result<TranslatedHead, RewriteError> {
        let source = self.source()?;
        let content_type = match &source.body {
            TranscriptionBody::Form { .. } => format!("multipart/form-data; boundary={boundary}"),
            TranscriptionBody::Json(_) => "application/json".to_owned(),
            TranscriptionBody::Recording => self.content_type().to_owned(),
        };
        let texts = &self.candidate.provider.texts;
        call::head(texts, &source.head, &content_type, &self.context(request)?)
    }

    /// What stands before the audio.
    pub fn before(
        &self,
        request: Option<&TranscriptionRequest>,
        boundary: &str,
    ) -> Result<Bytes, RewriteError> {
        match &self.source()?.body {
            TranscriptionBody::Form { file, .. } => Ok(Bytes::from(format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{file}\"; filename=\"{}\"\r\n\
                 content-type: {}\r\n\r\n",
                self.file_name(),
                self.content_type(),
            ))),
            TranscriptionBody::Json(_) => Ok(Bytes::from(self.around_audio(request)?.0)),
            TranscriptionBody::Recording => Ok(Bytes::new()),
        }
    }

    /// What stands behind the audio.
    pub fn after(&self, request: &TranscriptionRequest, boundary: &str) -> Result<Bytes, RewriteError> {
        let TranscriptionBody::Form { fields, .. } = &self.source()?.body else {
            return match self.encoding() {
                AudioEncoding::Base64 => Ok(Bytes::from(self.around_audio(Some(request))?.1)),
                AudioEncoding::AsIs => Ok(Bytes::new()),
            };
        };
        let texts = &self.candidate.provider.texts;
        let mut form = String::from("\r\n");
        for (name, text) in call::filled(texts, fields, &self.context(Some(request))?)? {
            form.push_str(&format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            ));
        }
        form.push_str(&format!("--{boundary}--\r\n"));
        Ok(Bytes::from(form))
    }

    /// The body that embeds the audio, cut where it goes.
    fn around_audio(&self, request: Option<&TranscriptionRequest>) -> Result<(String, String), RewriteError> {
        let TranscriptionBody::Json(text) = &self.source()?.body else {
            return Err(RewriteError::Head("body"));
        };
        let body = self
            .candidate
            .provider
            .texts
            .fill(text, &self.context(request)?)?;
        let (before, after) = body.split_once(AUDIO).ok_or(RewriteError::Head("body"))?;
        Ok((before.to_owned(), after.to_owned()))
    }

    fn context(&self, request: Option<&TranscriptionRequest>) -> Result<Value, RewriteError> {
        let known_first = context! {
            model => self.candidate.model.as_str(),
            content_type => self.content_type(),
            translation => self.task == Task::Translation,
        };
        let Some(request) = request else {
            return Ok(known_first);
        };
        let languages = self
            .languages(request)
            .map_err(|_| RewriteError::Head("language"))?;
        Ok(context! {
            language => languages.first(),
            languages,
            prompt => request.prompt.as_deref(),
            keywords => request.keywords.clone(),
            temperature => request.temperature,
            words => request.words,
            times => is_timed(request),
            speakers => wants_speakers(request),
            audio => audio_hole(),
            ..known_first
        })
    }

    fn content_type(&self) -> &str {
        let is_plain = |kind: &&str| kind.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        self.file
            .content_type
            .as_deref()
            .filter(is_plain)
            .unwrap_or(OPAQUE)
    }

    /// The caller's name of the file as far as it is harmless. Some providers go by its ending.
    fn file_name(&self) -> String {
        let name = self.file.name.as_deref().unwrap_or(UNNAMED);
        let base = name.rsplit(['/', '\\']).next().unwrap_or(UNNAMED);
        let harmless = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name: String = base.chars().filter(harmless).take(100).collect();
        let name = if name.trim_matches('.').is_empty() {
            UNNAMED
        } else {
            &name
        };
        match ending(self.content_type()).filter(|_| !name.contains('.')) {
            Some(ending) => format!("{name}.{ending}"),
            None => name.to_owned(),
        }
    }

    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    pub fn file(&self) -> &AudioFile {
        &self.file
    }
}

/// What a file of this kind ends in.
fn ending(content_type: &str) -> Option<&'static str> {
    match content_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        "audio/ogg" => Some("ogg"),
        "audio/flac" | "audio/x-flac" => Some("flac"),
        "audio/mp4" | "audio/m4a" | "audio/x-m4a" => Some("m4a"),
        "audio/webm" | "video/webm" => Some("webm"),
        _ => None,
    }
}

fn is_timed(request: &TranscriptionRequest) -> bool {
    matches!(
        request.format,
        TranscriptFormat::Srt
            | TranscriptFormat::Vtt
            | TranscriptFormat::VerboseJson
            | TranscriptFormat::DiarizedJson
    )
}

fn wants_speakers(request: &TranscriptionRequest) -> bool {
    request.format == TranscriptFormat::DiarizedJson
}
