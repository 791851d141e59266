//! The canonical transcript: what every provider's answer becomes, and every format is rendered from.

use super::sentences::{columns, is_sentence_end};
use crate::meter::is_wide;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    pub text: String,
    /// As the provider names it.
    pub language: Option<String>,
    /// Seconds of audio.
    pub duration: Option<f64>,
    pub words: Vec<Word>,
    pub segments: Vec<Segment>,
}

/// Times are seconds from the beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    pub text: String,
    pub start: f64,
    pub end: f64,
    pub speaker: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    pub text: String,
    pub start: f64,
    pub end: f64,
    pub speaker: Option<String>,
}

/// Silence that ends a segment, in seconds.
const PAUSE: f64 = 0.8;
/// The longest a segment of words lasts, in seconds.
const LONGEST: f64 = 30.0;
/// The widest a segment of words gets: two lines of a subtitle.
const WIDEST: usize = 84;

impl Transcript {
    /// The provider's own segments, else made from its words (sentence ends, pauses, changes of speaker), else one from
    /// beginning to end where the duration is known.
    ///
    /// Where it is not known, that one begins and ends at 0: no time is invented. Segments come in the order in which
    /// they begin, end no sooner than they begin, and have text; without text there are none. Two speakers at once
    /// overlap. The provider's segments give way to its words where only those know the speakers.
    pub fn segmented(&self) -> Vec<Segment> {
        let words_know_more = self.words.iter().any(|word| word.speaker.is_some())
            && self.segments.iter().all(|own| own.speaker.is_none());
        let segments = if self.segments.is_empty() || words_know_more {
            self.segments_of_words()
        } else {
            self.segments.clone()
        };
        let mut segments: Vec<_> = segments.into_iter().filter_map(in_order).collect();
        segments.sort_by(|one, other| one.start.total_cmp(&other.start));
        if segments.is_empty() {
            segments.extend(in_order(Segment {
                text: self.text.clone(),
                end: self.duration.unwrap_or(0.0),
                ..Segment::default()
            }));
        }
        segments
    }

    /// Seconds of audio: as known, else until the last word or segment ends.
    pub(super) fn length(&self) -> f64 {
        let ends = self.words.iter().map(|word| word.end);
        let ends = ends.chain(self.segments.iter().map(|segment| segment.end));
        self.known_duration()
            .unwrap_or_else(|| ends.filter(|end| end.is_finite()).fold(0.0, f64::max))
    }

    pub(super) fn known_duration(&self) -> Option<f64> {
        self.duration
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
    }

    /// The parts of the text that stand for each of `parts`, together the whole text. `None` where the text says
    /// something else. Punctuation may stand between parts, letters may not.
    pub(super) fn slices<'p>(&self, parts: impl Iterator<Item = &'p str>) -> Option<Vec<&str>> {
        let mut starts = Vec::new();
        let mut behind = 0;
        for part in parts.map(str::trim) {
            let rest = &self.text[behind..];
            let gap = rest
                .char_indices()
                .take_while(|(at, letter)| !rest[*at..].starts_with(part) && !letter.is_alphanumeric())
                .map(|(_, letter)| letter.len_utf8())
                .sum::<usize>();
            if part.is_empty() || !rest[gap..].starts_with(part) {
                return None;
            }
            // What opens the next part stands behind the blank: ` ¿Qué`.
            let blank = rest[..gap]
                .trim_end_matches(|letter: char| !letter.is_whitespace())
                .len();
            starts.push(behind + if blank == 0 { gap } else { blank });
            behind += gap + part.len();
        }
        if self.text[behind..].contains(char::is_alphanumeric) {
            return None;
        }
        *starts.first_mut()? = 0;
        let ends = starts[1..].iter().copied().chain([self.text.len()]);
        Some(
            starts
                .iter()
                .zip(ends)
                .map(|(start, end)| &self.text[*start..end])
                .collect(),
        )
    }

    /// The words that say something, in their order: each begins no sooner than the one before it, and ends no sooner
    /// than it begins.
    pub(super) fn timed_words(&self) -> Vec<Word> {
        let mut now = 0.0;
        let said = self.words.iter().filter(|word| !word.text.trim().is_empty());
        said.map(|word| {
            now = no_sooner(word.start, now);
            Word {
                start: now,
                end: no_sooner(word.end, now),
                ..word.clone()
            }
        })
        .collect()
    }

    fn segments_of_words(&self) -> Vec<Segment> {
        let words = self.timed_words();
        let spoken = match self.slices(words.iter().map(|word| word.text.as_str())) {
            Some(slices) => slices.into_iter().map(str::to_owned).collect(),
            None => spaced(&words),
        };
        let mut segments: Vec<Segment> = Vec::new();
        for (nth, word) in words.iter().enumerate() {
            let text = &spoken[nth];
            match segments.last_mut() {
                Some(open) if goes_on(open, &words[nth - 1], word, text) => {
                    open.text.push_str(text);
                    open.end = open.end.max(word.end);
                }
                _ => segments.push(Segment {
                    text: text.clone(),
                    start: word.start,
                    end: word.end,
                    speaker: word.speaker.clone(),
                }),
            }
        }
        segments
    }
}

