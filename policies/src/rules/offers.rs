//! Whether a provider offers a model or a voice, as far as its descriptor alone can say.

use crate::descriptor::{Endpoint, Provider, is_one_of};
use crate::socket::setup::permits;
use crate::vocabulary::{Operation, Task};

/// `None`: only the provider itself can say.
pub fn offers_model(provider: &Provider, operation: Operation, id: &str) -> Option<bool> {
    let models = &provider.models;
    if !is_served(provider, operation, id) {
        return Some(false);
    }
    if let Some(known) = models.fixed.iter().find(|model| model.id == id) {
        return Some(known.operations.contains(&operation));
    }
    let test = models.operations.iter().find(|(of, _)| *of == operation);
    match test.map(|(_, test)| test) {
        Some(test) if is_one_of(&test.names, id) => Some(true),
        // A flag of the live list may make any name one of the operation.
        Some(test) if !test.names.is_empty() && test.flag.is_none() => Some(false),
        _ if models.call.is_none() && !models.fixed.is_empty() => Some(false),
        _ => None,
    }
}

/// Whether a selection of it could be called: in the unified API, or in sessions that take their model from it. Models that
/// only other native calls reach are none to choose.
fn is_served(provider: &Provider, operation: Operation, id: &str) -> bool {
    let in_session = |endpoint: &Endpoint| {
        let setup = endpoint.socket.setup.as_ref();
        endpoint.operation == operation && setup.is_some_and(|plan| permits(plan, id))
    };
    if provider.endpoints.iter().any(in_session) {
        return true;
    }
    match operation {
        Operation::Tts => provider.speech.is_none() || provider.serves(Task::Speech, id),
        Operation::Stt => provider.transcription.is_none() || provider.serves(Task::Transcription, id),
        Operation::Lookup => false,
    }
}

/// `None`: only the provider itself can say.
pub fn offers_voice(provider: &Provider, id: &str) -> Option<bool> {
    let voices = &provider.voices;
    if voices.fixed.iter().any(|voice| voice.id == id) {
        return Some(true);
    }
    (voices.call.is_none() && !voices.fixed.is_empty() && !voices.more).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Providers;

    #[test]
    fn names_and_fixed_lists_decide_and_nothing_else_does() {
        let providers = Providers::built_in().unwrap();
        let (tts, stt) = (Operation::Tts, Operation::Stt);
        for (provider, operation, id, offered) in [
            ("azure", tts, "neural", Some(true)),
            ("azure", stt, "neural", Some(false)),
            ("azure", tts, "nural", Some(false)),
            ("gemini", tts, "gemini-9-tts", Some(true)),
            ("gemini", tts, "gemini-9-pro", Some(false)),
            ("azure", stt, "short-audio", Some(false)),
            ("gemini", stt, "gemini-3.5-transcribe-live", Some(true)),
            ("elevenlabs", stt, "scribe_v9", Some(false)),
            ("elevenlabs", stt, "whisper", Some(false)),
            ("elevenlabs", tts, "scribe_v2", Some(false)),
            ("elevenlabs", tts, "eleven_v9", None),
        ] {
            let known = offers_model(providers.get(provider).unwrap(), operation, id);
            assert_eq!(known, offered, "{provider} {operation} {id}");
        }
        for (provider, id, offered) in [
            ("gemini", "Kore", Some(true)),
            ("gemini", "kore", Some(false)),
            ("azure", "en-US-AvaNeural", None),
        ] {
            assert_eq!(
                offers_voice(providers.get(provider).unwrap(), id),
                offered,
                "{provider} {id}"
            );
        }
    }
}
