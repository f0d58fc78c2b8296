// Token ids equal llama.cpp's, and bytes come back as they were, on the kept corpus.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "text/corpus.h"

namespace pippin::text {
namespace {

struct Model {
  const char* golden;
  const char* file;
};

class Golden : public testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    const auto vocabulary = test_vocabulary(GetParam().file);
    if (!vocabulary)
      GTEST_SKIP() << "set PIPPIN_TEST_MODELS to a directory that holds " << GetParam().file;
    auto loaded = Tokenizer::from_gguf(*vocabulary);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    tokenizer_ = *loaded;
  }
  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_P(Golden, IdsEqualLlamaCpp) {
  const auto texts = corpus();
  const auto goldens = lines_of(fmt::format("goldens/{}.txt", GetParam().golden));
  ASSERT_GE(texts.size(), 2000u);
  ASSERT_EQ(texts.size(), goldens.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto parsed = tokenizer_->encode(texts[i], true, Specials::kParse);
    const auto literal = tokenizer_->encode(texts[i], false, Specials::kText);
    ASSERT_TRUE(parsed.ok() && literal.ok());
    const std::string line = fmt::format("{} {:016x} {} {:016x}", parsed->size(), hash_of(*parsed),
                                         literal->size(), hash_of(*literal));
    EXPECT_EQ(line, goldens[i]) << "text " << i + 1 << " of corpus.txt";
  }
}

TEST_P(Golden, BytesComeBack) {
  for (const std::string& text : corpus()) {
    std::string bytes;
    const auto ids = tokenizer_->encode(text, false, Specials::kText);
    ASSERT_TRUE(ids.ok());
    for (Token id : *ids) {
      EXPECT_FALSE(tokenizer_->is_control(id)) << text;
      bytes += tokenizer_->token_bytes(id, false);
    }
    // SentencePiece writes a space mark of the text as a space, too.
    if (text.find("\u2581") != std::string::npos) continue;
    EXPECT_EQ(bytes, text);
  }
}

TEST_P(Golden, SpansAreReadAsOneText) {
  const auto texts = corpus();
  for (size_t i = 2; i < texts.size(); i += 3) {
    const std::vector<Span> spans = {{texts[i - 2], Specials::kText},
                                     {texts[i - 1], Specials::kText},
                                     {texts[i], Specials::kText}};
    const auto whole =
        tokenizer_->encode(texts[i - 2] + texts[i - 1] + texts[i], true, Specials::kText);
    const auto joined = tokenizer_->encode(spans, true);
    ASSERT_TRUE(whole.ok() && joined.ok());
    EXPECT_EQ(*joined, *whole);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values(Model{"smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"},
                                         Model{"qwen2.5-coder",
                                               "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"},
                                         Model{"gemma-3", "gemma-3-270m-q4_k_m.gguf"}),
                         [](const auto& model) { return "Model" + std::to_string(model.index); });

}  // namespace
}  // namespace pippin::text
