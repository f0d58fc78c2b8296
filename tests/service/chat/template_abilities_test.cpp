#include "service/chat/template_abilities.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace pippin::service {
namespace {

bool reads(std::string_view source, std::string_view name = "thinking") {
  return TemplateAbilities(source).reads(name);
}

TEST(TemplateAbilities, AVariableIsReadInATag) {
  EXPECT_TRUE(reads("{% if thinking %}x{% endif %}"));
  EXPECT_TRUE(reads("{{ thinking }}"));
  EXPECT_TRUE(reads("{%- if 'a' + thinking -%}"));
  EXPECT_TRUE(reads("{% if not thinking is defined %}{% set thinking = false %}{% endif %}"));
}

TEST(TemplateAbilities, OtherWordsAreNoVariable) {
  EXPECT_FALSE(reads("thinking {{ x }} thinking"));
  EXPECT_FALSE(reads("{{ 'thinking' }}{{ \"a \\\" thinking\" }}"));
  EXPECT_FALSE(reads("{{ message.thinking }}{{ message['thinking'] }}"));
  EXPECT_FALSE(reads("{{ enable_thinking }}{{ thinkings }}"));
  EXPECT_FALSE(reads("{% set thinking = message.thinking %}{{ thinking }}"));
  EXPECT_FALSE(reads("{% for thinking in list %}{{ thinking }}{% endfor %}"));
}

TEST(TemplateAbilities, CutSourcesEndTheReading) {
  for (const char* source : {"", "{", "{{", "{% if", "{{ 'a", "{{ 'a\\", "{{ a.", "}}", "%}"})
    EXPECT_FALSE(reads(source)) << source;
}

TEST(TemplateAbilities, WhatTurnsThinkingOn) {
  const TemplateAbilities abilities(
      "{% if enable_thinking is defined %}{{ reasoning_effort }}{% endif %}{{ '<|image|>' }}");
  EXPECT_EQ(abilities.thinking_variables(),
            (std::vector<std::string_view>{"enable_thinking", "reasoning_effort"}));
  EXPECT_TRUE(abilities.effort());
  EXPECT_TRUE(abilities.images());
  EXPECT_FALSE(TemplateAbilities("{{ messages }}").images());
  EXPECT_FALSE(TemplateAbilities("{{ 'reasoning_effort' }}").effort());
}

}  // namespace
}  // namespace pippin::service
