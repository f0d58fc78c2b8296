#include "app/chat.h"

#include <gtest/gtest.h>

#include "app/terminal.h"

namespace pippin::app {
namespace {

std::string text_of(const service::Message& message) {
  return std::get<service::TextPart>(message.parts.at(0)).text;
}

/// What a request carries of the conversation; a model without a template carries the last text
/// alone.
class ChatTest : public testing::Test {
 protected:
  service::Model model_;
  Settings settings_;
};

TEST_F(ChatTest, WithoutATemplateTheTextGoesInAsItIs) {
  Chat chat(model_, settings_);
  const auto request = chat.ask("Once upon");
  ASSERT_EQ(request.prompts.size(), 1U);
  EXPECT_EQ(std::get<service::TextPrompt>(request.prompts[0]).text, "Once upon");
}

TEST_F(ChatTest, ARequestCarriesTheConversation) {
  model_.chat_template = text::ChatTemplate::compile("{{ messages }}").value();
  settings_.system_prompt = "Be brief.";
  Chat chat(model_, settings_);
  chat.ask("a");
  chat.hear("b");
  const auto request = chat.ask("c");
  const auto& conversation = std::get<service::Conversation>(request.prompts.at(0));
  std::vector<std::pair<service::Role, std::string>> said;
  for (const auto& message : conversation.messages)
    said.emplace_back(message.role, text_of(message));
  using enum service::Role;
  EXPECT_EQ(said, (decltype(said){
                      {kSystem, "Be brief."}, {kUser, "a"}, {kAssistant, "b"}, {kUser, "c"}}));
}

TEST_F(ChatTest, RemembersWhatWasSaidUntilCleared) {
  settings_.system_prompt = "Be brief.";
  Chat chat(model_, settings_);
  EXPECT_EQ(chat.messages(), 1U);
  chat.ask("a");
  chat.hear("b");
  EXPECT_EQ(chat.messages(), 3U);
  chat.ask("c");
  chat.hear(std::nullopt);  // failed: the question is forgotten
  EXPECT_EQ(chat.messages(), 3U);
  chat.command("/clear");
  EXPECT_EQ(chat.messages(), 1U);
}

TEST_F(ChatTest, SettingsReachTheRequest) {
  model_.default_sampling.temperature = 0.6f;
  Chat chat(model_, settings_);
  EXPECT_EQ(chat.ask("a").sampling.temperature, 0.6f);
  EXPECT_FALSE(chat.ask("a").seed);
  EXPECT_FALSE(chat.ask("a").max_tokens);
  EXPECT_EQ(chat.command("/set temperature 0.2"), "");
  EXPECT_EQ(chat.command("/set max-tokens 5"), "");
  EXPECT_EQ(chat.command("/set seed 7"), "");
  const auto request = chat.ask("a");
  EXPECT_EQ(request.sampling.temperature, 0.2f);
  EXPECT_EQ(request.seed, 7U);
  EXPECT_EQ(request.max_tokens, 5);
}

TEST_F(ChatTest, ASystemPromptStartsAnew) {
  Chat chat(model_, settings_);
  chat.ask("a");
  chat.hear("b");
  chat.command("/set system Speak like a pirate.");
  EXPECT_EQ(chat.messages(), 1U);
  EXPECT_EQ(chat.settings().system_prompt, "Speak like a pirate.");
}

TEST_F(ChatTest, WrongCommandsAreTold) {
  Chat chat(model_, settings_);
  EXPECT_NE(chat.command("/sing").find("/sing is not a command"), std::string::npos);
  EXPECT_NE(chat.command("/set port 3").find("no port"), std::string::npos);
  EXPECT_NE(chat.command("/set temperature hot").find("expected a number from 0 to 2"),
            std::string::npos);
  EXPECT_NE(chat.command("/set").find("temperature  not set"), std::string::npos);
  EXPECT_FALSE(chat.ended());
  chat.command("/bye");
  EXPECT_TRUE(chat.ended());
}

TEST(Printable, TakesAwayWhatSteersATerminal) {
  EXPECT_EQ(printable("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(printable("\033[2Jgone\a\r"), "[2Jgone");
  EXPECT_EQ(printable("x\xC2\x9B"
                      "31my"),
            "x31my");
  EXPECT_EQ(printable("caf\xC3\xA9 \xE2\x82\xAC \xC2\xA0"), "caf\xC3\xA9 \xE2\x82\xAC \xC2\xA0");
  EXPECT_EQ(printable("\x7F"), "");
}

TEST(HistoryFile, FollowsTheStateFolder) {
  const auto only = [](std::string_view wanted, const char* value) {
    return [=](const char* name) -> const char* { return wanted == name ? value : nullptr; };
  };
  EXPECT_EQ(history_file(only("XDG_STATE_HOME", "/s")), "/s/pippin/history");
  EXPECT_EQ(history_file(only("HOME", "/h")), "/h/.local/state/pippin/history");
}

}  // namespace
}  // namespace pippin::app
