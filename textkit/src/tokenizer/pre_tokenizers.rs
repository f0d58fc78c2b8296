//! The pre-tokenizers by the names of `tokenizer.ggml.pre`. The expressions are those of the models' own
//! tokenizer.json files.

use super::splitter::Pass::{self, DigitGroups, Isolate, Words, WordsCascade};

/// How the text enters byte-pair encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Each byte is one character of GPT-2's alphabet.
    Bytes,
    /// Characters as they are, spaces as U+2581, unknown ones as byte tokens.
    Characters,
    /// The same, and each U+2581 starts a word.
    Metaspace,
}

pub struct PreTokenizer {
    pub names: &'static [&'static str],
    pub passes: &'static [Pass],
    pub alphabet: Alphabet,
    /// A word that is a token is taken whole.
    pub ignore_merges: bool,
    /// BOS comes first unless the file says otherwise.
    pub add_bos: bool,
}

const PLAIN: PreTokenizer =
    PreTokenizer { names: &[], passes: &[], alphabet: Alphabet::Bytes, ignore_merges: false, add_bos: false };

macro_rules! contraction {
    () => {
        r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
    };
}

/// GPT-2's expression.
const GPT2: &str = r"'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+";

/// The expression of cl100k and its kin, by how many digits stick together.
macro_rules! cl100k {
    ($digits:literal) => {
        concat!(
            contraction!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        )
    };
}

/// The expression of o200k and its kin: words end where a capital follows a small letter.
macro_rules! o200k {
    ($letters_and:literal, $contraction:expr, $digits:literal, $after_symbols:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}",
            $letters_and,
            r"]*",
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}",
            $letters_and,
            r"]+",
            $contraction,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}",
            $letters_and,
            r"]+",
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}",
            $letters_and,
            r"]*",
            $contraction,
            "|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+",
            $after_symbols,
            r"|\s*[\r\n]+"
        )
    };
}
macro_rules! optional_contraction {
    () => {
        concat!("(?:", contraction!(), ")?")
    };
}

