#include "app/clients.h"

#include <gtest/gtest.h>
#include <algorithm>

#include <boost/json/parse.hpp>

namespace pippin::app {
namespace {

const ServerAddress kServer{"http://127.0.0.1:8000", "Qwen 2.5 'x'", "none", 32768};

std::string variable(const ClientSetup& setup, std::string_view name) {
  for (const auto& [key, value] : setup.variables)
    if (key == name) return value;
  return "<unset>";
}

TEST(Clients, EachHasAProgramAndTheModel) {
  for (const std::string_view name : client_names()) {
    const Result<ClientSetup> setup = setup_client(name, kServer);
    ASSERT_TRUE(setup.ok()) << name;
    EXPECT_FALSE(setup->program.empty()) << name;
    EXPECT_FALSE(setup->install.empty()) << name;
    const std::string text = setup->to_text();
    EXPECT_NE(text.find("127.0.0.1:8000"), std::string::npos) << text;
  }
}

TEST(Clients, ClaudeTakesTheBareHost) {
  const ClientSetup setup = setup_client("claude", kServer).value();
  EXPECT_EQ(variable(setup, "ANTHROPIC_BASE_URL"), "http://127.0.0.1:8000");
  EXPECT_EQ(variable(setup, "ANTHROPIC_MODEL"), kServer.model);
  EXPECT_EQ(variable(setup, "CLAUDE_CODE_ATTRIBUTION_HEADER"), "0");
}

TEST(Clients, ClaudeIsToldOfAWindowThatHoldsItsOwnPrompt) {
  ServerAddress server = kServer;
  const char* window = "CLAUDE_CODE_MAX_CONTEXT_TOKENS";
  EXPECT_EQ(variable(setup_client("claude", server).value(), window), "<unset>");
  server.context_tokens = 65536;
  const ClientSetup setup = setup_client("claude", server).value();
  EXPECT_EQ(variable(setup, window), "65536");
  EXPECT_EQ(variable(setup, "CLAUDE_CODE_MAX_OUTPUT_TOKENS"), "16384");
}

TEST(Clients, CodexTakesTomlValues) {
  const ClientSetup setup = setup_client("codex", kServer).value();
  EXPECT_NE(std::ranges::find(setup.arguments, "model=\"Qwen 2.5 'x'\""), setup.arguments.end());
  EXPECT_NE(std::ranges::find(setup.arguments, "model_context_window=32768"),
            setup.arguments.end());
}

TEST(Clients, OpencodesConfigurationIsJson) {
  const ClientSetup setup = setup_client("opencode", kServer).value();
  const auto config = boost::json::parse(variable(setup, "OPENCODE_CONFIG_CONTENT"));
  EXPECT_EQ(config.at("model").as_string(), "pippin/Qwen 2.5 'x'");
  const auto& provider = config.at("provider").at("pippin");
  EXPECT_EQ(provider.at("options").at("baseURL").as_string(), "http://127.0.0.1:8000/v1");
  EXPECT_EQ(provider.at("models").at(kServer.model).at("limit").at("context").as_int64(), 32768);
}

TEST(Clients, NoneGivesUpOnALongPrompt) {
  const auto text = [](std::string_view name) {
    return setup_client(name, kServer).value().to_text();
  };
  EXPECT_NE(text("claude").find("API_TIMEOUT_MS=3600000"), std::string::npos);
  EXPECT_NE(text("claude").find("CLAUDE_STREAM_IDLE_TIMEOUT_MS=3600000"), std::string::npos);
  EXPECT_NE(text("codex").find("stream_idle_timeout_ms=3600000"), std::string::npos);
  EXPECT_NE(text("opencode").find("\"timeout\":false"), std::string::npos);
  EXPECT_NE(text("qwen").find("QWEN_STREAM_IDLE_TIMEOUT_MS=3600000"), std::string::npos);
}

TEST(Clients, AnUnknownContextIsLeftOut) {
  ServerAddress server = kServer;
  server.context_tokens = 0;
  for (const std::string_view name : client_names())
    EXPECT_EQ(setup_client(name, server).value().to_text().find("32768"), std::string::npos);
}

TEST(Clients, TextIsForAShell) {
  const std::string text = setup_client("aider", kServer).value().to_text();
  EXPECT_NE(text.find("export OPENAI_API_BASE=http://127.0.0.1:8000/v1\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("'openai/Qwen 2.5 '\\''x'\\'''"), std::string::npos) << text;
}

TEST(Clients, OthersAreNamed) {
  const auto setup = setup_client("emacs", kServer);
  ASSERT_FALSE(setup.ok());
  EXPECT_NE(setup.error().message.find("open-webui"), std::string::npos);
}

}  // namespace
}  // namespace pippin::app
