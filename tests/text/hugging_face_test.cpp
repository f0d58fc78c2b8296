// tokenizer.json: a small one, and the same vocabulary read from GGUF and from JSON.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "text/corpus.h"
#include "text/small_vocabulary.h"

namespace pippin::text {
namespace {

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string added_token(Token id, std::string_view text, bool special,
                        std::string_view flags = "") {
  return fmt::format(
      R"({{"id":{},"content":{},"single_word":false,"lstrip":{},"rstrip":{},"normalized":false,"special":{}}})",
      id, json_string(text), flags == "lstrip", flags == "rstrip", special);
}

/// The tokenizer.json of SmolLM2, written from its GGUF vocabulary.
std::string smollm_json(const GgufVocabulary& vocabulary) {
  std::string added, vocab, merges;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const Token token = static_cast<Token>(id);
    if (vocabulary.token_types[id] == 3) {
      added += (added.empty() ? "" : ",") + added_token(token, vocabulary.tokens[id], true);
    }
    vocab += fmt::format("{}{}:{}", id == 0 ? "" : ",", json_string(vocabulary.tokens[id]), id);
  }
  for (const std::string& merge : vocabulary.merges)
    merges += (merges.empty() ? "" : ",") + json_string(merge);
  return fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{}],"normalizer":null,)"
      R"("pre_tokenizer":{{"type":"Sequence","pretokenizers":[{{"type":"Digits","individual_digits":true}},)"
      R"({{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}}]}},)"
      R"("post_processor":null,)"
      R"("decoder":{{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}},)"
      R"("model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)"
      R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{{{}}},"merges":[{}]}}}})",
      added, vocab, merges);
}

TEST(HuggingFace, ReadsAsTheSameVocabularyFromGguf) {
  const auto vocabulary = test_vocabulary("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!vocabulary)
    GTEST_SKIP()
        << "set PIPPIN_TEST_MODELS to a directory that holds SmolLM2-135M-Instruct.Q4_1.gguf";
  const auto gguf = Tokenizer::from_gguf(*vocabulary);
  const auto json = Tokenizer::from_json(smollm_json(*vocabulary));
  ASSERT_TRUE(gguf.ok());
  ASSERT_TRUE(json.ok()) << json.error().message;
  EXPECT_EQ((*json)->vocab_size(), (*gguf)->vocab_size());
  // A few bytes have no token: one reader takes the unknown one, the other drops them.
  EXPECT_GT((*gguf)->bytes_per_token_max(), 0u);
  EXPECT_EQ((*json)->bytes_per_token_max(), 0u);
  for (Token id = 0; id < (*gguf)->vocab_size(); ++id) {
    ASSERT_EQ((*json)->token_bytes(id, true), (*gguf)->token_bytes(id, true)) << id;
    ASSERT_EQ((*json)->is_control(id), (*gguf)->is_control(id)) << id;
  }
  for (const std::string& text : corpus()) {
    for (Specials specials : {Specials::kParse, Specials::kText}) {
      ASSERT_EQ(*(*json)->encode(text, false, specials), *(*gguf)->encode(text, false, specials))
          << text;
    }
  }
}

/// Words split at spaces, "[CLS] text [SEP]", and added tokens of each kind.
std::string small_json() {
  return R"({"version":"1.0","padding":null,
    "truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},"added_tokens":[)" +
         added_token(0, "[UNK]", true) + "," + added_token(1, "[CLS]", true) + "," +
         added_token(2, "[SEP]", true) + "," + added_token(3, "[MASK]", true, "lstrip") + "," +
         added_token(4, "<tool>", false, "rstrip") + R"(],
    "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},
    "post_processor":{"type":"TemplateProcessing",
      "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                {"SpecialToken":{"id":"[SEP]","type_id":0}}],
      "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],
      "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]},
                        "[SEP]":{"id":"[SEP]","ids":[2],"tokens":["[SEP]"]}}},
    "decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
    "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
      "vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"[MASK]":3,"<tool>":4,"hello":5,"##s":6,"[":7,"]":8,"sep":9}}})";
}

