//! Text to token ids and back.

mod bpe;
mod byte_level;
mod charsmap;
mod control_texts;
pub mod gguf_form;
mod hugging_face;
mod merge;
pub mod pre_tokenizers;
mod repeats;
mod specials;
mod splitter;
mod spm;
mod unigram;
mod vocabulary;
mod wordpiece;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::{Error, Result};
use bpe::{Bpe, SPACE_MARK};
use control_texts::ControlTexts;
use hugging_face::HuggingFace;
use pre_tokenizers::Alphabet;
use repeats::Repeats;
use specials::Specials;
use spm::Spm;
use unigram::Unigram;
use vocabulary::{byte_of, Vocabulary};
pub use vocabulary::{Kind, TokenId};
use wordpiece::WordPiece;

/// A piece of a prompt. In a literal one no control token forms.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    pub text: &'a str,
    pub literal: bool,
}

/// What a GGUF file says of its tokenizer, by the names of its keys (`tokenizer.ggml.*`).
#[derive(Default)]
pub struct GgufVocabulary<'a> {
    pub model: &'a str,
    pub pre: &'a str,
    pub tokens: Vec<&'a [u8]>,
    pub scores: &'a [f32],
    pub token_types: &'a [i32],
    pub merges: Vec<&'a [u8]>,
    pub precompiled_charsmap: &'a [u8],
    pub bos: Option<TokenId>,
    pub eos: Option<TokenId>,
    pub unknown: Option<TokenId>,
    pub separator: Option<TokenId>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
    pub remove_extra_whitespaces: Option<bool>,
    pub lowercase: Option<bool>,
    pub strip_accents: Option<bool>,
}

/// What tokenizer_config.json and the model's other files say of a tokenizer.json. Texts of tokens are empty where they
/// say none, flags tell whether a text gets them, and `size` is the model's number of tokens, 0 where it is not known.
#[derive(Default)]
pub struct TokenizerConfig<'a> {
    pub bos: &'a str,
    pub eos: &'a str,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub size: usize,
}

enum Model {
    Bpe(Box<Bpe>),
    Spm(Box<Spm>),
    Unigram(Box<Unigram>),
    WordPiece(WordPiece),
}

enum Engine {
    Native { model: Model, specials: Specials },
    HuggingFace(Box<HuggingFace>),
}

/// How the text of a normal token is written in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// GPT-2's alphabet of bytes.
    ByteLevel,
    /// Spaces are U+2581.
    SpaceMarks,
    /// A word's later pieces start with "##".
    Continued,
}

pub struct Tokenizer {
    vocabulary: Vocabulary,
    engine: Engine,
    spelling: Spelling,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    prefix: Vec<TokenId>,
    suffix: Vec<TokenId>,
    space_prefix: bool,
    control_texts: OnceLock<ControlTexts>,
}

impl Tokenizer {
    pub fn from_gguf(file: &GgufVocabulary) -> Result<Tokenizer> {
        let vocabulary = Vocabulary::from_gguf(&file.tokens, file.scores, file.token_types)?;
        let given = [
            ("bos_token_id", file.bos),
            ("eos_token_id", file.eos),
            ("unknown_token_id", file.unknown),
            ("seperator_token_id", file.separator),
        ];
        for (name, id) in given {
            if id.is_some_and(|id| id as usize >= vocabulary.len()) {
                return Err(Error::invalid(format!(
                    "tokenizer.ggml.{name}: expected an id below {}, got {}",
                    vocabulary.len(),
                    id.unwrap_or_default()
                )));
            }
        }
        match file.model {
            "gpt2" | "gemma4" => Tokenizer::bpe(file, vocabulary),
            "llama" => Tokenizer::spm(file, vocabulary),
            "t5" => Tokenizer::unigram(file, vocabulary),
            "bert" => Tokenizer::wordpiece(file, vocabulary),
            other => Err(Error::unsupported(format!(
                "tokenizer.ggml.model: expected gpt2, llama, t5, bert or gemma4, got {other:?}"
            ))),
        }
    }

