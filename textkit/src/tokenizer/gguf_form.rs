//! A tokenizer.json said again by the keys of GGUF files (`tokenizer.ggml.*`). Such a file names its pre-tokenizer
//! instead of spelling it out, so that the name is looked for by what each cuts, and the result is proven: both forms
//! give the same ids for a text with every kind of border in it, and for the text of each token.

use serde_json::{json, Value as Json};
use std::borrow::Cow;

use super::byte_level;
use super::hugging_face::{wrong, HuggingFace};
use super::pre_tokenizers::{Alphabet, PreTokenizer, TABLE};
use super::splitter::Splitter;
use super::vocabulary::{Kind, TokenId};
use super::{Engine, GgufVocabulary, Span, Spelling, Tokenizer, TokenizerConfig};
use crate::error::{Error, Result};

/// Words, contractions, numbers, runs of spaces and lines, symbols and many scripts. Rows of the table that cut some
/// text apart cut this apart.
const PROBE: &str = concat!(
    "Hello world! It's 1234567 we'LL don't they'Ve x'y 'tis we'really you'dare\n\n\n  indented\n\ttabs\t\t ",
    "two  three   four    five\r\n",
    "CamelCaseWords HTTPServer iPhone éÀccent e\u{301}combining ǅungla 12.5% $3,000 a+b=c ",
    "<tag/> `code` ~|~ ^x^ // #!/\n",
    "(a|b), [c]; {d} \"q\" ...!!! ?? -- _under_score_ @user a/b/c.txt http://x.y/?z=1&w=2\n/path ",
    "/\r\n/ end.\n",
    "你好，世界！今天 12 个。 中文English混合 ひらがなカタカナ 漢字かな ",
    "한국어 ㄱㄴㄷ ㄅㄆ “引号”—…〿 ﾊﾝｶｸ\n",
    "Привет мир đường ไทยภาษา हिन्दी नमस्ते ",
    "العربية ١٢٣ ４５６ ½ ② ௧௨ עברית Ωμέγα ᏣᎳᎩ ꭰ 𝐀𝐁 ",
    "Ǆ\u{10400}\u{10428} 😀😃👨‍👩‍👧 🇩🇪\n",
    " \u{a0}\u{3000}wide\u{2003}spaces \u{200d}joined  \n \n  \n\n x   \n",
    "<sentinel:12> IMGIMGABZ 0 00 000 0000 00000 1a2b3c v1.2.3-rc4 ^$+<=>~| $$ a\u{300}\u{301}b ",
    "\u{17d}x\u{0}y   42  7        ",
    "!word #tag .Net ,then ;semi :colon /slash\n.\n!\r\n,\u{85}…\u{2028}para don’t ‘q’ ",
    "，。、،। ۔ end   ",
);
/// Differing ids that a message shows.
const SHOWN: usize = 8;

/// Returns the vocabulary as an object of JSON with the fields of `GgufVocabulary`, and `notes` for a person. Errors:
/// unsupported, saying why readers of GGUF files could not read texts as this tokenizer does.
pub fn of_json(json: &[u8], config: &TokenizerConfig) -> Result<String> {
    let source = Source::read(json, config)?;
    let candidates = match source.reader.spelling {
        Spelling::ByteLevel => source.byte_level()?,
        Spelling::SpaceMarks => SPACE_MARKS.to_vec(),
        Spelling::Continued => Vec::new(),
    };
    let mut reason = "no tokenizer of GGUF files cuts texts as this one does".to_string();
    for candidate in candidates {
        match source.prove(&candidate) {
            Ok(notes) => return Ok(source.told(&candidate, &notes).to_string()),
            Err(error) => reason = error.message,
        }
    }
    Err(Error::unsupported(format!("tokenizer.json: {reason}")))
}

/// A way of saying the vocabulary.
#[derive(Clone)]
struct Candidate {
    model: &'static str,
    pre: &'static str,
    add_space_prefix: Option<bool>,
}

/// Candidates for a text whose spaces are marks: SentencePiece's, which merges what has the best score, with and
/// without a space before the text; and Gemma 4's, which has merges.
const SPACE_MARKS: [Candidate; 3] = [
    Candidate { model: "llama", pre: "default", add_space_prefix: Some(true) },
    Candidate { model: "llama", pre: "default", add_space_prefix: Some(false) },
    Candidate { model: "gemma4", pre: "gemma4", add_space_prefix: Some(false) },
];

