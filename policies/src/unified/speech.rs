//! A speech request → the calls to one provider that speak it, or what that provider cannot do.

use bytes::Bytes;
use minijinja::{Value, context};

use super::{Candidate, SpeechRequest, TranslatedCall, call, cannot, split};
use crate::descriptor::{SpeechBody, SpeechSource, Voice, is_one_of};
use crate::rewrite::RewriteError;
use crate::vocabulary::{AudioFormat, Code, Refusal};

/// How the provider gives the audio that the caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokenAs {
    /// In the caller's container.
    AsAsked,
    /// As signed 16-bit little-endian mono samples; made into the caller's container here.
    Pcm { rate: u32 },
    /// As WAV, whose header says the rate; made into the caller's container here.
    Wav,
}

#[derive(Clone, Debug)]
pub struct SpeechPlan {
    candidate: Candidate,
    request: SpeechRequest,
    pieces: Vec<String>,
    /// What the provider calls the format in which it gives the audio.
    asked: String,
    pub spoken_as: SpokenAs,
}

impl SpeechPlan {
    /// A refusal names the field, the provider, and what it can do.
    pub fn new(candidate: &Candidate, request: &SpeechRequest) -> Result<Self, Refusal> {
        let source = source(candidate)?;
        check_speed(candidate, source, request)?;
        check_instructions(candidate, source, request)?;
        let pieces = pieces(candidate, source, request);
        let (asked, spoken_as) = given_as(candidate, source, request, pieces.len())?;
        Ok(Self {
            candidate: candidate.clone(),
            request: request.clone(),
            pieces,
            asked,
            spoken_as,
        })
    }

    /// How many calls it takes: more than one where the input is longer than the provider speaks at once, and then
    /// never [`SpokenAs::AsAsked`].
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Whether it depends on the voice that is to speak, which only the provider's list tells.
    pub fn wants_style(&self) -> bool {
        let provider = &self.candidate.provider;
        let is_style = provider
            .speech
            .as_ref()
            .is_some_and(|source| !source.styles.is_empty());
        is_style && self.request.instructions.is_some() && provider.voices.styles.is_some()
    }

    /// Refuses a style that the voice does not have: the provider would speak without it.
    pub fn check_style(&self, voice: &Voice) -> Result<(), Refusal> {
        let has = |style: &String| voice.styles.contains(style);
        if self.request.instructions.as_ref().is_none_or(has) {
            return Ok(());
        }
        let (name, id) = (&self.candidate.provider.name, &voice.id);
        let message = match voice.styles.as_slice() {
            [] => format!("{name}'s voice {id} takes no instructions"),
            styles => format!(
                "{name}'s voice {id} takes one of its styles: {}",
                styles.join(", ")
            ),
        };
        Err(cannot("instructions", message))
    }

    pub fn call(&self, piece: usize) -> Result<TranslatedCall, RewriteError> {
        let texts = &self.candidate.provider.texts;
        let source = source(&self.candidate).map_err(|_| RewriteError::Head("provider"))?;
        let with = self.context(piece);
        let (content_type, body) = match &source.body {
            SpeechBody::Json(text) => ("application/json", text),
            SpeechBody::Ssml(text) => ("application/ssml+xml", text),
        };
        Ok(TranslatedCall {
            head: call::head(texts, &source.head, content_type, &with)?,
            body: Bytes::from(texts.fill(body, &with)?),
        })
    }

    fn context(&self, piece: usize) -> Value {
        let Self {
            candidate, request, ..
        } = self;
        context! {
            model => candidate.model.as_str(),
            voice => candidate.voice.as_deref(),
            input => self.pieces.get(piece).map(String::as_str),
            instructions => request.instructions.as_deref(),
            speed => request.speed,
            format => self.asked.as_str(),
        }
    }

    pub fn format(&self) -> AudioFormat {
        self.request.format
    }

    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }
}

