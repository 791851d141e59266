//! Cuts long input where a speaker would breathe, and knows where sentences end.
//!
//! An end is punctuation with a blank behind it, Chinese and Japanese punctuation by itself, or an empty line. A full
//! stop behind an abbreviation, or before a small letter, is none.

use unicode_segmentation::{GraphemeIndices, UnicodeSegmentation};

use crate::meter::is_wide;

/// Pieces of at most `limit` characters each, cut at sentence ends, else at clause ends, else between words, else
/// between characters. Joined they are the input. `wide_count_double`: as the provider counts.
///
/// Blanks stay with the text before them, so that a piece is blank only where more of them stand in a row than a
/// piece holds. What a reader sees as one character is cut only where it alone is over the limit. A piece holds at
/// least one character, whatever the limit.
pub fn split(input: &str, limit: usize, wide_count_double: bool) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut(rest, limit, wide_count_double));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Each sentence with the blanks behind it. Joined they are the text.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for atom in Atoms::new(text, false) {
        if atom.end == text.len() || atom.boundary(text) == Boundary::Sentence {
            sentences.push(&text[start..atom.end]);
            start = atom.end;
        }
    }
    sentences
}

/// How many columns text takes: wide characters take two.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|letter| width(letter, true)).sum()
}

/// Whether a sentence ends where `before`, blanks included, meets `after`.
pub(super) fn is_sentence_end(before: &str, after: &str) -> bool {
    boundary(before, after) == Boundary::Sentence
}

/// Where a text may be cut, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Boundary {
    /// Before punctuation that belongs to what stands before it.
    Punctuation,
    Character,
    Word,
    Clause,
    Sentence,
}

/// Where the first piece of a text ends. Looks no further than one piece.
fn cut(text: &str, limit: usize, wide_count_double: bool) -> usize {
    // One character more shows whether the text goes on.
    let reach = text
        .char_indices()
        .nth(limit.saturating_add(1))
        .map_or(text.len(), |(at, _)| at);
    let mut best: Option<(Boundary, usize)> = None;
    let mut width = 0;
    for atom in Atoms::new(&text[..reach], wide_count_double) {
        width += atom.width;
        if width > limit {
            return best.map_or_else(|| cut_anywhere(text, limit, wide_count_double), |(_, end)| end);
        }
        let boundary = atom.boundary(text);
        if best.is_none_or(|(known, _)| boundary >= known) {
            best = Some((boundary, atom.end));
        }
    }
    text.len()
}

/// As many characters as fit, and one at least.
fn cut_anywhere(text: &str, limit: usize, wide_count_double: bool) -> usize {
    let mut taken = 0;
    text.char_indices()
        .find(|(at, letter)| {
            taken += width(*letter, wide_count_double);
            taken > limit && *at > 0
        })
        .map_or(text.len(), |(at, _)| at)
}

fn width(letter: char, wide_counts_double: bool) -> usize {
    1 + usize::from(wide_counts_double && is_wide(u64::from(u32::from(letter))))
}

/// One character as a reader sees it, with the blanks behind it; the first also has those before it.
struct Atom {
    start: usize,
    end: usize,
    width: usize,
}

struct Atoms<'t> {
    graphemes: std::iter::Peekable<GraphemeIndices<'t>>,
    wide_count_double: bool,
}

impl<'t> Atoms<'t> {
    fn new(text: &'t str, wide_count_double: bool) -> Self {
        Self {
            graphemes: text.grapheme_indices(true).peekable(),
            wide_count_double,
        }
    }
}

impl Iterator for Atoms<'_> {
    type Item = Atom;

    fn next(&mut self) -> Option<Atom> {
        let (start, _) = *self.graphemes.peek()?;
        let mut atom = Atom {
            start,
            end: start,
            width: 0,
        };
        let mut has_text = false;
        while let Some((at, grapheme)) = self.graphemes.next_if(|(_, next)| !has_text || is_blank(next)) {
            has_text |= !is_blank(grapheme);
            atom.end = at + grapheme.len();
            atom.width += grapheme
                .chars()
                .map(|letter| width(letter, self.wide_count_double))
                .sum::<usize>();
        }
        Some(atom)
    }
}

impl Atom {
    fn boundary(&self, text: &str) -> Boundary {
        // Most characters end nothing and need no look around.
        let own = &text[self.start..self.end];
        let plain = own.len() == 1 && own.as_bytes()[0].is_ascii_alphanumeric();
        if plain && text[self.end..].starts_with(|next: char| next.is_ascii_alphanumeric()) {
            return Boundary::Character;
        }
        boundary(&text[..self.end], &text[self.end..])
    }
}

