#include "service/token_bound.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(bound.at_least(std::string(300, ' ')), 0u);
  EXPECT_EQ(bound.at_least("ee\xcc\x81"), 0u) << "an accent joins its letter";
  EXPECT_EQ(TokenBound().at_least(std::string(700, 'x')), 0u);
}

}  // namespace
}  // namespace pippin::service
