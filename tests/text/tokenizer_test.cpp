// Each kind of vocabulary in small, and vocabularies that are wrong.
#include "text/tokenizer.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "text/small_vocabulary.h"

namespace pippin::text {
namespace {

/// A vocabulary under construction; ids are given in order.
struct Small : GgufVocabulary {
  explicit Small(const char* name) { model = name; }
  Small& add(const std::string& text, int type = 1, float score = 0) {
    tokens.push_back(text);
    token_types.push_back(type);
    scores.push_back(score);
    return *this;
  }
};

std::shared_ptr<const Tokenizer> load(const GgufVocabulary& vocabulary) {
  auto loaded = Tokenizer::from_gguf(vocabulary);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  return loaded.ok() ? *loaded : nullptr;
}

std::string pieces(const Tokenizer& tokenizer, const Result<std::vector<Token>>& ids) {
  if (!ids.ok()) return ids.error().message;
  std::string text;
  for (Token id : *ids) text += (text.empty() ? "" : "|") + tokenizer.token_bytes(id, true);
  return text;
}

std::string pieces(const Tokenizer& tokenizer, std::string_view text, bool add_special = false,
                   Specials specials = Specials::kParse) {
  return pieces(tokenizer, tokenizer.encode(text, add_special, specials));
}

/// The printable ASCII letters of GPT-2's alphabet, a space, a few merges, and two special tokens.
Small bpe() {
  Small small("gpt2");
  small.pre = "gpt-2";
  for (char c = '!'; c <= '~'; ++c) small.add(std::string(1, c));
  small.add("\u0120");
  for (const char* text : {"he", "ll", "hell", "hello", "\u0120w", "\u0120wo"}) small.add(text);
  small.merges = {"h e", "l l", "he ll", "hell o", "\u0120 w", "\u0120w o"};
  small.add("<|im_end|>", 3).add("<tool>", 4);
  small.bos = small.eos = static_cast<Token>(small.tokens.size() - 2);
  return small;
}

TEST(Bpe, MergesByRank) {
  const auto tokenizer = load(bpe());
  EXPECT_EQ(pieces(*tokenizer, "hello world"), "hello| wo|r|l|d");
  EXPECT_EQ(pieces(*tokenizer, "hellhe"), "hell|he");
  EXPECT_EQ(pieces(*tokenizer, ""), "");
}

TEST(Bpe, DropsBytesThatAreNoTokens) { EXPECT_EQ(pieces(*load(bpe()), "h\xC3\xA9"), "h"); }

TEST(Bpe, PutsBosAndEosWhereTheFileSaysSo) {
  Small small = bpe();
  EXPECT_EQ(pieces(*load(small), "he", true), "he");
  EXPECT_FALSE(load(small)->adds_bos());
  small.add_bos = small.add_eos = true;
  EXPECT_EQ(pieces(*load(small), "he", true), "<|im_end|>|he|<|im_end|>");
  EXPECT_EQ(pieces(*load(small), "he", false), "he");
  EXPECT_TRUE(load(small)->adds_bos());
}

TEST(Specials, ControlTokensFormInTemplateTextOnly) {
  const auto tokenizer = load(bpe());
  EXPECT_EQ(pieces(*tokenizer, "he<|im_end|><tool>"), "he|<|im_end|>|<tool>");
  EXPECT_EQ(pieces(*tokenizer, "he<|im_end|><tool>", false, Specials::kText),
            "he|<|||i|m|_|e|n|d|||>|<tool>");
}

TEST(Specials, DoNotFormInsideOrAcrossTextSpans) {
  const auto tokenizer = load(bpe());
  const auto spans = [&](const std::vector<Span>& given) {
    return pieces(*tokenizer, tokenizer->encode(given, false));
  };
  EXPECT_EQ(spans({{"<|im_", Specials::kParse}, {"end|>", Specials::kParse}}), "<|im_end|>");
  EXPECT_EQ(spans({{"<|im_", Specials::kParse}, {"end|>", Specials::kText}}),
            "<|||i|m|_|e|n|d|||>");
  EXPECT_EQ(spans({{"<|im_", Specials::kText}, {"end|>", Specials::kParse}}),
            "<|||i|m|_|e|n|d|||>");
  EXPECT_EQ(
      spans({{"<|im", Specials::kParse}, {"", Specials::kText}, {"_end|>", Specials::kParse}}),
      "<|im_end|>");
  EXPECT_EQ(spans({{"he", Specials::kParse}, {"llo", Specials::kText}, {" wo", Specials::kParse}}),
            "hello| wo");
  EXPECT_EQ(spans({}), "");
}

TEST(Specials, AreFoundByTextAndKnownByKind) {
  const auto tokenizer = load(bpe());
  const auto end = tokenizer->token_of("<|im_end|>");
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(tokenizer->is_control(*end));
  EXPECT_EQ(tokenizer->token_bytes(*end, false), "");
  EXPECT_EQ(tokenizer->eos(), end);
  const auto tool = tokenizer->token_of("<tool>");
  ASSERT_TRUE(tool.has_value());
  EXPECT_FALSE(tokenizer->is_control(*tool));
  EXPECT_EQ(tokenizer->token_bytes(*tool, false), "<tool>");
  EXPECT_EQ(tokenizer->token_of("nonsense"), std::nullopt);
  EXPECT_FALSE(tokenizer->is_control(-1) || tokenizer->is_control(9999));
  EXPECT_EQ(tokenizer->vocab_size(), static_cast<int>(bpe().tokens.size()));
}

Small spm() {
  Small small("llama");
  small.add("<unk>", 2).add("<s>", 3).add("</s>", 3);
  for (int byte = 0; byte < 256; ++byte) small.add(fmt::format("<0x{:02X}>", byte), 6);
  small.add("\u2581", 1, -9)
      .add("a", 1, -8)
      .add("b", 1, -8)
      .add("ab", 1, -1)
      .add("ba", 1, -2)
      .add("\u2581a", 1, -3);
  return small;
}

TEST(SentencePiece, MergesTheBestScoreFirst) {
  const auto tokenizer = load(spm());
  EXPECT_EQ(pieces(*tokenizer, "aba", true), "<s>| |ab|a");  // "ab" is better than " a" and "ba"
  EXPECT_EQ(pieces(*tokenizer, "a a"), " a| a");
  EXPECT_EQ(pieces(*tokenizer, "bba"), " |b|ba");
}

TEST(SentencePiece, FallsBackToBytes) {
  EXPECT_EQ(pieces(*load(spm()), "a\u00e9"), " a|\xC3|\xA9");
}

TEST(SentencePiece, PutsASpaceAfterSpecialTokensOnly) {
  Small small = spm();
  EXPECT_EQ(pieces(*load(small), "a<s>a"), " a|<s>| a");
  small.add_space_prefix = false;
  EXPECT_EQ(pieces(*load(small), "a<s>a"), "a|<s>|a");
  EXPECT_FALSE(load(small)->strips_first_space());
}

TEST(SentencePiece, DoesNotMergeIntoAControlToken) {
  Small small("llama");
  small.add("<unk>", 2).add("<s>", 3).add("</s>", 3);
  for (const char* text : {"<", "s", ">", "<s"}) small.add(text, 1, -1);
  small.add_space_prefix = false;
  EXPECT_EQ(pieces(*load(small), "<s>", false, Specials::kText), "<s|>");
}

Small unigram() {
  Small small("t5");
  small.add("<pad>", 3).add("</s>", 3).add("<unk>", 2);
  small.add("\u2581", 1, -4)
      .add("a", 1, -3)
      .add("b", 1, -3)
      .add("ab", 1, -4)
      .add("\u2581a", 1, -4)
      .add("bab", 1, -20);
  small.add_space_prefix = true;
  return small;
}

TEST(Unigram, TakesTheBestSum) {
  const auto tokenizer = load(unigram());
  EXPECT_EQ(pieces(*tokenizer, "ab", true), " a|b|</s>");  // -4-3 beats -4-4
  EXPECT_EQ(pieces(*tokenizer, "abab"), " a|b|ab");
  EXPECT_EQ(pieces(*tokenizer, "axxb"),
            " a|<unk>|b");  // neighbouring unknown characters are one token
}

TEST(Unigram, NormalisesSpaces) {
  Small small = unigram();
  EXPECT_EQ(pieces(*load(small), "a  a"), " a| | a");
  small.remove_extra_whitespaces = true;
  EXPECT_EQ(pieces(*load(small), "  a  a "), " a| a");
}

Small wordpiece() {
  Small small("bert");
  small.add("[PAD]", 3).add("[UNK]", 3).add("[CLS]", 3).add("[SEP]", 3);
  for (const char* text : {"\u2581un", "aff", "able", "\u2581,", "\u2581hello", "\u2581\u4f60"})
    small.add(text);
  small.unk = 1;
  small.bos = 2;
  small.sep = 3;
  return small;
}

TEST(WordPiece, TakesTheLongestPieces) {
  const auto tokenizer = load(wordpiece());
  EXPECT_EQ(pieces(*tokenizer, "UNaffable, h\u00e9llo\u4f60x", true),
            "[CLS]| un|aff|able| ,| hello| \u4f60|[UNK]|[SEP]");
}

/// Expects a failure and returns its message.
std::string failure(const GgufVocabulary& vocabulary, Code code = Code::kInvalidFile) {
  const auto loaded = Tokenizer::from_gguf(vocabulary);
  if (loaded.ok()) return "loaded";
  EXPECT_EQ(loaded.error().code, code);
  return loaded.error().message;
}

TEST(WrongVocabulary, IsNamed) {
  Small small = bpe();
  small.merges.push_back("nospace");
  EXPECT_EQ(
      failure(small),
      "[text] tokenizer.ggml.merges[6]: expected two parts and a space between, got \"nospace\"");
  small = bpe();
  small.merges.clear();
  EXPECT_NE(failure(small).find("merges"), std::string::npos);
  small = bpe();
  small.scores.pop_back();
  EXPECT_NE(failure(small).find("tokenizer.ggml.scores: expected"), std::string::npos);
  small = bpe();
  small.token_types.resize(3);
  EXPECT_NE(failure(small).find("tokenizer.ggml.token_type: expected"), std::string::npos);
  small = bpe();
  small.bos = 1'000'000;
  EXPECT_NE(failure(small).find("bos_token_id: expected an id below"), std::string::npos);
  small.bos = -7;
  EXPECT_NE(failure(small).find("negative"), std::string::npos);
  EXPECT_NE(failure(Small("gpt2")).find("at least one token"), std::string::npos);
}

TEST(WrongVocabulary, OfAnUnknownKindIsUnsupported) {
  Small small = bpe();
  small.pre = "no-such-pre";
  EXPECT_NE(failure(small, Code::kUnsupported).find("no-such-pre"), std::string::npos);
  small.model = "rwkv";
  EXPECT_NE(failure(small, Code::kUnsupported).find("rwkv"), std::string::npos);
}

TEST(WrongVocabulary, CharsmapIsChecked) {
  Small small = unigram();
  for (const std::string& map :
       {std::string("\1"), std::string("\xFF\xFF\xFF\x7F", 4), std::string("\0\0\0\0x", 5)}) {
    small.precompiled_charsmap = map;
    EXPECT_NE(failure(small).find("precompiled_charsmap"), std::string::npos);
  }
  // A trie whose offsets point anywhere must not be followed outside.
  small.precompiled_charsmap =
      std::string("\x08\0\0\0", 4) + std::string(8, '\xFF') + std::string(1, '\0');
  EXPECT_EQ(pieces(*load(small), "ab"), " a|b");
}

TEST(WrongVocabulary, EmptyAndRepeatedTokensAreTolerated) {
  Small small = bpe();
  small.add("").add("he").add("\xFF\xFE").add("<0xZZ>", 6).add("x", 99);
  const auto tokenizer = load(small);
  const int size = tokenizer->vocab_size();
  for (Token id = 0; id < size; ++id) tokenizer->token_bytes(id, true);
  EXPECT_EQ(pieces(*tokenizer, "hello"), "hello");
}

/// A vocabulary of all bytes, so that nothing is dropped.
Small all_bytes() {
  Small small = bpe();
  for (unsigned byte = 0; byte < 256; ++byte) small.add(byte_letter(byte));
  return small;
}

TEST(BytesPerToken, AreThoseOfTheLongestWhereNothingIsDropped) {
  EXPECT_EQ(load(all_bytes())->bytes_per_token_max(), 10u) << "<|im_end|>";
  EXPECT_EQ(load(bpe())->bytes_per_token_max(), 0u) << "bytes that are no tokens are dropped";
  Small spaces = all_bytes();
  std::string marks;
  for (int i = 0; i < 16; ++i) marks += "\u0120";
  EXPECT_EQ(load(spaces.add(marks))->bytes_per_token_max(), 16u)
      << "bytes of the text, not the file";
  EXPECT_EQ(load(spm())->bytes_per_token_max(), 6u) << "<0xXX> may stand in the text as it is";
  EXPECT_EQ(load(wordpiece())->bytes_per_token_max(), 0u);
  EXPECT_EQ(load(unigram())->bytes_per_token_max(), 0u);
}

TEST(TokensMax, EndsTheReadingOfWhatIsTooLong) {
  for (const Small& small : {all_bytes(), spm(), wordpiece()}) {
    const auto tokenizer = load(small);
    std::string text;
    for (int i = 0; i < 20000; ++i) text += i % 2 == 0 ? "hello " : "ab<|im_end|> ";
    const std::vector<Token> whole = *tokenizer->encode(text, false, Specials::kParse);
    ASSERT_GT(whole.size(), 20000u);
    for (const size_t most : {size_t{0}, size_t{1}, size_t{1000}}) {
      const std::vector<Token> some = *tokenizer->encode(text, false, Specials::kParse, most);
      EXPECT_GT(some.size(), most);
      EXPECT_LT(some.size(), most + 20) << "no more than one word is read after it";
      EXPECT_TRUE(std::equal(some.begin(), some.end(), whole.begin()));
    }
    EXPECT_EQ(*tokenizer->encode(text, false, Specials::kParse, whole.size()), whole);
    EXPECT_GE(whole.size() * std::max<size_t>(tokenizer->bytes_per_token_max(), 1),
              tokenizer->bytes_per_token_max() == 0 ? 0 : text.size());
  }
}

TEST(InvalidText, IsReadAsReplacementCharacters) {
  const auto tokenizer = load(spm());
  EXPECT_EQ(pieces(*tokenizer, "a\xFF"), pieces(*tokenizer, "a\uFFFD"));
}

}  // namespace
}  // namespace pippin::text
