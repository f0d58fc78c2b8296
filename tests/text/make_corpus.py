#!/usr/bin/env python3
"""Writes corpus.txt: the texts that the tokenizer's goldens are made of, the same on every run.

One text a line; backslash, newline, carriage return and NUL are written \\\\, \\n, \\r and \\0."""

import pathlib
import random

HERE = pathlib.Path(__file__).parent

SCRIPTS = {
    "latin": [
        "The quick brown fox jumps over the lazy dog.",
        "Größenwahn & Übermut fließen über Straßen.",
        "L'été dernier, j'ai déjà mangé vingt-huit crêpes.",
        "El niño comió piñata; ¿qué pasó después? ¡Olé!",
        "Příliš žluťoučký kůň úpěl ďábelské ódy.",
        "Zażółć gęślą jaźń, wsiąść do łódki.",
        "İstanbul'da ığdır ve şişli çok güzel.",
        "Tiếng Việt có nhiều dấu: ạ ả ấ ầ ẩ ẫ ậ ắ ằ.",
        "Ég get étið gler án þess að meiða mig.",
        "Dvylika ąžuolų žydėjo.",
    ],
    "cyrillic": [
        "Съешь ещё этих мягких французских булок, да выпей чаю.",
        "Київ — столиця України, її ґрунти родючі.",
        "Љубав и њива у Ђаковици.",
    ],
    "greek": ["Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.", "Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν."],
    "hebrew": ["דג סקרן שט בים מאוכזב ולפתע מצא חברה.", "בְּרֵאשִׁית בָּרָא אֱלֹהִים"],
    "arabic": [
        "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
        "اَلْعَرَبِيَّةُ لُغَةٌ جَمِيلَةٌ، أليس كذلك؟",
        "یک متن فارسی با نیم‌فاصله می‌نویسم ۱۲۳۴۵",
    ],
    "devanagari": ["ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश", "क्षत्रिय ज्ञान श्री १२३४५ ॐ।"],
    "bengali": ["আমি বাংলায় গান গাই, আমি বাংলার গান গাই।"],
    "gurmukhi": ["ਸਤ ਸ੍ਰੀ ਅਕਾਲ, ਤੁਸੀਂ ਕਿਵੇਂ ਹੋ?"],
    "gujarati": ["નમસ્તે, તમે કેમ છો? ૧૨૩"],
    "tamil": ["தமிழ் மொழி மிகவும் பழமையானது.", "யாமறிந்த மொழிகளிலே"],
    "telugu": ["తెలుగు భాష చాలా అందమైనది."],
    "kannada": ["ಕನ್ನಡ ಭಾಷೆ ಸುಂದರವಾಗಿದೆ."],
    "malayalam": ["മലയാളം ഒരു ദ്രാവിഡ ഭാഷയാണ്."],
    "sinhala": ["සිංහල භාෂාව ලස්සනයි."],
    "thai": ["เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "ราคา ๑,๒๓๔ บาทครับ"],
    "lao": ["ສະບາຍດີ ປະເທດລາວ"],
    "khmer": ["ភាសាខ្មែរពិរោះណាស់"],
    "myanmar": ["မြန်မာဘာသာစကားသည် လှပသည်။"],
    "tibetan": ["བོད་སྐད་ནི་སྐད་རིགས་ཤིག་ཡིན།"],
    "georgian": ["ქართული ენა ძალიან ლამაზია.", "ᲥᲐᲠᲗᲣᲚᲘ"],
    "armenian": ["Հայերենը գեղեցիկ լեզու է։"],
    "ethiopic": ["ሰላም ዓለም፣ እንዴት ነህ?"],
    "hangul": ["키스의 고유조건은 입술끼리 만나야 한다.", "안녕하세요! 한국어 텍스트 123개."],
    "jamo": ["ᄒ\u1161ᆫ글 조합"],
    "han": [
        "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。",
        "我能吞下玻璃而不伤身体。",
        "2024年3月15日，价格上涨了12.5％。",
        "𠀀𠜎𠝹𪚥 CJK 扩展",
    ],
    "kana": [
        "いろはにほへと ちりぬるを",
        "コンピューターでカタカナを書く。ﾊﾝｶｸ",
        "私はガラスを食べられます。それは私を傷つけません。",
    ],
    "cherokee": ["ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ"],
    "mongolian": ["ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ"],
    "syllabics": ["ᐃᓄᒃᑎᑐᑦ"],
    "runic": ["ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾ"],
    "gothic": ["𐌼𐌰𐌲 𐌲𐌻𐌴𐍃"],
    "math": ["∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β)", "∑_{i=0}^{n} i² ≈ ∫₀ⁿ x² dx ≠ ½·n³", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝓼𝓬𝓻𝓲𝓹𝓽 𝟘𝟙𝟚"],
    "symbols": [
        "™®©℠ №§¶†‡•‣⁂ €£¥₹₿ ←↑→↓↔ ☐☑☒ ♠♥♦♣ ⚠",
        "┌─┬─┐│ │ │├─┼─┤└─┴─┘ ▁▂▃▄▅▆▇█ ░▒▓",
        "①②③ Ⅷ ⅸ ½ ⅓ ² ³ ⁴ ₅ ㉑ ㊿",
    ],
    "braille": ["⠓⠑⠇⠇⠕ ⠺⠕⠗⠇⠙"],
    "full_width": ["ＦＵＬＬ　ＷＩＤＴＨ　ｔｅｘｔ１２３！"],
}

EMOJI = [
    "😀",
    "😂🤣",
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "🇩🇪🇫🇷🇯🇵",
    "❤️‍🔥",
    "🧑🏿‍🚀",
    "👁️‍🗨️",
    "1️⃣2️⃣#️⃣",
    "🤷🏻‍♀️",
    "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "☕️🍰",
    "🫠🫡🪿",
    "⚡⚙︎",
    "🐈‍⬛",
    "🕴🏼‍♂️",
]

CODE = [
    'def f(x: int) -> str:\n    """Doc."""\n    return f"{x!r:>10}" if x else None  # noqa\n',
    "for i in range(10):\n\tif i % 2 == 0:\n\t\tprint(i, end=' ')\n\telse:\n\t\tcontinue\n",
    "#include <vector>\ntemplate <typename T>\nstd::vector<T> map(const std::vector<T>& v) { return v; }\n",
    'int main(void) {\n  printf("%d\\n", 0x1F & ~0b11);\n  return 0;\n}\n',
    (
        'fn main() -> Result<(), Box<dyn Error>> {\n    let x: &\'static str = r#"raw"#;\n    '
        'println!("{x:?}");\n    Ok(())\n}\n'
    ),
    (
        'package main\n\nimport "fmt"\n\nfunc main() {\n\tch := make(chan<- int, 3)\n\tdefer close(ch)\n'
        "\tfmt.Println(<-ch)\n}\n"
    ),
    "const f = async ({ a, b = 1, ...rest }) => `${a}${b}` ?? (await rest?.x?.[0]);\n",
    "interface Foo<T extends object = {}> { readonly [key: string]: T | undefined; }\n",
    (
        "public final class A<T> implements Comparable<A<T>> {\n    @Override public int compareTo(A<T> o) "
        "{ return -1; }\n}\n"
    ),
    (
        "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE u.name LIKE "
        "'%O''Brien%' GROUP BY 1 HAVING n >= 10;\n"
    ),
    (
        '<!DOCTYPE html>\n<html lang="en"><body class=\'a b\'>\n  <p '
        'style="color:#ff00FF">Hi&nbsp;there</p><br/>\n</body></html>\n'
    ),
    '.grid > li:nth-child(2n+1)::before { content: "\\201C"; margin: -1.5em auto 0 !important; }\n',
    (
        '#!/bin/bash\nset -euo pipefail\nfor f in "$@"; do [[ -f $f ]] && sed -i \'s/foo/bar/g\' '
        '"${f%.txt}" || exit 1; done\n'
    ),
    '{\n  "name": "x",\n  "list": [1, -2.5e+10, true, null],\n  "nested": {"a\\u00e9": "\\"q\\""}\n}\n',
    "key: value\nlist:\n  - a\n  - {b: 1, c: [x, y]}\nmulti: |\n  line 1\n  line 2\n",
    '[package]\nname = "x"\nversion = \'1.2.3-rc.1\'\n\n[[bin]]\npath = "a\\\\b"\n',
    "main :: IO ()\nmain = mapM_ (putStrLn . show) $ filter ((== 0) . (`mod` 2)) [1..10]\n",
    "(defun fact (n) (if (<= n 1) 1 (* n (fact (1- n)))))\n",
    "let rec fold f acc = function [] -> acc | x :: xs -> fold f (f acc x) xs;;\n",
    "defmodule M do\n  def f(%{a: x} = m) when x > 0, do: m |> Map.put(:b, ~s(y))\nend\n",
    "class Foo < Bar\n  attr_accessor :x\n  def call(&blk) = @x&.map { |a| a ** 2 }.tap(&blk)\nend\n",
    "<?php echo $a['k'] ?? \"x{$b->c()}\"; // done\n?>\n",
    "fun main() = listOf(1, 2).map { it * 2 }.forEach(::println)\n",
    'guard let x = y as? Int else { return }\nprint("\\(x) #\\(#line)")\n',
    "x <- c(1, 2, NA); y <- x[!is.na(x)] %>% mean(); `my var` <- TRUE\n",
    "A = [1 2; 3 4]'; b = A \\ [5; 6]; plot(x, sin(x), 'r--');\n",
    "mov eax, dword ptr [rbp-0x14]\n\tadd\trax, QWORD PTR .LC0[rip]\n.L2:\n\tjne .L2\n",
    "\\begin{equation}\n  \\frac{\\partial f}{\\partial x} = \\sum_{i=1}^{n} x_i^2 % note\n\\end{equation}\n",
    "diff --git a/x b/x\n@@ -1,3 +1,4 @@\n-old line\n+new line\n unchanged\n",
    "FROM debian:12\nRUN apt-get update && apt-get install -y \\\n    curl \\\n && rm -rf /var/lib/apt/lists/*\n",
    "CREATE OR REPLACE FUNCTION f() RETURNS trigger AS $$ BEGIN NEW.x := 1; RETURN NEW; END; $$ LANGUAGE plpgsql;\n",
    "all: $(OBJS)\n\t$(CC) -o $@ $^ $(LDFLAGS)\n\n.PHONY: clean\n",
    "import Mathlib\ntheorem foo (a b : ℕ) (h : a ≤ b) : a < b + 1 := Nat.lt_succ_of_le h\n",
    "pub const Foo = struct { x: u32 = 0, pub fn init() !@This() { return .{}; } };\n",
    "if (a &&!b||c!=d) {x+=y--; z=a?b:c; p->q.r[s]=~t; u<<=2; v>>>=3; w**=4;}",
    "^(?:(?:25[0-5]|2[0-4]\\d|[01]?\\d?\\d)(?:\\.(?!$)|$)){4}$",
    "C:\\Users\\Öz\\a b\\file.tar.gz /usr/local/lib/x86_64-linux-gnu/libfoo.so.1.2.3",
    "https://user:pa%20ss@example.com:8080/a/b;c=d?q=1&r=%E2%82%AC#frag-ment_1",
    (
        'Traceback (most recent call last):\n  File "<stdin>", line 1, in <module>\nZeroDivisionError: '
        "division by zero\n"
    ),
    (
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0Z3VS5JJcds3xfn/ygWyF8Pb\n-----END CERTIFICATE-----\n"
    ),
    "0xDEADBEEF 0b1010 0o777 1_000_000 3.14e-10 .5 5. 1e9 NaN -inf +1 1/2 10% 1:30 v1.2.3 #42",
]

WORDS = (
    "it's don't I'll you're we've I'd I'm 'tis rock'n'roll O'Neill's DON'T IT'S I'LL We'Re he’s "
    "l’homme ’s 's 'll 're 'x ''s s' "
    "camelCaseWord snake_case_word SCREAMING_CASE kebab-case HTTPServer iPhone15 GPT4o x86_64 C++20 C# "
    "F# .NET @user #tag $HOME %PATH% "
    "supercalifragilisticexpialidocious antidisestablishmentarianism "
    "Donaudampfschifffahrtsgesellschaft aaaaaaaaaaaaaaaa zzzzzzzzzzzzzzzzzzzzzzz "
    "e.g. i.e. U.S.A. Mr. etc... wait… what?! no!!! ((nested)) [brackets] {braces} <angle> «quotes» "
    "“curly” ‘single’ „low“ - – — ‐ ‑ − _ __ ___ * ** *** ~ ~~ ` ``` | || \\ / // "
    "naïve café résumé Ångström cafe\u0301 A\u030angstrom ﬁne ﬂow ǅ ŉ ſ K ß ẞ ı İ"
).split(" ")
SPACES = [
    " ",
    "  ",
    "   ",
    "    ",
    "     ",
    "        ",
    "\t",
    "\t\t",
    " \t",
    "\t ",
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    "\r",
    "\r\n\r\n",
    " \n",
    "\n ",
    "  \n  ",
    "\n\t",
    "\u00a0",
    "\u2003",
    "\u3000",
    "\u200b",
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x85",
    "\u1680",
    "\u202f",
    "\ufeff",
    " \u00a0 ",
    "\u3000\u3000",
    "\n \n \n",
    "\t\n\t\n",
    " " * 17,
    " " * 40,
    "\n" * 9,
    "\n" * 40,
    "\t" * 12,
]
SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<jupyter_code>",
    "<empty_output>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_call>",
    "</tool_call>",
    "<|vision_start|>",
    "<|image_pad|>",
    "<|box_end|>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
    "<mask>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<unused0>",
    "<unused42>",
    "[multimodal]",
    "<start_of_image>",
    "<table>",
    "</h1>",
    "<strong>",
    "<i>",
    "</s>",
    "<s>",
    "<0x0A>",
    "<0x41>",
    "<|im_start",
    "im_end|>",
    "<|im_<|im_end|>",
    "<|IM_END|>",
    "< |im_end|>",
    "<start_of_turn",
    "<<eos>>",
    "[toxicity=0]",
    "▁",
    "▁▁",
    "a▁b",
    "Ġ",
    "Ċ",
    "Ġhello",
]
ODD = [
    "\x00",
    "\x01\x02\x03",
    "\x1b[31mred\x1b[0m",
    "\x7f",
    "\u200d",
    "\u200c",
    "\u200e\u200f",
    "\u202a\u202e",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "\ue000",
    "\U000f0000",
    "\U0010ffff",
    "\u0378",
    "\U0001f8ff",
    "\u0300",
    "\u20dd",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0321\u034al\u0335g\u0327o\u0322",
    "\u0600",
    "\u06dd",
    "\u180e",
    "\ufff9\ufffb",
    "\u00ad",
    "\u2060",
    "\u034f",
    "\U000e0001",
    "\u0f0b",
    "\u17b4",
]
NUMBERS = [
    "0",
    "7",
    "42",
    "100",
    "1234",
    "12345",
    "123456",
    "1234567890",
    "00012",
    "1,234,567.89",
    "1.000.000,00",
    "3.14159265358979",
    "-17",
    "+49 30 123456",
    "2024-03-15T12:34:56.789Z",
    "192.168.0.1",
    "٣٤٥",
    "१२३",
    "๑๒๓",
    "１２３",
    "½¾",
    "²³",
    "ⅣⅧ",
    "1e-7",
    "0x7fff",
    "99999999999999999999",
    "१.५",
    "5G",
    "1st 2nd 3rd",
    "No.5",
    "$19.99",
    "€5",
    "50%",
    "12:30pm",
    "1/3",
]


def texts():
    sentences = [s for group in SCRIPTS.values() for s in group]
    yield from sentences
    yield from (s.upper() for s in sentences)
    yield from (s.lower().replace(" ", "") for s in sentences)
    yield from (" " + s for s in sentences)
    yield from (s + "\n" for s in sentences)
    for code in CODE:
        yield code
        yield code.replace("    ", "\t").replace("\n", "\r\n")
        yield from (line for line in code.split("\n") if line)
    for pool in (EMOJI, WORDS, SPACES, SPECIALS, ODD, NUMBERS):
        for item in pool:
            yield item
            yield "a" + item + "b"
            yield " " + item + " "
    for space in SPACES:
        yield "x = 1;" + space + "y" + space + "12" + space + "!" + space
    for special in SPECIALS:
        yield special + special
        yield "user typed " + special + ", then more"
        yield special + "\n" + special + " text " + special
    for unit in [
        "a",
        "ab",
        "A",
        " ",
        "\n",
        "\t",
        "-",
        "=",
        "#",
        "!",
        "0",
        "12",
        "é",
        "ж",
        "中",
        "한",
        "あ",
        "ก",
        "😀",
        "👩‍👩‍👧",
        ". ",
        "ha",
        "\r\n",
        " \n",
        "</",
        "((",
        "\u0301",
        "\x00",
        "▁",
    ]:
        for count in (2, 3, 5, 8, 16, 31, 32, 33, 64, 100, 257):
            yield unit * count
    yield from mixed(sentences, 700)


def mixed(sentences, count):
    rng = random.Random(20240229)
    pieces = lambda s: s.split(" ")
    for _ in range(count):
        out = []
        for _ in range(rng.randint(2, 12)):
            pool = rng.choice(
                [
                    EMOJI,
                    WORDS,
                    WORDS,
                    SPACES,
                    SPECIALS,
                    ODD,
                    NUMBERS,
                    [rng.choice(CODE).strip()[:60]],
                    pieces(rng.choice(sentences)),
                    pieces(rng.choice(sentences)),
                ]
            )
            out.append(rng.choice(pool))
            out.append(rng.choice(["", "", " ", " ", " ", rng.choice(SPACES)]))
        yield "".join(out)
    letters = "".join(sentences) + "".join(WORDS) + "".join(SPACES)
    for _ in range(count // 3):
        yield "".join(rng.choice(letters) for _ in range(rng.randint(1, 80)))
    for _ in range(count // 7):
        points = (
            rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0x3000, 0xD800), rng.randrange(0xE000, 0x20000)])
            for _ in range(rng.randint(1, 30))
        )
        yield "".join(map(chr, points))


def escape(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")


def main():
    unique = list(dict.fromkeys(texts()))
    (HERE / "corpus.txt").write_bytes("".join(escape(text) + "\n" for text in unique if text).encode())
    print(f"{len(unique)} texts")


if __name__ == "__main__":
    main()
