//! Rendering in which the strings of a request cannot smuggle in control tokens.
//!
//! The text of a control token that stands in the strings of the messages, tools and documents is replaced by a
//! stand-in: one character that is found nowhere else, before rendering. So is the start of one at a string's end,
//! lest the next string completes it. After rendering, the stand-ins become literal spans of the text they stood
//! for.
//!
//! A template may itself look for such a text, as in `content.split("</think>")`. So the result is compared with
//! the plain rendering, and texts whose replacement changes it are left to the template, which treats them as its
//! own syntax. Limits: a text that the template itself puts together from harmless parts of one string, for example
//! by deleting what is between them, is not seen.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value as Json;

use super::{bounds, parse, ChatTemplate, WHAT};
use crate::error::Result;
use crate::stack::bounded;
use crate::tokenizer::Tokenizer;

/// The parts of a context that come from the caller.
const CALLERS: &[&str] = &["messages", "tools", "documents"];
/// Rare ideographs: printable, without case, and no white space, so that templates treat them as any letter.
const STAND_INS: std::ops::RangeInclusive<char> = '\u{20000}'..='\u{2a6d6}';

/// A piece of rendered text. A literal one is text whatever it looks like.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub literal: bool,
}

impl ChatTemplate {
    /// Renders as render() does, and tells apart what must stay text.
    pub fn render_spans(
        &self,
        context: &str,
        tokenizer: &Tokenizer,
        unix_time: Option<i64>,
    ) -> Result<Vec<Piece>> {
        bounded(bounds(context.len()), WHAT, || {
            let json = parse(context)?;
            let render = |json: Json| self.render_here(json, context.len(), unix_time);
            let texts = texts_to_replace(&json, tokenizer);
            let plain = render(json.clone())?;
            if texts.is_empty() {
                return Ok(vec![Piece { text: plain, literal: false }]);
            }
            let everything = json.to_string() + &plain;
            let attempt = |chosen: &[String]| {
                let stand_ins = StandIns::new(chosen, &everything)?;
                let mut replaced = json.clone();
                for_each_string(&mut replaced, &mut |text| *text = stand_ins.replace(text, tokenizer));
                let pieces = stand_ins.restore(&render(replaced).ok()?);
                let same = pieces.iter().flat_map(|piece| piece.text.bytes()).eq(plain.bytes());
                same.then_some(pieces)
            };
            let harmless = || -> Vec<String> {
                texts.iter().filter(|text| attempt(std::slice::from_ref(text)).is_some()).cloned().collect()
            };
            let pieces = attempt(&texts).or_else(|| attempt(&harmless()));
            Ok(pieces.unwrap_or_else(|| vec![Piece { text: plain, literal: false }]))
        })
    }
}

/// Returns each text that stands for a control token in the caller's strings, or begins one at a string's end.
fn texts_to_replace(json: &Json, tokenizer: &Tokenizer) -> Vec<String> {
    let mut texts = FxHashSet::default();
    let mut copy = json.clone();
    for_each_string(&mut copy, &mut |text| {
        texts.extend(tokenizer.control_places(text).into_iter().map(|place| text[place].to_string()));
    });
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort();
    texts
}

/// Visits the caller's strings and keys.
fn for_each_string(json: &mut Json, visit: &mut impl FnMut(&mut String)) {
    for name in CALLERS {
        if let Some(part) = json.get_mut(name) {
            visit_strings(part, visit);
        }
    }
}

fn visit_strings(json: &mut Json, visit: &mut impl FnMut(&mut String)) {
    match json {
        Json::String(text) => visit(text),
        Json::Array(items) => items.iter_mut().for_each(|item| visit_strings(item, visit)),
        Json::Object(map) => {
            let entries = std::mem::take(map);
            for (mut key, mut value) in entries {
                visit(&mut key);
                visit_strings(&mut value, visit);
                map.insert(key, value);
            }
        }
        _ => {}
    }
}

/// Texts and the characters that stand in for them.
struct StandIns {
    characters: FxHashMap<String, char>,
    texts: FxHashMap<char, String>,
}

impl StandIns {
    /// Chooses characters that are not in `everything`. Returns nothing if there are too few.
    fn new(texts: &[String], everything: &str) -> Option<StandIns> {
        let taken: FxHashSet<char> = everything.chars().filter(|c| STAND_INS.contains(c)).collect();
        let mut free = STAND_INS.filter(|c| !taken.contains(c));
        let mut stand_ins = StandIns { characters: FxHashMap::default(), texts: FxHashMap::default() };
        for text in texts {
            let character = free.next()?;
            stand_ins.characters.insert(text.clone(), character);
            stand_ins.texts.insert(character, text.clone());
        }
        Some(stand_ins)
    }

    fn replace(&self, text: &str, tokenizer: &Tokenizer) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut done = 0;
        for place in tokenizer.control_places(text) {
            if let Some(&character) = self.characters.get(&text[place.clone()]) {
                replaced.push_str(&text[done..place.start]);
                replaced.push(character);
                done = place.end;
            }
        }
        replaced.push_str(&text[done..]);
        replaced
    }

    fn restore(&self, rendered: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut done = 0;
        for (at, c) in rendered.char_indices() {
            let Some(text) = self.texts.get(&c) else { continue };
            if done < at {
                pieces.push(Piece { text: rendered[done..at].to_string(), literal: false });
            }
            pieces.push(Piece { text: text.clone(), literal: true });
            done = at + c.len_utf8();
        }
        if done < rendered.len() || pieces.is_empty() {
            pieces.push(Piece { text: rendered[done..].to_string(), literal: false });
        }
        pieces
    }
}
