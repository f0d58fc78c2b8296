#include "service/chat/token_bound.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "text/small_vocabulary.h"

namespace pippin::service {
namespace {

TEST(TokenBound, IsNeverMoreThanThereAre) {
  const auto tokenizer = text::small_tokenizer({});
  const TokenBound bound(*tokenizer);
  const std::string texts[] = {"", "celsius", std::string(9000, 'x'), "20the\",}//",
                               "<|im_end|><|im_end|>"};
  for (const std::string& text : texts) {
    const auto tokens = tokenizer->encode(text, false, text::Specials::kParse);
    ASSERT_TRUE(tokens.ok()) << tokens.error().message;
    EXPECT_LE(bound.at_least(text), tokens->size()) << text;
  }
  EXPECT_EQ(bound.at_least(std::string(700, 'x')), 100u) << "celsius has the most letters";
  EXPECT_EQ(bound.at_least(std::string(300, '7')), 150u);
  EXPECT_EQ(bound.at_least(std::string(300, ' ')), 30u) << "<|im_end|> has the most bytes";
  EXPECT_EQ(bound.at_least("ee\xcc\x81"), 1u) << "an accent joins its letter";
  EXPECT_EQ(TokenBound().at_least(std::string(700, 'x')), 0u);
}

// Half of the letters' bound is lost for each accent; the bytes' is not.
TEST(TokenBound, CountsBytesOfAnyKind) {
  const auto tokenizer = text::small_tokenizer({});
  const TokenBound bound(*tokenizer);
  for (const char* const piece : {" ", "\n", "\u6f22\u5b57", "\u0416", "e\u0301", "\t \r\n"}) {
    std::string text;
    while (text.size() < 10000) text += piece;
    EXPECT_GE(bound.at_least(text), text.size() / 10) << piece;
    EXPECT_LE(bound.at_least(text), tokenizer->encode(text, false, text::Specials::kText)->size());
  }
}

// Of a tokenizer that drops text nothing is known but what nobody would send.
TEST(TokenBound, LimitsBytesWhateverTheTokenizer) {
  text::GgufVocabulary file;
  file.model = "bert";
  file.tokens = {"[UNK]", "[CLS]", "[SEP]", "\u2581hello"};
  file.token_types = {2, 3, 3, 1};
  file.unk = 0;
  file.bos = 1;
  file.sep = 2;
  const auto dropping = text::Tokenizer::from_gguf(file);
  ASSERT_TRUE(dropping.ok()) << dropping.error().message;
  const TokenBound bound(**dropping);
  EXPECT_EQ(bound.at_least(std::string(100000, ' ')), 0u);
  EXPECT_EQ(bound.bytes_max(512), 512u * 4 * 64) << "no token is so long that it counts";
  EXPECT_EQ(bound.bytes_max(SIZE_MAX), SIZE_MAX);
}

}  // namespace
}  // namespace pippin::service