fn boundary(before: &str, after: &str) -> Boundary {
    let word = before.trim_end();
    let blanks = &before[word.len()..];
    let bare = without_closing(word);
    let last = bare.chars().next_back().unwrap_or_default();
    if blanks.is_empty() {
        return match last {
            _ if after.starts_with(belongs_before) => Boundary::Punctuation,
            '。' | '！' | '？' | '｡' => Boundary::Sentence,
            '，' | '、' | '；' | '：' | '､' => Boundary::Clause,
            _ => Boundary::Character,
        };
    }
    match last {
        '。' | '！' | '？' | '｡' | '!' | '?' | '…' | '।' | '؟' | '۔' => Boundary::Sentence,
        '.' if !is_abbreviation(bare, after) => Boundary::Sentence,
        _ if blanks.matches('\n').count() > 1 => Boundary::Sentence,
        ',' | ';' | ':' | '–' | '—' | '，' | '、' | '；' | '：' | '､' | '،' => Boundary::Clause,
        _ if blanks.contains('\n') => Boundary::Clause,
        _ => Boundary::Word,
    }
}

/// Longest abbreviation that is looked at.
const LONGEST_ABBREVIATION: usize = 12;
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "no", "nr", "fig", "vol", "approx",
    "bzw", "ca", "mme", "mlle", "sra", "dra",
];

