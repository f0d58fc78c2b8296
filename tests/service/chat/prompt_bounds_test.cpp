// How much of a prompt is rendered and tokenised that is too long for its model: what every kind of
// text costs before it is refused, and what the refusal says.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <variant>

#include "service/chat/fim.h"
#include "service/chat/prompt.h"
#include "text/small_vocabulary.h"

namespace pippin::service {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

class PromptBoundsTest : public testing::Test {
 protected:
  PromptBoundsTest() {
    model_.id = "small";
    model_.context_tokens_max = 256;
    model_.tokenizer =
        text::small_tokenizer({"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"});
    model_.token_bound = TokenBound(*model_.tokenizer);
    // As some templates, it shows the user's and the system's words, and drops what tools said.
    model_.chat_template = *text::ChatTemplate::compile(
        "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}");
  }

  static std::string filled(std::string_view with, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += with;
    return text;
  }
  static Conversation said(Role role, std::string text) {
    Conversation conversation;
    conversation.messages.push_back({Role::kUser, {TextPart{"hi"}}});
    conversation.messages.push_back({role, {TextPart{std::move(text)}}});
    return conversation;
  }
  Error refusal(const Prompt& prompt, std::optional<size_t> tokens_max = 256) {
    const auto rendered = render_prompt(model_, prompt, tokens_max);
    EXPECT_FALSE(rendered.ok());
    return rendered.ok() ? Error() : rendered.error();
  }

  Model model_;
};

TEST_F(PromptBoundsTest, EveryKindOfTextCountsByItsBytes) {
  for (const char* piece : {" ", "\n", "\u6f22", "\u0436", "e\u0301", "word "}) {
    const std::string text = filled(piece, 2 * kMiB);
    for (const Prompt& prompt :
         {Prompt(TextPrompt{text}), Prompt(said(Role::kUser, text)),
          Prompt(said(Role::kSystem, text)), Prompt(said(Role::kAssistant, text))}) {
      const Error error = refusal(prompt);
      EXPECT_EQ(error.code, Code::kContextLength);
      EXPECT_TRUE(error.message.starts_with("prompt is too long: ")) << error.message;
      EXPECT_NE(error.message.find("maximum context length is 256 tokens"), std::string::npos);
    }
  }
}

TEST_F(PromptBoundsTest, WhatATemplateWouldDropIsNotRenderedEither) {
  EXPECT_TRUE(render_prompt(model_, said(Role::kTool, filled("x", kMiB / 2)), 256).ok());
  const Error error = refusal(said(Role::kTool, filled("x", 2 * kMiB)));
  EXPECT_EQ(error.code, Code::kContextLength);
  EXPECT_EQ(error.param, "messages");
  EXPECT_NE(error.message.find("2097154 bytes of text > 1048576 maximum"), std::string::npos)
      << error.message;
}

// Where the bound on bytes says too little, reading ends with the token that is too much.
TEST_F(PromptBoundsTest, TokenisingEndsWhereItIsTooLong) {
  model_.context_tokens_max = 200'000;
  const std::string text = filled("a b ", 4 * kMiB / 3);  // a token for each letter and space
  const Error error = refusal(TextPrompt{text}, 200'000);
  EXPECT_NE(error.message.find("at least 200001 tokens"), std::string::npos) << error.message;
  // The numbers of smaller texts are true.
  const Error small = refusal(TextPrompt{filled("a b ", 400)});
  EXPECT_NE(small.message.find("resulted in 400 tokens"), std::string::npos) << small.message;
}

TEST_F(PromptBoundsTest, WhatIsOnlyCountedIsBoundedByItsBytes) {
  const std::string text = filled("word ", kCountedBytesMax + 1);
  for (const Prompt& prompt : {Prompt(TextPrompt{text}), Prompt(said(Role::kSystem, text))}) {
    const Error error = refusal(prompt, std::nullopt);
    EXPECT_EQ(error.code, Code::kTooLarge);
    EXPECT_NE(error.message.find("at most 4194304 bytes"), std::string::npos) << error.message;
  }
  const std::vector<text::Span> span = {{text, text::Specials::kText}};
  const auto tokens = text_tokens(model_, span, false, "content");
  ASSERT_FALSE(tokens.ok());
  EXPECT_EQ(tokens.error().code, Code::kTooLarge);
  EXPECT_EQ(tokens.error().param, "content");
  EXPECT_EQ(prompt_tokens(model_, TextPrompt{filled("word ", 2 * kMiB)})->size(), 2 * kMiB + 3);
}

TEST_F(PromptBoundsTest, PartsOfAPromptAreBoundedOneByOne) {
  const std::string text = filled(" ", 27 * kMiB);
  const TextPrompt few{"a"}, much{text};
  const FimFile file{"f", text};
  for (const auto& filled_in : {fim_prompt(model_, much, "b"), fim_prompt(model_, few, text),
                                fim_prompt(model_, few, "b", {&file, 1})}) {
    ASSERT_FALSE(filled_in.ok());
    EXPECT_EQ(filled_in.error().code, Code::kContextLength);
  }
  EXPECT_TRUE(fim_prompt(model_, few, "b").ok());
}

}  // namespace
}  // namespace pippin::service
