// The Anthropic API's parts: what a body becomes, and what a signature vouches for.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/anthropic/errors.h"
#include "api/anthropic/read_message.h"
#include "api/anthropic/signer.h"
#include "api/routes/harness.h"
#include "service/json.h"
#include "service/models/model_pool.h"

namespace pippin::api::anthropic {
namespace {

using service::Conversation;
using service::Message;
using service::Role;

TEST(Errors, AKeyThatHasUsedWhatItMayIsToldWhenToTryAgain) {
  Error error = fail(Code::kRateLimited, "This key has used its tokens.");
  error.retry_after_s = 42;
  const Response response = error_response(error, "req-1");
  EXPECT_EQ(response.status, 429);
  EXPECT_NE(response.body.find(R"("type":"rate_limit_error")"), std::string::npos);
  const std::vector<std::pair<std::string, std::string>> headers = {{"retry-after", "42"}};
  EXPECT_EQ(response.headers, headers);
}

class ReadMessage : public ::testing::Test {
 protected:
  // Reads a body; `fields` are its members beside the model and the limit.
  Conversation read(const std::string& fields) {
    const auto body =
        service::parse_json(R"({"model": "parrot", "max_tokens": 9, )" + fields + "}");
    EXPECT_TRUE(body.ok());
    FieldReader reader(body->get_object());
    const auto models = harness_.models().lease_all();
    call_ = read_message(reader, *models.front(), signer_);
    EXPECT_TRUE(reader.ok()) << reader.error()->message;
    return std::get<Conversation>(call_.request.prompts.front());
  }

  static std::string text_of(const Message& message) {
    std::string text;
    for (const service::Part& part : message.parts)
      text += "[" + std::get<service::TextPart>(part).text + "]";
    return text;
  }

  testing::Harness harness_;
  Signer signer_{"a key"};
  MessageRequest call_;
};

TEST_F(ReadMessage, SystemBlocksAreParts) {
  const Conversation read = this->read(
      R"("system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
         "messages": [{"role": "user", "content": "c"}, {"role": "system", "content": "d"}])");
  ASSERT_EQ(read.messages.size(), 3U);
  EXPECT_EQ(text_of(read.messages[0]), "[a][b]");
  EXPECT_EQ(read.messages[2].role, Role::kSystem) << "a late one stays where it is";
  EXPECT_EQ(text_of(read.messages[2]), "[d]");
  EXPECT_TRUE(read.add_generation_prompt);
}

TEST_F(ReadMessage, ResultsAreMessagesOfTools) {
  const Conversation read = this->read(
      R"("messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "text", "text": "so"},
          {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
          {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]},
        {"role": "user", "content": [
          {"type": "tool_result", "tool_use_id": "t2", "content": "ok"},
          {"type": "tool_result", "tool_use_id": "t1", "is_error": true,
           "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "way"}]},
          {"type": "tool_result", "tool_use_id": "t0"},
          {"type": "text", "text": "then"}]}])");
  ASSERT_EQ(read.messages.size(), 6U);
  const Message& calls = read.messages[1];
  ASSERT_EQ(calls.tool_calls.size(), 2U);
  EXPECT_EQ(calls.tool_calls[0].arguments_json, R"({"x":1})");
  EXPECT_EQ(read.messages[2].role, Role::kTool);
  EXPECT_EQ(read.messages[2].name, "g");
  EXPECT_EQ(read.messages[2].tool_call_id, "t2");
  EXPECT_EQ(text_of(read.messages[3]), "[Error: no\nway]");
  EXPECT_EQ(read.messages[4].name, "") << "nothing was called so";
  EXPECT_EQ(read.messages[5].role, Role::kUser);
}

TEST_F(ReadMessage, SignedThinkingComesBack) {
  const std::string shown = signer_.sign("because"), hidden = signer_.encrypt("therefore");
  const auto block = [](const std::string& thinking, const std::string& signature) {
    return R"({"type": "thinking", "thinking": ")" + thinking + R"(", "signature": ")" + signature +
           "\"}";
  };
  const auto turn = [&](const std::string& blocks) {
    return R"("messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [)" +
           blocks + R"(, {"type": "text", "text": "b"}]}, {"role": "user", "content": "c"}])";
  };
  EXPECT_EQ(read(turn(block("because", shown))).messages[1].reasoning, "because");
  EXPECT_EQ(read(turn(block("", hidden))).messages[1].reasoning, "therefore");
  EXPECT_EQ(read(turn(R"({"type": "redacted_thinking", "data": ")" + hidden + "\"}"))
                .messages[1]
                .reasoning,
            "therefore");
  EXPECT_TRUE(call_.warnings.empty());
  EXPECT_EQ(read(turn(block("Because", shown))).messages[1].reasoning, "") << "it was changed";
  EXPECT_EQ(call_.warnings.size(), 1U);
  EXPECT_EQ(read(turn(block("because", hidden))).messages[1].reasoning, "");
  EXPECT_EQ(read(turn(block("because", Signer("another").sign("because")))).messages[1].reasoning,
            "");
}

