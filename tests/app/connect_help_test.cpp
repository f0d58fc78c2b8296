#include "app/connect_help.h"

#include <gtest/gtest.h>

namespace pippin::app {
namespace {

TEST(Url, NamesAnAddressThatCanBeReached) {
  EXPECT_EQ(url_of("127.0.0.1", 8000), "http://127.0.0.1:8000");
  EXPECT_EQ(url_of("0.0.0.0", 1), "http://127.0.0.1:1");
  EXPECT_EQ(url_of("::", 80), "http://[::1]:80");
  EXPECT_EQ(url_of("::1", 80), "http://[::1]:80");
  EXPECT_EQ(url_of("box.lan", 8080), "http://box.lan:8080");
}

TEST(Exposure, BeyondLoopbackNeedsKeysOrAFlag) {
  for (const char* host : {"127.0.0.1", "127.9.9.9", "localhost", "::1"})
    EXPECT_TRUE(check_exposure(host, false, false).ok()) << host;
  for (const char* host :
       {"0.0.0.0", "::", "192.168.1.4", "example.org", "127.0.0.1.evil.org", "", "1270.0.0.1"}) {
    const auto refused = check_exposure(host, false, false);
    ASSERT_FALSE(refused.ok()) << host;
    EXPECT_EQ(refused.error().param, "--host");
    EXPECT_NE(refused.error().message.find("--allow-unauthenticated"), std::string::npos);
    EXPECT_TRUE(check_exposure(host, false, true).ok());
    EXPECT_TRUE(check_exposure(host, true, false).ok());
  }
}

TEST(ShellQuoted, SurvivesAShell) {
  EXPECT_EQ(shell_quoted("/a/b-1.gguf"), "/a/b-1.gguf");
  EXPECT_EQ(shell_quoted("a b"), "'a b'");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted("$(x)"), "'$(x)'");
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(ReadyText, HasTheUrlAndThreeWays) {
  const std::string text =
      ready_text("http://127.0.0.1:8000",
                 {"smol", "llama", "/m/a b.gguf", 8192, "  weights 1 GiB\n  kv 2 GiB\n"});
  for (const char* part :
       {"pippin serves smol at http://127.0.0.1:8000", "8192 tokens",
        "    weights 1 GiB\n    kv 2 GiB\n", "curl http://127.0.0.1:8000/v1/chat/completions",
        "base_url=\"http://127.0.0.1:8000/v1\"", "pippin run '/m/a b.gguf'"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
}

}  // namespace
}  // namespace pippin::app