struct Source {
    reader: Tokenizer,
    /// Of SentencePiece's kind.
    scores: Vec<f32>,
    merges: Vec<String>,
    tokens: Vec<String>,
    types: Vec<i32>,
    unknown: Option<TokenId>,
}

impl Source {
    fn read(json: &[u8], config: &TokenizerConfig) -> Result<Source> {
        let reader = Tokenizer::from_json(json, config)?;
        let parsed: Json = serde_json::from_slice(json).map_err(wrong)?;
        let model = &parsed["model"];
        let pairs = merges_of(model)?;
        let unknown = model["unk_token"].as_str().and_then(|text| reader.token_of(text.as_bytes()));
        let around = [(&reader.prefix, reader.bos, "before"), (&reader.suffix, reader.eos, "after")];
        for (ids, own, place) in around {
            if ids.len() > 1 || ids.iter().any(|&id| Some(id) != own) {
                return Err(Error::unsupported(format!(
                    "tokenizer.json: its post-processor adds tokens {ids:?} {place} a text, and GGUF files can only \
                     name one"
                )));
            }
        }
        let (tokens, types) = tokens_of(&reader, unknown)?;
        let scores = scores_of(&reader, &pairs);
        let merges = pairs.iter().map(joined).collect::<Result<_>>()?;
        Ok(Source { reader, scores, merges, tokens, types, unknown })
    }

    fn engine(&self) -> &HuggingFace {
        match &self.reader.engine {
            Engine::HuggingFace(engine) => engine,
            Engine::Native { .. } => unreachable!("the reader is of a tokenizer.json"),
        }
    }

    /// Candidates for a text whose bytes are letters: the pre-tokenizers that cut the probe alike.
    fn byte_level(&self) -> Result<Vec<Candidate>> {
        let wanted = self.engine().cuts(PROBE)?;
        let mut candidates = Vec::new();
        for row in TABLE.iter().filter(|row| row.alphabet == Alphabet::Bytes) {
            if cuts_of(row)? == wanted {
                candidates.push(Candidate { model: "gpt2", pre: name_of(row), add_space_prefix: None });
            }
        }
        Ok(candidates)
    }

    /// The scores and the merges that a candidate's files have.
    fn tables(&self, candidate: &Candidate) -> (Cow<'_, [f32]>, &[String]) {
        match candidate.model {
            "llama" => (Cow::Borrowed(&self.scores), &[]),
            "gemma4" => (Cow::Owned(vec![0.0; self.tokens.len()]), &self.merges),
            _ => (Cow::Borrowed(&[]), &self.merges),
        }
    }

    fn read_again(&self, candidate: &Candidate) -> Result<Tokenizer> {
        let (scores, merges) = self.tables(candidate);
        Tokenizer::from_gguf(&GgufVocabulary {
            model: candidate.model,
            pre: candidate.pre,
            tokens: self.tokens.iter().map(|text| text.as_bytes()).collect(),
            scores: &scores,
            token_types: &self.types,
            merges: merges.iter().map(|text| text.as_bytes()).collect(),
            bos: self.reader.bos,
            eos: self.reader.eos,
            unknown: self.unknown,
            add_bos: Some(self.reader.adds_bos()),
            add_eos: Some(!self.reader.suffix.is_empty()),
            add_space_prefix: candidate.add_space_prefix,
            ..GgufVocabulary::default()
        })
    }