fn source(candidate: &Candidate) -> Result<&SpeechSource, Refusal> {
    candidate.provider.speech.as_ref().ok_or_else(|| {
        let message = format!("{} is not offered for speech here", candidate.provider.name);
        Refusal::new(Code::InvalidRequest, message).at("model")
    })
}

fn check_speed(candidate: &Candidate, source: &SpeechSource, request: &SpeechRequest) -> Result<(), Refusal> {
    let name = &candidate.provider.name;
    match (request.speed, source.speed) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(cannot(
            "speed",
            format!("{name} cannot change the speed; leave it at 1"),
        )),
        (Some(speed), Some((from, to))) if !(from..=to).contains(&speed) => Err(cannot(
            "speed",
            format!("{name} speaks at a speed of {from} to {to}"),
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

fn check_instructions(
    candidate: &Candidate,
    source: &SpeechSource,
    request: &SpeechRequest,
) -> Result<(), Refusal> {
    let (name, model) = (&candidate.provider.name, &candidate.model);
    let Some(instructions) = &request.instructions else {
        return Ok(());
    };
    if !is_one_of(&source.instructions, model) {
        let message = format!("{name} takes no instructions with the model {model}");
        return Err(cannot("instructions", message));
    }
    if !source.styles.is_empty() && !source.styles.contains(instructions) {
        let styles = source.styles.join(", ");
        return Err(cannot(
            "instructions",
            format!("{name} takes one of its styles: {styles}"),
        ));
    }
    Ok(())
}

/// The input in pieces that the provider speaks at once.
fn pieces(candidate: &Candidate, source: &SpeechSource, request: &SpeechRequest) -> Vec<String> {
    let limit = limit(candidate, source);
    let pieces = limit.map(|limit| split(&request.input, limit, source.wide_characters_count_double));
    match pieces {
        Some(pieces) if pieces.len() > 1 => {
            // A long run of blanks is a piece by itself, and nothing that could be spoken.
            let spoken = pieces.into_iter().filter(|piece| !piece.trim().is_empty());
            spoken.map(str::to_owned).collect()
        }
        _ => vec![request.input.clone()],
    }
}

fn limit(candidate: &Candidate, source: &SpeechSource) -> Option<usize> {
    let fits = |(models, _): &&(Vec<_>, usize)| is_one_of(models, &candidate.model);
    source.max_characters.iter().find(fits).map(|(_, limit)| *limit)
}

/// What the provider is asked to give, and what becomes of it here.
fn given_as(
    candidate: &Candidate,
    source: &SpeechSource,
    request: &SpeechRequest,
    pieces: usize,
) -> Result<(String, SpokenAs), Refusal> {
    let direct = source.formats.get(&request.format);
    if let Some(asked) = direct.filter(|_| pieces == 1) {
        return Ok((asked.clone(), SpokenAs::AsAsked));
    }
    if let Some(samples) = source
        .samples
        .as_ref()
        .filter(|_| AudioFormat::MADE_HERE.contains(&request.format))
    {
        let spoken_as = samples.rate.map_or(SpokenAs::Wav, |rate| SpokenAs::Pcm { rate });
        return Ok((samples.asked.clone(), spoken_as));
    }
    let name = &candidate.provider.name;
    if direct.is_some() {
        let limit = limit(candidate, source).unwrap_or_default();
        let message = format!(
            "{name} takes {limit} characters at once, and as {} pieces of speech cannot be joined",
            request.format
        );
        return Err(cannot("input", message));
    }
    let can = AudioFormat::ALL.iter().filter(|format| {
        source.formats.contains_key(format)
            || (source.samples.is_some() && AudioFormat::MADE_HERE.contains(format))
    });
    let can: Vec<_> = can.map(|format| format.as_str()).collect();
    let message = format!(
        "{name} cannot give {}; it can give {}",
        request.format,
        can.join(", ")
    );
    Err(Refusal::new(Code::UnsupportedFormat, message).at("response_format"))
}