    fn bpe(file: &GgufVocabulary, vocabulary: Vocabulary) -> Result<Tokenizer> {
        let pre = if file.model == "gemma4" { "gemma4" } else { file.pre };
        let rules = pre_tokenizers::find(pre).ok_or_else(|| {
            Error::unsupported(format!("tokenizer.ggml.pre: the pre-tokenizer {pre:?} is not known"))
        })?;
        let model = Model::Bpe(Box::new(Bpe::new(&vocabulary, &file.merges, rules, file.unknown)?));
        let spelling = match rules.alphabet {
            Alphabet::Bytes => Spelling::ByteLevel,
            Alphabet::Characters | Alphabet::Metaspace => Spelling::SpaceMarks,
        };
        // Gemma 4's files say false, wrongly.
        let add_bos = pre == "gemma4" || file.add_bos.unwrap_or(rules.add_bos);
        let ends = Ends { bos: file.bos, eos: file.eos, add_bos, add_eos: file.add_eos.unwrap_or(false) };
        Tokenizer::native(vocabulary, model, spelling, ends, false)
    }

    fn spm(file: &GgufVocabulary, vocabulary: Vocabulary) -> Result<Tokenizer> {
        let known = |id: TokenId| Some(id).filter(|&id| (id as usize) < vocabulary.len());
        let ends = Ends {
            bos: file.bos.or(known(1)),
            eos: file.eos.or(known(2)),
            add_bos: file.add_bos.unwrap_or(true),
            add_eos: file.add_eos.unwrap_or(false),
        };
        let model = Model::Spm(Box::new(Spm::new(&vocabulary, file.unknown.or(known(0)))));
        let space_prefix = file.add_space_prefix.unwrap_or(true);
        Tokenizer::native(vocabulary, model, Spelling::SpaceMarks, ends, space_prefix)
    }

    fn unigram(file: &GgufVocabulary, vocabulary: Vocabulary) -> Result<Tokenizer> {
        let known = |id: TokenId| Some(id).filter(|&id| (id as usize) < vocabulary.len());
        let space_prefix = file.add_space_prefix.unwrap_or(false);
        let ends = Ends {
            bos: file.bos,
            eos: file.eos.or(known(1)),
            add_bos: file.add_bos.unwrap_or(false),
            add_eos: file.add_eos.unwrap_or(true),
        };
        let unigram = Unigram::new(
            &vocabulary,
            file.precompiled_charsmap,
            file.unknown.or(known(2)),
            space_prefix,
            file.remove_extra_whitespaces.unwrap_or(false),
        )?;
        Tokenizer::native(
            vocabulary,
            Model::Unigram(Box::new(unigram)),
            Spelling::SpaceMarks,
            ends,
            space_prefix,
        )
    }

    fn wordpiece(file: &GgufVocabulary, vocabulary: Vocabulary) -> Result<Tokenizer> {
        let known = |id: TokenId| Some(id).filter(|&id| (id as usize) < vocabulary.len());
        let lowercase = file.lowercase.unwrap_or(true);
        let unknown = file
            .unknown
            .or(known(100))
            .ok_or_else(|| Error::invalid("tokenizer.ggml.unknown_token_id: a WordPiece model needs it"))?;
        let model = Model::WordPiece(WordPiece {
            unknown,
            lowercase,
            strip_accents: file.strip_accents.unwrap_or(lowercase),
        });
        // The classifier token comes first and the separator last, whatever the flags say.
        let ends = Ends {
            bos: file.bos.or(known(101)),
            eos: file.separator.or(known(102)),
            add_bos: true,
            add_eos: true,
        };
        Tokenizer::native(vocabulary, model, Spelling::SpaceMarks, ends, false)
    }

    fn native(
        vocabulary: Vocabulary,
        model: Model,
        spelling: Spelling,
        ends: Ends,
        space_prefix: bool,
    ) -> Result<Tokenizer> {
        let specials = Specials::new(&vocabulary)?;
        Ok(Tokenizer {
            engine: Engine::Native { model, specials },
            vocabulary,
            spelling,
            bos: ends.bos,
            eos: ends.eos,
            prefix: ends.bos.filter(|_| ends.add_bos).into_iter().collect(),
            suffix: ends.eos.filter(|_| ends.add_eos).into_iter().collect(),
            space_prefix,
            control_texts: OnceLock::new(),
        })
    }