/// Whether `word`, which reads as `text`, belongs to the segment that `last` is the last word of.
fn goes_on(open: &Segment, last: &Word, word: &Word, text: &str) -> bool {
    open.speaker == word.speaker
        && word.start - last.end < PAUSE
        && word.end - open.start <= LONGEST
        && columns(&open.text) + columns(text.trim_end()) <= WIDEST
        // A word's end is as good as a blank, also where its own is missing.
        && !is_sentence_end(&format!("{} ", open.text), text.trim_start())
}

/// Words as they read one after another, each with the blank behind it where there is one.
fn spaced(words: &[Word]) -> Vec<String> {
    let following = words.iter().skip(1).map(Some).chain([None]);
    words
        .iter()
        .zip(following)
        .map(|(word, next)| {
            let mut text = word.text.clone();
            if next.is_some_and(|next| are_apart(&word.text, &next.text)) {
                text.push(' ');
            }
            text
        })
        .collect()
}

/// Whether a blank is missing between two words. Chinese and Japanese have none; Korean has.
fn are_apart(word: &str, next: &str) -> bool {
    let joins = |letter: char| letter.is_whitespace() || is_written_without_blanks(letter);
    let is_punctuation = next.starts_with(['.', ',', ';', ':', '!', '?', '…']);
    !word.ends_with(joins) && !next.starts_with(joins) && !is_punctuation
}

fn is_written_without_blanks(letter: char) -> bool {
    let is_hangul = matches!(letter, '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}');
    let is_wide_punctuation = matches!(letter, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff65}');
    is_wide_punctuation || is_wide(u64::from(u32::from(letter))) && !is_hangul
}

/// The segment with its text trimmed and its times made sense of; `None` where it says nothing.
fn in_order(segment: Segment) -> Option<Segment> {
    let text = segment.text.trim();
    let start = no_sooner(segment.start, 0.0);
    (!text.is_empty()).then(|| Segment {
        text: text.to_owned(),
        start,
        end: no_sooner(segment.end, start),
        speaker: segment.speaker,
    })
}

