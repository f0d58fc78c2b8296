// PromptRules: what each rule takes, what it leaves, and that it changes nothing else.
#include "service/chat/prompt_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pippin::service {
namespace {

Message message(Role role, std::vector<std::string> texts) {
  Message message;
  message.role = role;
  for (std::string& text : texts) message.parts.emplace_back(TextPart{std::move(text)});
  return message;
}

std::vector<std::string> texts_of(const Message& message) {
  std::vector<std::string> texts;
  for (const Part& part : message.parts) texts.push_back(std::get<TextPart>(part).text);
  return texts;
}

using Texts = std::vector<std::string>;
using Names = std::vector<std::string_view>;

PromptRules rules(std::vector<std::string> names) {
  const Result<PromptRules> rules = PromptRules::of(names);
  EXPECT_TRUE(rules.ok());
  return *rules;
}

TEST(PromptRules, AreNamed) {
  EXPECT_FALSE(PromptRules::of(std::vector<std::string>{"billing"}).ok());
  Conversation conversation;
  conversation.tools = {{"b", {}, {}, false}, {"a", {}, {}, false}};
  EXPECT_EQ(rules({"none"}).apply(conversation), Names{});
  EXPECT_EQ(PromptRules().apply(conversation), Names{});
  EXPECT_EQ(conversation.tools.front().name, "b");
  for (const PromptRule& rule : prompt_rules())
    EXPECT_TRUE(PromptRules::of(Texts{std::string(rule.name)}).ok());
}

TEST(PromptRules, StripTheBillingHeader) {
  Conversation conversation;
  conversation.messages = {
      message(Role::kSystem,
              {"x-anthropic-billing-header: cc_version=2.1.36; cch=1a2b3;", "You are it."}),
      message(Role::kUser, {"x-anthropic-billing-header: is what?"})};
  EXPECT_EQ(rules({"all"}).apply(conversation), Names{"billing_header"});
  ASSERT_EQ(conversation.messages.size(), 2U);
  EXPECT_EQ(texts_of(conversation.messages[0]), Texts{"You are it."});
  EXPECT_EQ(texts_of(conversation.messages[1]), Texts{"x-anthropic-billing-header: is what?"});
  EXPECT_EQ(rules({"all"}).apply(conversation), Names{}) << "once is enough";
  conversation.messages = {message(Role::kSystem, {"x-anthropic-billing-header: a\nYou are it."}),
                           message(Role::kSystem, {"x-anthropic-billing-header: a"})};
  EXPECT_EQ(rules({"billing_header"}).apply(conversation), Names{"billing_header"});
  ASSERT_EQ(conversation.messages.size(), 1U);
  EXPECT_EQ(texts_of(conversation.messages[0]), Texts{"You are it."});
}

TEST(PromptRules, OrderTools) {
  Conversation conversation;
  conversation.tools = {{"b", {}, {}, false}, {"a", {}, {}, false}, {"C", {}, {}, false}};
  EXPECT_EQ(rules({"tool_order"}).apply(conversation), Names{"tool_order"});
  EXPECT_EQ(conversation.tools[0].name, "C");
  EXPECT_EQ(conversation.tools[1].name, "a");
  EXPECT_EQ(conversation.tools[2].name, "b");
  EXPECT_EQ(rules({"all"}).apply(conversation), Names{});
}

TEST(PromptRules, MoveDatesAndIdsBehindTheHead) {
  Conversation conversation;
  conversation.messages = {
      message(Role::kSystem,
              {"You are it.\n<env>\nPlatform: linux\nToday's date: 2026-11-21\n</env>\n"
               "- Session ID: 0f3c9a1e-77\nToday is a good day.\nThe last line"}),
      message(Role::kUser, {"Hi"}), message(Role::kAssistant, {"Yo"}),
      message(Role::kSystem, {"Current time: 10:30"}), message(Role::kUser, {"Date: 2026"})};
  EXPECT_EQ(rules({"all"}).apply(conversation), (Names{"date_line", "session_id"}));
  EXPECT_EQ(
      texts_of(conversation.messages[0]),
      Texts{"You are it.\n<env>\nPlatform: linux\n</env>\nToday is a good day.\nThe last line"});
  EXPECT_EQ(texts_of(conversation.messages[1]),
            (Texts{"- Session ID: 0f3c9a1e-77\n", "Today's date: 2026-11-21\n", "Hi"}));
  EXPECT_EQ(texts_of(conversation.messages[3]), Texts{"Current time: 10:30"})
      << "it stays where it is";
  EXPECT_EQ(texts_of(conversation.messages[4]), Texts{"Date: 2026"});
}

TEST(PromptRules, LeaveWhatOnlyLooksAlike) {
  const std::string text =
      "Today's date is in the user's message.\nUpdate: version 2\nSession id: see below\n"
      "Answer with the current date: 1 line.\nRequest ID: none";
  Conversation conversation;
  conversation.messages = {message(Role::kSystem, {text}), message(Role::kUser, {"Hi"})};
  EXPECT_EQ(rules({"all"}).apply(conversation), Names{});
  EXPECT_EQ(texts_of(conversation.messages[0]), Texts{text});
  conversation.messages = {message(Role::kSystem, {"Today's date: 2026-11-21"})};
  EXPECT_EQ(rules({"all"}).apply(conversation), Names{}) << "there is no user to move it to";
}

}  // namespace
}  // namespace pippin::service