    /// Reads a Hugging Face tokenizer.json.
    pub fn from_json(json: &[u8], config: &TokenizerConfig) -> Result<Tokenizer> {
        let loaded = hugging_face::load(json, config.size)?;
        let (mut prefix, mut suffix) = (loaded.prefix, loaded.suffix);
        let known = |text: &str| loaded.vocabulary.find(text.as_bytes()).filter(|_| !text.is_empty());
        let bos = known(config.bos).or(prefix.first().copied());
        let eos = known(config.eos).or(suffix.last().copied());
        if let Some(add) = config.add_bos {
            prefix.retain(|&id| Some(id) != bos);
            prefix.splice(0..0, bos.filter(|_| add));
        }
        if let Some(add) = config.add_eos {
            suffix.retain(|&id| Some(id) != eos);
            suffix.extend(eos.filter(|_| add));
        }
        Ok(Tokenizer {
            vocabulary: loaded.vocabulary,
            spelling: loaded.spelling,
            bos,
            eos,
            prefix,
            suffix,
            space_prefix: loaded.space_prefix,
            control_texts: OnceLock::new(),
            engine: Engine::HuggingFace(Box::new(loaded.engine)),
        })
    }

    /// Returns the ids of the spans' joined text. Where they are more than `ids_max`, some of the last may be missing,
    /// but never so many that it does not show: then there still are more than `ids_max`.
    pub fn encode(&self, spans: &[Span], add_special: bool, ids_max: usize) -> Result<Vec<TokenId>> {
        let (text, literal) = join(spans);
        let mut ids = Vec::with_capacity((text.len() / 3).min(ids_max) + 2);
        if add_special {
            ids.extend_from_slice(&self.prefix);
        }
        match &self.engine {
            Engine::HuggingFace(engine) => engine.encode(&text, &literal, &mut ids)?,
            Engine::Native { model, specials } => {
                let (mut after_special, mut repeats) = (true, Repeats::default());
                for part in specials.partition(&text, &literal) {
                    match part.token {
                        Some(id) => ids.push(id),
                        None => {
                            let part = Part { text: &text[part.range], after_special, ids_max };
                            self.encode_part(model, part, &mut repeats, &mut ids)
                        }
                    }
                    after_special = part.token.is_some();
                    if ids.len() > ids_max {
                        return Ok(ids);
                    }
                }
            }
        }
        if add_special {
            ids.extend_from_slice(&self.suffix);
        }
        Ok(ids)
    }

    /// Returns the ids of a text that stands behind other text, in which no control token forms.
    pub fn encode_inside(&self, text: &str) -> Result<Vec<TokenId>> {
        let Engine::Native { model, specials } = &self.engine else {
            return self.encode(&[Span { text, literal: true }], false, usize::MAX);
        };
        let (mut ids, mut repeats) = (Vec::new(), Repeats::default());
        let (_, literal) = join(&[Span { text, literal: true }]);
        for part in specials.partition(text, &literal) {
            match part.token {
                Some(id) => ids.push(id),
                None => {
                    let part = Part { text: &text[part.range], after_special: false, ids_max: usize::MAX };
                    self.encode_part(model, part, &mut repeats, &mut ids)
                }
            }
        }
        Ok(ids)
    }

    fn encode_part(&self, model: &Model, part: Part, repeats: &mut Repeats, ids: &mut Vec<TokenId>) {
        let Part { text, after_special, ids_max } = part;
        match model {
            Model::Bpe(bpe) => bpe.encode(&self.vocabulary, text, ids_max, repeats, ids),
            Model::Spm(spm) => {
                let space_before = self.space_prefix && after_special;
                spm.encode(&self.vocabulary, text, space_before, ids_max, repeats, ids)
            }
            Model::Unigram(unigram) => unigram.encode(&self.vocabulary, text, ids),
            Model::WordPiece(wordpiece) => wordpiece.encode(&self.vocabulary, text, ids_max, ids),
        }
    }

    /// Returns the most bytes of a text that one token stands for; nothing where the tokenizer drops or joins text, so
    /// that a token may stand for any number.
    pub fn bytes_per_token_max(&self) -> Option<usize> {
        let shrinks_by = match &self.engine {
            Engine::HuggingFace(engine) => engine.shrinks_by()?,
            Engine::Native { model: Model::Bpe(bpe), .. } if bpe.keeps_all() => 1,
            Engine::Native { model: Model::Spm(spm), .. } if spm.keeps_all() => 1,
            Engine::Native { .. } => return None,
        };
        // What a file calls unused may be formed by merges all the same. A space mark may stand for itself.
        let bytes_of = |id: TokenId| match (self.spelling, self.vocabulary.kind(id)) {
            (Spelling::ByteLevel, kind) if kind != Kind::Unused => self.token_bytes(id, true).len(),
            _ => self.vocabulary.bytes(id).len(),
        };
        Some(shrinks_by * self.vocabulary.ids().map(bytes_of).max().unwrap_or(1).max(1))
    }