/// A time that is no number is as good as unknown, and a zero has no sign.
fn no_sooner(time: f64, than: f64) -> f64 {
    if time.is_finite() {
        time.max(than) + 0.0
    } else {
        than
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word(text: &str, start: f64, end: f64) -> Word {
        Word {
            text: text.to_owned(),
            start,
            end,
            speaker: None,
        }
    }

    /// Words of half a second, one after another.
    fn steady(words: &[&str]) -> Vec<Word> {
        let timed = words.iter().enumerate();
        timed
            .map(|(nth, text)| word(text, nth as f64 * 0.5, nth as f64 * 0.5 + 0.5))
            .collect()
    }

    fn texts(text: &str, words: Vec<Word>) -> Vec<String> {
        let transcript = Transcript {
            text: text.to_owned(),
            words,
            ..Transcript::default()
        };
        transcript
            .segmented()
            .into_iter()
            .map(|segment| segment.text)
            .collect()
    }

    #[test]
    fn the_providers_own_segments_count_first() {
        let own = Segment {
            text: " As they are. ".into(),
            start: 1.0,
            end: 2.5,
            speaker: Some("s1".into()),
        };
        let transcript = Transcript {
            text: "As they are.".into(),
            words: steady(&["As", "they", "are."]),
            segments: vec![own.clone(), Segment::default()],
            ..Transcript::default()
        };
        let expected = Segment {
            text: "As they are.".into(),
            ..own
        };
        assert_eq!(transcript.segmented(), [expected]);
    }

    #[test]
    fn words_that_know_their_speakers_count_before_segments_that_do_not() {
        let mut words = steady(&["Yes.", "No."]);
        words[0].speaker = Some("1".into());
        words[1].speaker = Some("2".into());
        let transcript = Transcript {
            text: "Yes. No.".into(),
            words,
            segments: vec![Segment {
                text: "Yes. No.".into(),
                ..Segment::default()
            }],
            ..Transcript::default()
        };
        let speakers: Vec<_> = transcript
            .segmented()
            .into_iter()
            .map(|segment| segment.speaker)
            .collect();
        assert_eq!(speakers, [Some("1".to_owned()), Some("2".to_owned())]);
    }

    #[test]
    fn words_end_a_segment_where_a_sentence_ends() {
        assert_eq!(
            texts(
                "",
                steady(&["Ask", "Dr.", "Who,", "e.g.", "now.", "\"Then?\"", "Go!"])
            ),
            ["Ask Dr. Who, e.g. now.", "\"Then?\"", "Go!"]
        );
        assert_eq!(texts("", steady(&["你", "好", "。", "再見"])), ["你好。", "再見"]);
    }

    #[test]
    fn the_text_lends_words_its_punctuation_and_blanks() {
        assert_eq!(
            texts(
                "Hello there! It's me… You?",
                steady(&["Hello", "there", "It's", "me", "You"])
            ),
            ["Hello there!", "It's me…", "You?"]
        );
        assert_eq!(
            texts("¡Hola! ¿Qué?", steady(&["Hola", "Qué"])),
            ["¡Hola!", "¿Qué?"]
        );
        assert_eq!(
            texts("other words", steady(&["Hello.", "You"])),
            ["Hello.", "You"]
        );
    }

    #[test]
    fn words_without_blanks_are_joined_as_their_script_wants() {
        for (words, joined) in [
            (&["Hello", "world"][..], "Hello world"),
            (&["Hello", " world"], "Hello world"),
            (&["Hello", ",", "world"], "Hello, world"),
            (&["今日", "は"], "今日は"),
            (&["안녕", "하세요"], "안녕 하세요"),
            (&["用", "API", "吧"], "用API吧"),
        ] {
            assert_eq!(texts("", steady(words)), [joined]);
        }
    }

    #[test]
    fn a_pause_a_speaker_and_length_end_a_segment() {
        let paused = vec![
            word("one", 0.0, 0.5),
            word("two", 1.29, 1.5),
            word("three", 2.31, 2.5),
        ];
        assert_eq!(texts("", paused), ["one two", "three"]);
        let mut spoken = steady(&["one", "two", "three"]);
        spoken[2].speaker = Some("b".into());
        assert_eq!(texts("", spoken), ["one two", "three"]);
        let slow = vec![
            word("one", 0.0, 15.0),
            word("two", 15.0, 30.0),
            word("three", 30.0, 31.0),
        ];
        assert_eq!(texts("", slow), ["one two", "three"]);
        let wide = texts("", steady(&["字"; 100]));
        assert_eq!(
            wide.iter().map(|text| text.chars().count()).collect::<Vec<_>>(),
            [42, 42, 16]
        );
    }

    #[test]
    fn text_alone_is_one_segment_as_long_as_the_audio() {
        for (duration, end) in [(Some(3.5), 3.5), (None, 0.0), (Some(f64::NAN), 0.0)] {
            let transcript = Transcript {
                text: " Hello. You. ".into(),
                duration,
                ..Transcript::default()
            };
            let segments = transcript.segmented();
            assert_eq!(segments.len(), 1);
            assert_eq!(
                (segments[0].text.as_str(), segments[0].start, segments[0].end),
                ("Hello. You.", 0.0, end)
            );
        }
        assert!(Transcript::default().segmented().is_empty());
        assert!(texts(" \n", vec![word(" ", 0.0, 1.0)]).is_empty());
    }

    proptest! {
        #[test]
        fn segments_begin_in_order_and_keep_every_word(
            said in prop::collection::vec((r"[a-zA-Z字.!?, ]{0,6}", prop::num::f64::ANY, prop::num::f64::ANY), 0..20),
            known: bool,
        ) {
            let words: Vec<_> = said.iter().map(|(text, start, end)| word(text, *start, *end)).collect();
            let text: String = said.iter().map(|(text, ..)| format!("{} ", text.trim())).collect();
            let transcript = Transcript {
                text: if known { text.clone() } else { String::new() },
                words,
                ..Transcript::default()
            };
            let mut now = 0.0;
            let mut joined = String::new();
            for segment in transcript.segmented() {
                prop_assert!(segment.start >= now && segment.end >= segment.start && segment.end.is_finite());
                prop_assert!(!segment.text.trim().is_empty());
                now = segment.start;
                joined += &segment.text;
            }
            let bare = |text: &str| text.replace(char::is_whitespace, "");
            prop_assert_eq!(bare(&joined), bare(&text));
        }

        #[test]
        fn the_providers_segments_come_out_in_order(
            times in prop::collection::vec((prop::num::f64::ANY, prop::num::f64::ANY), 1..20)
        ) {
            let segments = times.iter().map(|(start, end)| Segment {
                text: "x".into(),
                start: *start,
                end: *end,
                speaker: None,
            });
            let transcript = Transcript { segments: segments.collect(), ..Transcript::default() };
            let segmented = transcript.segmented();
            prop_assert_eq!(segmented.len(), times.len());
            prop_assert!(segmented.windows(2).all(|pair| pair[0].start <= pair[1].start));
            prop_assert!(segmented.iter().all(|segment| 0.0 <= segment.start && segment.start <= segment.end));
        }
    }
}