TEST_F(ReadMessage, TheLastTurnOfTheAssistantIsContinued) {
  const Conversation read = this->read(
      R"("messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])");
  EXPECT_TRUE(read.continue_final_message);
  EXPECT_FALSE(read.add_generation_prompt);
}

TEST_F(ReadMessage, ToolsAndTheirChoice) {
  Conversation read = this->read(
      R"("tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": true,
                    "input_examples": [{"x": 1}], "cache_control": {"type": "ephemeral"}}],
         "tool_choice": {"type": "tool", "name": "f"},
         "messages": [{"role": "user", "content": "a"}])");
  ASSERT_EQ(read.tools.size(), 1U);
  EXPECT_EQ(
      read.tools[0].definition_json,
      R"({"type":"function","function":{"name":"f","description":"d\n\nExamples of its input:\n{\"x\":1}",)"
      R"("parameters":{"type":"object"}}})");
  EXPECT_TRUE(read.tools[0].strict);
  EXPECT_TRUE(call_.cache_marked);
  EXPECT_EQ(call_.request.tool_choice.mode, service::ToolChoice::Mode::kRequired);
  EXPECT_EQ(call_.request.tool_choice.names, std::vector<std::string>{"f"});
  read = this->read(
      R"("tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "none"},
         "messages": [{"role": "user", "content": "a"}])");
  EXPECT_TRUE(read.tools.empty());
}

TEST_F(ReadMessage, ThinkingAndFormat) {
  const std::string messages = R"(, "messages": [{"role": "user", "content": "a"}])";
  read(R"("thinking": {"type": "enabled", "budget_tokens": 5})" + messages);
  EXPECT_EQ(call_.request.reading.reasoning_tokens_max, 5);
  EXPECT_TRUE(call_.show_thinking);
  read(R"("thinking": {"type": "disabled"})" + messages);
  EXPECT_EQ(call_.request.reading.reasoning_tokens_max, 0);
  read(
      R"("thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"})" +
      messages);
  EXPECT_EQ(call_.request.reading.reasoning_tokens_max, 1024);
  EXPECT_FALSE(call_.show_thinking);
  read(R"("output_format": {"type": "json_schema", "schema": {"type": "object"}})" + messages);
  EXPECT_EQ(std::get<service::JsonSchemaFormat>(call_.request.format).schema_json,
            R"({"type":"object"})");
}

TEST(Signer, KnowsItsOwn) {
  const Signer signer("key"), same("key"), other("other"), fresh("");
  for (const std::string& text : {std::string("why"), std::string(), std::string(100000, 'x')}) {
    EXPECT_EQ(same.verify(text, signer.sign(text)), text);
    EXPECT_EQ(same.verify("", signer.encrypt(text)), text);
    EXPECT_NE(signer.encrypt(text), signer.encrypt(text)) << "each has a nonce of its own";
    EXPECT_EQ(other.verify(text, signer.sign(text)), std::nullopt);
    EXPECT_EQ(fresh.verify("", signer.encrypt(text)), std::nullopt);
    EXPECT_EQ(signer.verify(text + "!", signer.sign(text)), std::nullopt);
  }
}

TEST(Signer, RefusesWhatIsNoSignature) {
  const Signer signer("key");
  // Each length leaves another count of spare bits in the last character.
  for (const char* hidden : {"why", "why?", "why so"}) {
    const std::string good = signer.encrypt(hidden);
    for (size_t i = 0; i < good.size(); ++i) {
      EXPECT_EQ(signer.verify("", good.substr(0, i)), std::nullopt) << hidden << i;
      for (const char other : {'A', 'B', 'Q', 'g', '9', '/', '='}) {
        std::string bad = good;
        bad[i] = other;
        if (bad == good) continue;
        EXPECT_EQ(signer.verify("", bad), std::nullopt) << hidden << i << other;
      }
    }
  }
  for (const char* text :
       {"", "AQ==", "Ag==", "====", "A", "\xff\xff\xff\xff", "AgAAAAAAAAAAAAAAAAAAAAAAAAAA"})
    EXPECT_EQ(signer.verify("", text), std::nullopt) << text;
}

}  // namespace
}  // namespace pippin::api::anthropic