/// Whether the full stop at the end of `text` most likely ends a word and not a sentence: what follows goes on in
/// small letters, or the word is an initial, has full stops inside, or is known.
fn is_abbreviation(text: &str, after: &str) -> bool {
    if after.starts_with(char::is_lowercase) {
        return true;
    }
    let text = text.trim_end_matches('.');
    let mut letters = text.char_indices().rev();
    let beginning = letters
        .by_ref()
        .take(LONGEST_ABBREVIATION + 1)
        .find(|(_, letter)| !letter.is_alphanumeric() && *letter != '.');
    let word = match beginning {
        Some((at, letter)) => &text[at + letter.len_utf8()..],
        None if letters.next().is_some() => return false,
        None => text,
    };
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && word != "I";
    let is_dotted = word.contains('.') && !word.chars().any(char::is_numeric);
    is_initial || is_dotted || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// As many of them in a row are looked past, so that a text of nothing else costs no more than any.
const MOST_CLOSING: usize = 8;

fn without_closing(text: &str) -> &str {
    let closing = text
        .chars()
        .rev()
        .take(MOST_CLOSING)
        .take_while(|letter| is_closing(*letter));
    &text[..text.len() - closing.map(char::len_utf8).sum::<usize>()]
}

/// Quotes and brackets that may stand between a sentence's end and the blank behind it.
fn is_closing(letter: char) -> bool {
    matches!(
        letter,
        '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '】' | '》' | '〉' | '｣'
    )
}

fn belongs_before(letter: char) -> bool {
    is_closing(letter)
        || matches!(
            letter,
            '.' | ','
                | ';'
                | ':'
                | '!'
                | '?'
                | '…'
                | '。'
                | '，'
                | '、'
                | '；'
                | '：'
                | '！'
                | '？'
                | '｡'
                | '､'
        )
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn input_within_the_limit_is_one_piece() {
        assert_eq!(split("Hello there.", 12, false), ["Hello there."]);
        assert_eq!(split(" \n", 2, false), [" \n"]);
        assert!(split("", 5, false).is_empty());
    }

    #[test]
    fn the_best_place_within_the_limit_is_cut() {
        for (input, limit, pieces) in [
            (
                "One two. Three four, five.",
                20,
                &["One two. ", "Three four, five."][..],
            ),
            (
                "One two, three four five.",
                15,
                &["One two, ", "three four ", "five."],
            ),
            ("one two three", 9, &["one two ", "three"]),
            ("abcdefgh", 3, &["abc", "def", "gh"]),
            ("Is it? \"Yes!\" he said.", 15, &["Is it? \"Yes!\" ", "he said."]),
            ("Title\n\nText goes on", 12, &["Title\n\n", "Text goes on"]),
            (
                "Pi is 3.14 and e is 2.71. So.",
                27,
                &["Pi is 3.14 and e is 2.71. ", "So."],
            ),
            (
                "Yes. Take fruit, e.g. Apples",
                24,
                &["Yes. ", "Take fruit, e.g. Apples"],
            ),
            (
                "See. Ask Dr. Smith or J. Doe",
                25,
                &["See. ", "Ask Dr. Smith or J. Doe"],
            ),
            (
                "So it is. And about 3. is here",
                26,
                &["So it is. ", "And about 3. is here"],
            ),
            (
                "它很好。我們走吧，現在就走。",
                9,
                &["它很好。", "我們走吧，", "現在就走。"],
            ),
            ("「好。」他說", 5, &["「好。」", "他說"]),
            ("我們，走吧好嗎", 2, &["我", "們，", "走吧", "好嗎"]),
        ] {
            assert_eq!(split(input, limit, false), pieces, "{input}");
        }
    }

    #[test]
    fn wide_characters_count_double_where_the_provider_counts_so() {
        assert_eq!(split("你好嗎ab", 4, true), ["你好", "嗎ab"]);
        assert_eq!(split("你好嗎ab", 4, false), ["你好嗎a", "b"]);
        assert_eq!(split("你好", 1, true), ["你", "好"]);
    }

    #[test]
    fn what_a_reader_sees_as_one_character_stays_whole() {
        for (input, limit, pieces) in [
            ("ae\u{301}i", 2, &["a", "e\u{301}", "i"][..]),
            (
                "👩\u{200d}👩\u{200d}👧👍\u{1f3fd}",
                5,
                &["👩\u{200d}👩\u{200d}👧", "👍\u{1f3fd}"],
            ),
            ("葛\u{e0100}城", 2, &["葛\u{e0100}", "城"]),
            ("e\u{301}\u{302}\u{303}x", 2, &["e\u{301}", "\u{302}\u{303}", "x"]),
        ] {
            assert_eq!(split(input, limit, false), pieces, "{input}");
        }
    }

    #[test]
    fn blanks_stay_beside_text() {
        assert_eq!(split("aaaa   ", 4, false), ["aaa", "a   "]);
        assert_eq!(split("   aaaa", 4, false), ["   a", "aaa"]);
        assert_eq!(split("abcd    efgh", 4, false), ["abc", "d   ", " efg", "h"]);
    }

    #[test]
    fn sentences_come_with_the_blanks_behind_them() {
        assert_eq!(sentences("One. Two?  三。四"), ["One. ", "Two?  ", "三。", "四"]);
        assert_eq!(sentences("e.g. this"), ["e.g. this"]);
        assert!(sentences("").is_empty());
    }

    #[test]
    fn long_input_takes_time_in_proportion() {
        // Any of these takes minutes if a cut looks back or ahead without bound.
        for part in [
            "Word and word. ",
            "\"",
            ".",
            "a, ",
            "字",
            " ",
            "e\u{301}",
            "A. bbbbbbbbbbbbbbbbbb",
        ] {
            let input = part.repeat(20_000 / part.len());
            for limit in [10, 3_000] {
                assert_eq!(split(&input, limit, true).concat(), input, "{part}");
            }
            assert_eq!(sentences(&input).concat(), input, "{part}");
        }
    }

    /// Texts of what matters to cutting.
    fn texts() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec![
            "a", "word", "e.g.", "3.14", ".", ",", "!", "…", "\"", ")", " ", " ", "\n", "\n\n", "\t", "。",
            "，", "字", "カ", "한", "e\u{301}", "\u{301}", "\u{200d}", "👩", "\u{fe0f}", "🇩", "\r\n",
            "\u{3000}", "A", "\u{feff}",
        ]);
        prop::collection::vec(parts, 0..60).prop_map(|parts| parts.concat())
    }

    /// How many blanks stand in a row at most.
    fn longest_blank(text: &str) -> usize {
        text.split(|letter: char| !letter.is_whitespace())
            .map(|blanks| blanks.chars().count())
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_piece_is_over_the_limit(input in texts(), limit in 2usize..40, wide: bool) {
            let pieces = split(&input, limit, wide);
            prop_assert_eq!(pieces.concat(), input.as_str());
            for piece in &pieces {
                let counted: usize = piece.chars().map(|letter| width(letter, wide)).sum();
                prop_assert!(counted <= limit, "{:?}", piece);
                prop_assert!(!piece.is_empty());
            }
        }

        #[test]
        fn every_limit_makes_progress(input in r"\PC{0,40}", limit in 0usize..3, wide: bool) {
            let pieces = split(&input, limit, wide);
            prop_assert_eq!(pieces.concat(), input.as_str());
            prop_assert!(pieces.len() <= input.chars().count());
        }

        #[test]
        fn no_piece_is_blank_unless_the_blanks_outgrow_it(input in texts(), limit in 2usize..40) {
            prop_assume!(!is_blank(&input) && longest_blank(&input) + 5 < limit);
            for piece in split(&input, limit, false) {
                prop_assert!(!is_blank(piece), "{:?}", piece);
            }
        }

        #[test]
        fn characters_are_cut_only_where_they_are_over_the_limit(input in texts(), limit in 8usize..40) {
            let widest = input.graphemes(true).map(|seen| seen.chars().count()).max().unwrap_or(0);
            prop_assume!(widest + longest_blank(&input) <= limit);
            let seen: Vec<_> = input.grapheme_indices(true).map(|(at, _)| at).collect();
            let mut at = 0;
            for piece in split(&input, limit, false) {
                prop_assert!(seen.contains(&at), "{:?} at {}", piece, at);
                at += piece.len();
            }
        }
    }
}
