// Prompts by the templates of Modelfiles: what they write, and how much of it.
#include "api/ollama/go_template.h"

#include <gtest/gtest.h>

#include <string>

namespace pippin::api::ollama {
namespace {

service::Conversation said(const std::string& text) {
  service::Message message;
  message.role = service::Role::kUser;
  message.parts.emplace_back(service::TextPart{text});
  service::Conversation conversation;
  conversation.messages.push_back(std::move(message));
  return conversation;
}

std::string written(std::string_view text, const service::Conversation& conversation) {
  const auto spans = render_go_template(text, conversation);
  if (!spans.ok()) return "error: " + spans.error().message;
  std::string all;
  for (const text::Span& span : *spans) all += span.text;
  return all;
}

std::string repeated(std::string_view text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(GoTemplate, WritesWhatWasSaid) {
  constexpr std::string_view kTemplate =
      "{{ if .System }}S:{{ .System }}{{ end }}U:{{ .Prompt }} A:{{ .Response }}E";
  EXPECT_EQ(written(kTemplate, said("hello")), "U:hello A:");
  EXPECT_EQ(written("{{.Prompt}}{{.Prompt}}", said("ab")), "abab");
}

TEST(GoTemplate, BoundsWhatItMakesOfARequest) {
  for (const size_t kib : {1, 16, 64}) {
    const std::string prompt(kib << 10, 'x');
    const auto spans = render_go_template(repeated("{{.Prompt}}", kib * 93), said(prompt));
    ASSERT_FALSE(spans.ok()) << kib;
    EXPECT_EQ(spans.error().code, Code::kTooLarge);
    EXPECT_EQ(spans.error().param, "template");
  }
  // A long conversation under an ordinary template is not near the bound.
  service::Conversation talk;
  for (int i = 0; i < 2000; ++i) {
    service::Conversation one = said("a few words each");
    if (i % 2 == 1) one.messages[0].role = service::Role::kAssistant;
    talk.messages.push_back(one.messages[0]);
  }
  const std::string text = written("<|user|>{{ .Prompt }}<|answer|>{{ .Response }}<|end|>", talk);
  EXPECT_EQ(text.size(), 1000 * (8 + 10 + 7 + 2 * 16) + 8 + 10);
}

}  // namespace
}  // namespace pippin::api::ollama