macro_rules! ascii_symbol_word {
    () => {
        r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
    };
}
/// DeepSeek V3's last pass.
const DEEPSEEK3_WORDS: &str = concat!(ascii_symbol_word!(), r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+");
const CHINESE_AND_KANA: &str = r"[\u{4e00}-\u{9fa5}\u{3040}-\u{309f}\u{30a0}-\u{30ff}]+";
/// DeepSeek's class of Chinese characters, whose ends also take in Hangul and many more scripts.
const DEEPSEEK_CJK: &str = r"[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+";
/// Letters that have case, in the Unicode of the DeepSeek LLM tokenizer: later additions are left out.
const DEEPSEEK_CASED: &str = concat!(
    r"\s?[\p{Lu}\p{Ll}\p{Lt}--[\u{560}\u{588}\u{10c7}-\u{10ff}\u{1c80}-\u{1c8f}\u{2d00}-\u{2d2d}",
    r"\u{a790}-\u{a7ff}\u{ab30}-\u{ab6f}\u{10570}-\u{105bf}\u{10d40}-\u{10d8f}\u{16e40}-\u{16eff}",
    r"\u{1d400}-\u{1d7cb}\u{1df00}-\u{1df2f}]]+"
);
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
const LINES: Pass = Isolate(r"[^\n]+|\n+");

pub const TABLE: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["", "default"],
        passes: &[Isolate(r"[\p{P}$+<=>^~|]+"), Words(GPT2), Isolate(r"\p{N}+"), Isolate("[0-9][0-9][0-9]")],
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
        ],
        passes: &[Words(GPT2)],
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "smollm",
            "starcoder",
            "refact",
            "command-r",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        passes: &[Isolate(r"\p{N}"), Words(GPT2)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["falcon"],
        passes: &[Isolate(r"[\p{P}$+<=>^~|`]+"), Words(GPT2), Isolate("[0-9][0-9][0-9]")],
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        passes: &[Words(cl100k!(r"\p{N}{1,3}"))],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe"],
        passes: &[Words(cl100k!(r"\p{N}{1,3}"))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["glm4", "glm5"],
        passes: &[Words(cl100k!(r"\p{N}{1,3}"))],
        ignore_merges: true,
        ..PLAIN
    },
    PreTokenizer { names: &["jais-2"], passes: &[WordsCascade(cl100k!(r"\p{N}{1,3}"))], ..PLAIN },
    PreTokenizer {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        passes: &[Words(cl100k!(r"\p{N}"))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen35"],
        passes: &[Words(concat!(
            contraction!(),
            r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
        ))],
        ..PLAIN
    },
    PreTokenizer { names: &["laguna"], passes: &[LINES, Words(cl100k!(r"\p{N}"))], ..PLAIN },
    PreTokenizer {
        // No contractions, so that Turkish suffixes stay with their apostrophe.
        names: &["ufakzeka"],
        passes: &[Words(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+")],
        ..PLAIN
    },
    PreTokenizer {
        names: &["minicpm5"],
        passes: &[Isolate(r"\p{N}{1,3}"), Words(cl100k!(r"\p{N}+"))],
        ignore_merges: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["seed-coder"],
        passes: &[Words(concat!(
            contraction!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+"
        ))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["bailingmoe", "bailingmoe2", "llada-moe"],
        passes: &[Words(concat!(
            contraction!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]"
        ))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["exaone-moe"],
        passes: &[Words(concat!(
            contraction!(),
            r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]"
        ))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        passes: &[Words(o200k!("", optional_contraction!(), r"\p{N}{1,3}", r"[\r\n/]*"))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["granite-embed-multi-97m"],
        passes: &[Words(o200k!("", optional_contraction!(), r"\p{N}{1,3}", r"[\r\n/]*"))],
        ignore_merges: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["tekken"],
        passes: &[Words(o200k!("", "", r"\p{N}", r"[\r\n/]*"))],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["tiny_aya", "cohere2moe"],
        passes: &[
            DigitGroups(r"\p{Nd}+"),
            Words(o200k!("", optional_contraction!(), r"\p{N}{1,3}", r"[\r\n/]*")),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["kimi-k2"],
        passes: &[Words(concat!(
            r"\p{Han}+|",
            o200k!(r"&&[^\p{Han}]", optional_contraction!(), r"\p{N}{1,3}", r"[\r\n]*")
        ))],
        ..PLAIN
    },
    PreTokenizer {
        names: &["youtu"],
        passes: &[
            Isolate(
                r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[\u{4e00}-\u{9fa5}\u{3040}-\u{30ff}]+",
            ),
            Words(o200k!("", optional_contraction!(), r"\p{N}", r"[\r\n/]*")),
        ],
        ignore_merges: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-llm"],
        passes: &[
            Isolate(r"[\r\n]"),
            Isolate(DEEPSEEK_CASED),
            Isolate(r"\s?[!-/:-~！-／：-～‘-‟\u{3000}-。]+"),
            Isolate(r"\s+$"),
            Isolate(DEEPSEEK_CJK),
            Isolate(r"\p{N}+"),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        passes: &[
            Isolate(r"[\r\n]"),
            Isolate(r"\s?\p{L}+"),
            Isolate(r"\s?\p{P}+"),
            Isolate(DEEPSEEK_CJK),
            Isolate(r"\p{N}"),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        passes: &[Isolate(r"\p{N}{1,3}"), Isolate(CHINESE_AND_KANA), Words(DEEPSEEK3_WORDS)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["spark2_5"],
        passes: &[
            Isolate(r"\p{N}{1,3}"),
            Isolate(CHINESE_AND_KANA),
            Words(concat!(ascii_symbol_word!(), r"| ?[\p{P}\p{S}]+|[\r\n]")),
            Isolate(r"\p{N}"),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["afmoe"],
        passes: &[
            DigitGroups(r"\p{N}+"),
            Isolate(concat!(
                r"[\u{4e00}-\u{9fff}\u{3400}-\u{4dbf}\u{f900}-\u{faff}\u{3040}-\u{30ff}\u{ff65}-\u{ff9f}",
                r"\u{2f00}-\u{2fdf}\u{e40}-\u{eff}\u{1780}-\u{17ff}\u{1000}-\u{109f}\u{aa60}-\u{aa7f}",
                r"\u{a9e0}-\u{a9ff}\u{ac00}-\u{d7af}\u{1100}-\u{11ff}]+"
            )),
            Words(DEEPSEEK3_WORDS),
        ],
        ..PLAIN
    },
    PreTokenizer { names: &["poro-chat", "bloom", "gpt3-finnish"], passes: &[Isolate(BLOOM)], ..PLAIN },
    PreTokenizer { names: &["viking"], passes: &[Isolate(BLOOM), Isolate(r"\p{N}")], ..PLAIN },
    PreTokenizer {
        names: &["chameleon"],
        passes: &[
            Isolate("<sentinel:[0-9]+>"),
            Isolate("IMGIMG[A-I]{1,4}Z"),
            Isolate(r"[\t\n]|    |  "),
            Isolate(r"\p{N}"),
            Isolate(r"[\p{P}!-/:-@\[-`{-~]"),
            Words(GPT2),
        ],
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer { names: &["superbpe"], passes: &[Isolate(r"\p{N}+"), DigitGroups(r"\p{Nd}+")], ..PLAIN },
    PreTokenizer {
        names: &["gemma4", "granite-embed-multi-311m"],
        passes: &[LINES],
        alphabet: Alphabet::Characters,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer { names: &["sarvam-moe"], passes: &[LINES], alphabet: Alphabet::Characters, ..PLAIN },
    PreTokenizer { names: &["mmbert"], passes: &[LINES], alphabet: Alphabet::Metaspace, ..PLAIN },
];

/// Returns the pre-tokenizer of that name.
pub fn find(name: &str) -> Option<&'static PreTokenizer> {
    TABLE.iter().find(|entry| entry.names.contains(&name))
}