    /// Returns notes for a person where both forms read the same ids. Errors: what they read apart.
    fn prove(&self, candidate: &Candidate) -> Result<Vec<String>> {
        let again = self.read_again(candidate)?;
        let mut notes = Vec::new();
        let mut is_normal = self.compare_normal(&again, &self.known_part(PROBE))?;
        let mut controls = Vec::new();
        for id in self.reader.vocabulary.ids().filter(|&id| self.reader.vocabulary.kind(id) == Kind::Normal) {
            if again.vocabulary.kind(id) != Kind::Normal {
                controls.push(String::from_utf8_lossy(again.vocabulary.bytes(id)));
            } else if let Ok(text) = std::str::from_utf8(&self.reader.token_bytes(id, true)) {
                is_normal &= self.compare_normal(&again, text)?;
            }
        }
        if !controls.is_empty() {
            notes.push(format!(
                "readers of GGUF files take {} for marks, which are ordinary text to this tokenizer",
                controls.join(", ")
            ));
        }
        if !is_normal {
            notes.push(
                "GGUF files cannot say the tokenizer's normal form of Unicode: their readers take texts as they are"
                    .to_string(),
            );
        }
        let mark = self.reader.vocabulary.ids().find(|&id| self.reader.is_control(id));
        if let Some(mark) = mark.map(|id| String::from_utf8_lossy(self.reader.vocabulary.bytes(id))) {
            if self.compare(&again, &format!("one{mark}two {mark} three")).is_err() {
                notes.push(format!(
                    "readers of GGUF files put a space before a text behind a control token such as {mark}, and this \
                     tokenizer does not, or the other way round"
                ));
            }
        }
        Ok(notes)
    }

    /// What is left of a text without characters that the vocabulary has no tokens for, and which each reader drops in
    /// its own way.
    fn known_part(&self, text: &str) -> String {
        let alphabet = byte_level::alphabet();
        let known = |byte: u8| self.reader.token_of(alphabet[byte as usize].to_string().as_bytes()).is_some();
        match self.reader.spelling {
            Spelling::ByteLevel => {
                text.chars().filter(|c| c.encode_utf8(&mut [0; 4]).bytes().all(known)).collect()
            }
            _ => text.to_string(),
        }
    }

    /// Compares what both read of a text in the normal form of this tokenizer. Returns whether that is the text itself.
    fn compare_normal(&self, again: &Tokenizer, text: &str) -> Result<bool> {
        let normal = match self.reader.spelling {
            Spelling::ByteLevel => self.engine().normal(text)?,
            _ => text.to_string(), // it marks spaces, as readers of GGUF files do
        };
        self.compare(again, &normal)?;
        Ok(normal == text)
    }

    fn compare(&self, again: &Tokenizer, text: &str) -> Result<()> {
        let spans = [Span { text, literal: false }];
        let (own, read) =
            (self.reader.encode(&spans, true, usize::MAX)?, again.encode(&spans, true, usize::MAX)?);
        if own == read {
            return Ok(());
        }
        let at = own.iter().zip(&read).take_while(|(one, other)| one == other).count();
        let shown = |ids: &[TokenId]| ids.iter().skip(at).take(SHOWN).copied().collect::<Vec<_>>();
        let before: Vec<u8> =
            own[..at].iter().flat_map(|&id| self.reader.token_bytes(id, true).into_owned()).collect();
        let before = String::from_utf8_lossy(&before);
        let start = before.char_indices().nth_back(SHOWN - 1).map_or(0, |(at, _)| at);
        Err(Error::unsupported(format!(
            "readers of GGUF files would take another text from it: behind {:?} come tokens {:?}, and not {:?}",
            &before[start..],
            shown(&read),
            shown(&own)
        )))
    }

    fn told(&self, candidate: &Candidate, notes: &[String]) -> Json {
        let (scores, merges) = self.tables(candidate);
        json!({
            "model": candidate.model,
            "pre": candidate.pre,
            "tokens": self.tokens,
            "scores": scores,
            "token_types": self.types,
            "merges": merges,
            "bos": self.reader.bos,
            "eos": self.reader.eos,
            "unknown": self.unknown,
            "add_bos": self.reader.adds_bos(),
            "add_eos": !self.reader.suffix.is_empty(),
            "add_space_prefix": candidate.add_space_prefix,
            "notes": notes,
        })
    }
}

/// Each token's text as GGUF files have it, and its kind's number.
fn tokens_of(reader: &Tokenizer, unknown: Option<TokenId>) -> Result<(Vec<String>, Vec<i32>)> {
    let (mut tokens, mut types) = (Vec::new(), Vec::new());
    for id in reader.vocabulary.ids() {
        let text = String::from_utf8(reader.vocabulary.bytes(id).to_vec()).map_err(wrong)?;
        let kind = reader.vocabulary.kind(id);
        let marks = reader.spelling == Spelling::SpaceMarks;
        tokens.push(match kind {
            Kind::Unused => format!("[PAD{id}]"),
            // Readers look for these in the text as it is, which has spaces.
            Kind::UserDefined if marks => text.replace(super::SPACE_MARK, " "),
            _ => text,
        });
        types.push(match kind {
            _ if marks && Some(id) == unknown => Kind::Unknown as i32,
            kind => kind as i32,
        });
    }
    Ok((tokens, types))
}