    /// Returns the bytes of one token; those of a control token only if `special`.
    pub fn token_bytes(&self, id: TokenId, special: bool) -> Cow<'_, [u8]> {
        if id as usize >= self.vocabulary.len() {
            return Cow::Borrowed(b"");
        }
        let text = self.vocabulary.bytes(id);
        match self.vocabulary.kind(id) {
            Kind::Unused => Cow::Borrowed(b""),
            Kind::Control | Kind::Unknown => Cow::Borrowed(if special { text } else { b"" }),
            Kind::UserDefined => Cow::Borrowed(text),
            Kind::Byte => match byte_of(text) {
                Some(byte) => Cow::Owned(vec![byte]),
                None => Cow::Borrowed(text),
            },
            Kind::Normal => match self.spelling {
                Spelling::ByteLevel => byte_level::decode(text).map_or(Cow::Borrowed(text), Cow::Owned),
                Spelling::SpaceMarks => match std::str::from_utf8(text) {
                    Ok(text) if text.contains(SPACE_MARK) => {
                        Cow::Owned(text.replace(SPACE_MARK, " ").into_bytes())
                    }
                    _ => Cow::Borrowed(text),
                },
                Spelling::Continued => match text.strip_prefix(b"##") {
                    Some(rest) => Cow::Borrowed(rest),
                    None => Cow::Owned([b" ", text].concat()),
                },
            },
        }
    }

    pub fn token_of(&self, text: &[u8]) -> Option<TokenId> {
        self.vocabulary.find(text)
    }

    pub fn is_control(&self, id: TokenId) -> bool {
        (id as usize) < self.vocabulary.len() && self.vocabulary.kind(id) == Kind::Control
    }

    /// Whether a token stands for a mark, not for its text: control tokens, and those of visible text that are written
    /// as marks, as harmony's are.
    pub fn is_mark(&self, id: TokenId) -> bool {
        if (id as usize) >= self.vocabulary.len() {
            return false;
        }
        let text = self.vocabulary.bytes(id);
        match self.vocabulary.kind(id) {
            Kind::Control => true,
            Kind::UserDefined => text.len() > 4 && text.starts_with(b"<|") && text.ends_with(b"|>"),
            _ => false,
        }
    }

    /// Whether a token has a meaning of its own beside its text, or none at all.
    pub fn is_special(&self, id: TokenId) -> bool {
        (id as usize) >= self.vocabulary.len()
            || matches!(self.vocabulary.kind(id), Kind::Control | Kind::Unknown | Kind::Unused)
    }

    /// Returns where `text` looks like a control token, or ends in the start of one; sorted and apart.
    pub fn control_places(&self, text: &str) -> Vec<Range<usize>> {
        self.control_texts.get_or_init(|| ControlTexts::new(self)).places(text)
    }

    /// Returns the texts that are tokens only in template text.
    fn control_texts(&self) -> impl Iterator<Item = &str> {
        self.vocabulary
            .ids()
            .filter(|&id| matches!(self.vocabulary.kind(id), Kind::Control | Kind::Unknown))
            .filter_map(|id| std::str::from_utf8(self.vocabulary.bytes(id)).ok())
    }

    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    pub fn adds_bos(&self) -> bool {
        self.bos.is_some() && self.prefix.first() == self.bos.as_ref()
    }

    /// Whether an answer's first space is not part of it.
    pub fn strips_first_space(&self) -> bool {
        self.space_prefix
    }
}

/// A text between two special tokens.
struct Part<'t> {
    text: &'t str,
    after_special: bool,
    ids_max: usize,
}

/// The tokens around a text, and whether they are put there.
struct Ends {
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    add_bos: bool,
    add_eos: bool,
}

/// Returns the joined text and the ranges of it that are literal.
fn join<'a>(spans: &[Span<'a>]) -> (Cow<'a, str>, Vec<Range<usize>>) {
    if let [span] = spans {
        let literal = (span.literal && !span.text.is_empty()).then_some(0..span.text.len());
        return (Cow::Borrowed(span.text), literal.into_iter().collect());
    }
    let mut text = String::with_capacity(spans.iter().map(|span| span.text.len()).sum());
    let mut literal = Vec::new();
    for span in spans.iter().filter(|span| !span.text.is_empty()) {
        text.push_str(span.text);
        if span.literal {
            literal.push(text.len() - span.text.len()..text.len());
        }
    }
    (Cow::Owned(text), literal)
}