class Small : public testing::Test {
 protected:
  void SetUp() override {
    const auto loaded = Tokenizer::from_json(small_json());
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    tokenizer_ = *loaded;
  }
  std::vector<Token> ids(std::string_view text, bool add_special = false,
                         Specials specials = Specials::kParse) {
    return *tokenizer_->encode(text, add_special, specials);
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
};
using HuggingFaceSmall = Small;

TEST_F(HuggingFaceSmall, PutsWhatThePostProcessorPuts) {
  EXPECT_EQ(ids("Hellos hello hello", true),
            (std::vector<Token>{1, 5, 6, 5, 5, 2}));  // and cuts nothing
  EXPECT_EQ(tokenizer_->bos(), 1);
  EXPECT_EQ(tokenizer_->eos(), 2);
  EXPECT_TRUE(tokenizer_->adds_bos());
}

TEST_F(HuggingFaceSmall, FollowsTheTokenizerConfig) {
  const auto load = [](const TokenizerConfig& config) {
    return Tokenizer::from_json(small_json(), config);
  };
  const auto none = load({"[CLS]", "[SEP]", false, false, 0});
  EXPECT_EQ(*(*none)->encode("hello", true, Specials::kText), (std::vector<Token>{5}));
  EXPECT_EQ((*none)->bos(), 1);
  EXPECT_FALSE((*none)->adds_bos());
  const auto others = load({"[MASK]", "<tool>", true, true, 0});
  EXPECT_EQ(*(*others)->encode("hello", true, Specials::kText),
            (std::vector<Token>{3, 1, 5, 2, 4}));
  EXPECT_EQ((*others)->eos(), 4);
  EXPECT_EQ((*load({"[NONE]", "", {}, {}, 0}))->bos(), 1);
}

TEST_F(HuggingFaceSmall, HasAsManyTokensAsItsModel) {
  const auto padded = Tokenizer::from_json(small_json(), {.size = 16});
  EXPECT_EQ((*padded)->vocab_size(), 16);
  EXPECT_EQ((*padded)->token_bytes(12, true), "");
  EXPECT_FALSE(Tokenizer::from_json(small_json(), {.size = 9}).ok());
  // An added token that the model has no embedding for is text.
  std::string json = small_json();
  json.replace(json.find(added_token(4, "<tool>", false, "rstrip")), 0,
               added_token(10, "<image>", true) + ",");
  EXPECT_EQ((*Tokenizer::from_json(json))->vocab_size(), 11);
  const auto text = Tokenizer::from_json(json, {.size = 10});
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ((*text)->vocab_size(), 10);
  const std::vector<Token> ids = *(*text)->encode("hello <image>", false, Specials::kParse);
  for (const Token token : ids) EXPECT_LT(token, 10);
}

TEST_F(HuggingFaceSmall, FindsAddedTokens) {
  EXPECT_EQ(ids("hello [MASK]<tool>  hello"), (std::vector<Token>{5, 3, 4, 5}));
}

TEST_F(HuggingFaceSmall, KeepsSpecialTokensOutOfText) {
  EXPECT_EQ(ids("hello[SEP]<tool>"), (std::vector<Token>{5, 2, 4}));
  EXPECT_EQ(ids("hello[SEP]<tool>", false, Specials::kText), (std::vector<Token>{5, 7, 9, 8, 4}));
  const std::vector<Span> spans = {{"[SEP", Specials::kText}, {"] [SEP]", Specials::kParse}};
  EXPECT_EQ(*tokenizer_->encode(spans, false), (std::vector<Token>{7, 9, 8, 2}));
}

/// A byte-level tokenizer.json with that normaliser, pre-tokenizer and added token.
std::string bytes_json(std::string_view normaliser, std::string_view cuts, std::string_view added) {
  std::string vocab;
  for (unsigned byte = 0; byte < 256; ++byte)
    vocab += fmt::format("{}{}:{}", byte == 0 ? "" : ",", json_string(byte_letter(byte)), byte);
  return fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{}],"normalizer":{},)"
      R"("pre_tokenizer":{{"type":"Sequence","pretokenizers":[{}]}},"post_processor":null,)"
      R"("decoder":{{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}},)"
      R"("model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,)"
      R"("end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"vocab":{{{},"abcd":256}},)"
      R"("merges":[]}}}})",
      added, normaliser, cuts, vocab);
}

TEST(HuggingFaceBytesPerToken, CountsWhatEachStepMayDrop) {
  constexpr char kBytes[] =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
  const auto most = [&](std::string_view normaliser, std::string_view before = "",
                        std::string_view added = "") {
    const auto loaded =
        Tokenizer::from_json(bytes_json(normaliser, fmt::format("{}{}", before, kBytes), added));
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return loaded.ok() ? (*loaded)->bytes_per_token_max() : SIZE_MAX;
  };
  EXPECT_EQ(most("null"), 4u);
  EXPECT_EQ(most(R"({"type":"NFC"})"), 16u) << "NFC may write four bytes as one";
  EXPECT_EQ(most(R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFKC"}]})"), 64u);
  EXPECT_EQ(most(R"({"type":"Replace","pattern":{"String":" "},"content":"__"})"), 4u);
  EXPECT_EQ(most(R"({"type":"Replace","pattern":{"String":"  "},"content":" "})"), 0u);
  EXPECT_EQ(most(R"({"type":"Lowercase"})"), 0u);
  EXPECT_EQ(most(R"({"type":"Strip","strip_left":true,"strip_right":true})"), 0u);
  const auto split = [](const char* behaviour) {
    return fmt::format(
        R"({{"type":"Split","pattern":{{"Regex":" +"}},"behavior":"{}","invert":false}},)",
        behaviour);
  };
  EXPECT_EQ(most("null", split("Isolated")), 4u);
  EXPECT_EQ(most("null", split("Removed")), 0u);
  EXPECT_EQ(most("null", R"({"type":"Whitespace"},)"), 0u);
  EXPECT_EQ(most("null", "", added_token(257, "<tool>", false)), 6u);
  EXPECT_EQ(most("null", "", added_token(257, "<tool>", false, "rstrip")), 0u)
      << "it swallows the spaces behind it";
}

TEST_F(HuggingFaceSmall, GivesBytes) {
  EXPECT_EQ(tokenizer_->token_bytes(5, false), " hello");
  EXPECT_EQ(tokenizer_->token_bytes(6, false), "s");
  EXPECT_EQ(tokenizer_->token_bytes(2, false), "");
  EXPECT_EQ(tokenizer_->token_bytes(2, true), "[SEP]");
}

TEST(HuggingFace, RefusesBrokenFiles) {
  for (const std::string& json :
       {std::string(), std::string("{}"), std::string("[1,2"), std::string("\xFF\xFE"),
        small_json().substr(0, 900), std::string(100000, '[')}) {
    const auto loaded = Tokenizer::from_json(json);
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().code, Code::kInvalidFile) << loaded.error().message;
  }
}

TEST(HuggingFace, RefusesAbsurdIds) {
  std::string json = small_json();
  json.replace(json.find("\"hello\":5"), 9, "\"hello\":4294967295");
  const auto loaded = Tokenizer::from_json(json);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, Code::kInvalidFile);
}

}  // namespace
}  // namespace pippin::text