/// Reads merges in both of the forms that files have: "left right", and a list of both.
fn merges_of(model: &Json) -> Result<Vec<(String, String)>> {
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") || !model["merges"].is_array() {
        return Err(Error::unsupported(format!(
            "tokenizer.json: expected a model of type BPE with merges, got {}",
            model["type"].as_str().unwrap_or("none")
        )));
    }
    let pair = |merge: &Json| match merge {
        Json::String(text) => text.split_once(' ').map(|(left, right)| (left.to_string(), right.to_string())),
        merge => Some((merge[0].as_str()?.to_string(), merge[1].as_str()?.to_string())),
    };
    let merges = model["merges"].as_array().into_iter().flatten();
    merges
        .enumerate()
        .map(|(rank, merge)| pair(merge).ok_or_else(|| wrong(format!("merges[{rank}]: expected two parts"))))
        .collect()
}

/// The earlier a token is merged, the higher is its score; single characters are never merged into.
fn scores_of(reader: &Tokenizer, merges: &[(String, String)]) -> Vec<f32> {
    let mut scores = vec![-(merges.len() as f32); reader.len()];
    for (rank, (left, right)) in merges.iter().enumerate().rev() {
        if let Some(id) = reader.token_of(format!("{left}{right}").as_bytes()) {
            scores[id as usize] = -(rank as f32);
        }
    }
    scores
}

fn joined((left, right): &(String, String)) -> Result<String> {
    if left.contains(' ') || right.contains(' ') {
        return Err(Error::unsupported(format!(
            "tokenizer.json: the merge of {left:?} and {right:?} has a space, and GGUF files part them by one"
        )));
    }
    Ok(format!("{left} {right}"))
}

/// The name by which other readers of GGUF files know a row, too.
fn name_of(row: &PreTokenizer) -> &'static str {
    row.names.iter().find(|name| !name.is_empty()).copied().unwrap_or_default()
}

/// Where a row of the table cuts the probe: ends in bytes.
fn cuts_of(row: &PreTokenizer) -> Result<Vec<usize>> {
    let (mut cuts, mut end) = (Vec::new(), 0);
    Splitter::new(row.passes)?.split(PROBE, |word| {
        end += word.len();
        cuts.push(end);
        true
    });
    Ok(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte-level, with a merge or two; `pre` is the pre-tokenizer's JSON.
    fn byte_level(pre: &str, ignore_merges: bool) -> Vec<u8> {
        let mut vocabulary = serde_json::Map::new();
        for letter in byte_level::alphabet() {
            vocabulary.insert(letter.to_string(), json!(vocabulary.len()));
        }
        for text in ["he", "hel", "12", "123", "ld", "Ġw"] {
            vocabulary.insert(text.to_string(), json!(vocabulary.len()));
        }
        let pre: Json = serde_json::from_str(pre).unwrap();
        json!({
            "version": "1.0",
            "added_tokens": [
                {"id": 262, "content": "<|end|>", "special": true, "single_word": false, "lstrip": false,
                 "rstrip": false, "normalized": false},
                {"id": 263, "content": "<tool>", "special": false, "single_word": false, "lstrip": false,
                 "rstrip": false, "normalized": false}
            ],
            "normalizer": null,
            "pre_tokenizer": pre,
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                      "ignore_merges": ignore_merges, "vocab": vocabulary,
                      "merges": ["h e", "he l", "1 2", "12 3", "l d", "Ġ w"]}
        })
        .to_string()
        .into_bytes()
    }

    const GPT2: &str =
        r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;
    const SMOLLM: &str = r#"{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}"#;

    fn form_of(json: &[u8], size: usize) -> Result<Json> {
        let config = TokenizerConfig { eos: "<|end|>", size, ..TokenizerConfig::default() };
        of_json(json, &config).map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn no_two_rows_cut_the_probe_alike() {
        let mut alike = Vec::new();
        for (i, one) in TABLE.iter().enumerate() {
            for other in &TABLE[i + 1..] {
                let same_passes = format!("{:?}", one.passes) == format!("{:?}", other.passes);
                if same_passes != (cuts_of(one).unwrap() == cuts_of(other).unwrap()) {
                    alike.push((one.names, other.names));
                }
            }
        }
        // Ling's "\\s*[\r\n]" is Qwen's "\\s*[\r\n]+": what is repeated is white space.
        assert!(matches!(alike[..], [(["qwen2", ..], ["bailingmoe", ..])]), "{alike:?}");
    }

    #[test]
    fn the_pre_tokenizer_is_found_by_what_it_cuts() {
        for (pre, name) in [(GPT2, "gpt-2"), (SMOLLM, "smollm")] {
            let form = form_of(&byte_level(pre, false), 0).unwrap();
            assert_eq!((form["model"].as_str(), form["pre"].as_str()), (Some("gpt2"), Some(name)));
            assert_eq!(form["merges"][5], "Ġ w");
            assert_eq!(form["eos"], 262);
            assert_eq!(form["token_types"][262], 3);
            assert_eq!(form["token_types"][263], 4);
            assert_eq!(form["notes"], json!([]));
        }
    }

    #[test]
    fn ids_that_no_token_has_are_padding() {
        let form = form_of(&byte_level(GPT2, false), 266).unwrap();
        assert_eq!((&form["tokens"][265], &form["token_types"][265]), (&json!("[PAD265]"), &json!(5)));
    }

    #[test]
    fn a_pre_tokenizer_that_no_name_stands_for_is_refused() {
        let pre = r#"{"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}"#;
        let error = form_of(&byte_level(pre, false), 0).unwrap_err();
        assert!(error.message.contains("no tokenizer of GGUF files cuts"), "{}", error.message);
    }

    #[test]
    fn words_that_are_taken_whole_are_not_said_by_merges() {
        // "ab" is a token that no merge leads to.
        let json = String::from_utf8(byte_level(GPT2, true)).unwrap();
        let json = json.replace(r#""Ġw":261"#, r#""Ġw":261,"ab":262"#);
        let error = form_of(json.as_bytes(), 0).unwrap_err();
        assert!(error.message.contains("would take another text"), "{}", error.message);
    }

    fn space_marks(model_prefix: &str) -> Vec<u8> {
        let mut vocabulary = serde_json::Map::new();
        for text in ["<unk>", "<s>", "</s>"] {
            vocabulary.insert(text.to_string(), json!(vocabulary.len()));
        }
        for byte in 0..256 {
            vocabulary.insert(format!("<0x{byte:02X}>"), json!(vocabulary.len()));
        }
        for text in ["▁", "h", "e", "l", "o", "w", "r", "d", "he", "▁w", "ll", "hell", "or", "▁wor", "ld"]
        {
            vocabulary.insert(text.to_string(), json!(vocabulary.len()));
        }
        let special = |id: usize, text: &str| {
            json!({"id": id, "content": text, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        };
        let normalizer: Json = serde_json::from_str(model_prefix).unwrap();
        json!({
            "version": "1.0",
            "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
            "normalizer": normalizer,
            "pre_tokenizer": null,
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}]},
            "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary,
                      "merges": [["h", "e"], ["▁", "w"], ["l", "l"], ["he", "ll"], ["o", "r"], ["▁w", "or"],
                                 ["l", "d"]]}
        })
        .to_string()
        .into_bytes()
    }

    const MARKS: &str = r#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#;
    const MARKS_BEFORE: &str = r#"{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}"#;

    #[test]
    fn merges_become_scores() {
        for (normalizer, prefix) in [(MARKS, false), (MARKS_BEFORE, true)] {
            let config = TokenizerConfig {
                bos: "<s>",
                eos: "</s>",
                add_bos: Some(true),
                ..TokenizerConfig::default()
            };
            let form: Json =
                serde_json::from_str(&of_json(&space_marks(normalizer), &config).unwrap()).unwrap();
            assert_eq!(form["model"], "llama");
            assert_eq!(form["add_space_prefix"], prefix);
            assert_eq!((&form["unknown"], &form["token_types"][0]), (&json!(0), &json!(2)));
            assert_eq!((&form["add_bos"], &form["token_types"][3]), (&json!(true), &json!(6)));
            let score = |id: usize| form["scores"][id].as_f64().unwrap();
            assert!(score(267) > score(268) && score(268) > score(270), "he, ▁w, hell");
        }
    }
}
