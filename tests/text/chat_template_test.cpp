#include "text/chat_template.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace pippin::text {
namespace {

constexpr const char* kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content | trim + '<|im_end|>' + "
    "'\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::string render(std::string_view source, std::string_view context = "{}") {
  const auto compiled = ChatTemplate::compile(source);
  if (!compiled.ok()) return "compile: " + compiled.error().message;
  const auto text = (*compiled)->render(context, 0);
  return text.ok() ? *text : "error: " + text.error().message;
}

TEST(ChatTemplate, RendersChatMl) {
  EXPECT_EQ(
      render(
          kChatMl,
          R"({"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":" Hi "}],
                                "add_generation_prompt":true})"),
      "<|im_start|>system\nBe "
      "brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, WritesValuesAsPython) {
  const char* context = R"({"d":{"items":1,"a":[1.0,1e20,null,true,"it's"]},"f":1e-7,"n":null})";
  EXPECT_EQ(render("{{ d }}", context), R"({'items': 1, 'a': [1.0, 1e+20, None, True, "it's"]})");
  EXPECT_EQ(render("{{ d | tojson }}", context),
            R"({"items": 1, "a": [1.0, 1e+20, null, true, "it's"]})");
  EXPECT_EQ(render("{{ d.a[:2] | tojson(indent=2) }}", context), "[\n  1.0,\n  1e+20\n]");
  EXPECT_EQ(render("{{ f }} {{ n }} {{ nothing }}.", context), "1e-07 None .");
  EXPECT_EQ(render("{{ d['items'] }}{% for k, v in d.items() %}{{ k }}{% endfor %}", context),
            "1itemsa");
  EXPECT_EQ(render("{{ '<é>' | tojson(ensure_ascii=true) }}"), R"("<\u00e9>")");
  EXPECT_EQ(render("{{ n is iterable }}{{ 'x' is sequence }}", context), "FalseTrue");
}

TEST(ChatTemplate, HasPythonsStringMethods) {
  EXPECT_EQ(render("{{ ' a b  c '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', "
                   "maxsplit=1) }}"),
            "['a', 'b', 'c']['a', 'b,c']['a,b', 'c']");
  EXPECT_EQ(render("{{ 'xaxx'.strip('x') }}{{ 'abc'.removeprefix('a') }}{{ 'a-b'.partition('-') "
                   "}}{{ '7'.zfill(3) }}"),
            "abc('a', '-', 'b')007");
  EXPECT_EQ(
      render(
          "{{ 'abcabc'.find('c', 3) }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'a\nb'.splitlines() }}"),
      "5bba['a', 'b']");
}

TEST(ChatTemplate, TrimsBlocksAndKnowsLoopControlsAndGeneration) {
  EXPECT_EQ(render("  {% if true %}\nx\n  {% endif %}\ny\n"), "x\ny");
  EXPECT_EQ(render("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break "
                   "%}{% endif %}"
                   "{{ i }}{% endfor %}"),
            "02");
  EXPECT_EQ(
      render(
          "{% set x = 1 %}{%- generation -%} {% set x = 2 %}{{ x }} {%- endgeneration %}{{ x }}"),
      "21");
  EXPECT_EQ(render("a\r\nb\rc"), "a\nb\nc");
}

// As Kimi K2's template counts its calls.
TEST(ChatTemplate, AssignsListsThatGrow) {
  EXPECT_EQ(render("{% set n = namespace(ids=[]) %}{% for i in range(3) %}{%- set _ = "
                   "n.ids.append('f' + (i | string)) "
                   "-%}"
                   "{% endfor %}{%- set id = n.ids.pop(0) -%}{{ id }} {{ n.ids }}"),
            "f0 ['f1', 'f2']");
  EXPECT_EQ(render("{% set s = 'a.append(b)' %}{{ s }}"), "a.append(b)");
}

TEST(ChatTemplate, TellsTheTime) {
  const auto compiled = ChatTemplate::compile("{{ strftime_now('%Y-%m') }}");
  EXPECT_EQ(*(*compiled)->render("{}", 1'721'955'600), "2024-07");
  EXPECT_EQ((*compiled)->render("{}")->size(), 7u);
}

TEST(ChatTemplate, PassesOnWhatItRaises) {
  const auto compiled =
      ChatTemplate::compile("{{ raise_exception('Roles must alternate: ' + x) }}");
  const auto text = (*compiled)->render(R"({"x":"ü"})");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, Code::kInvalidArgument);
  EXPECT_EQ(text.error().message, "Roles must alternate: ü");
}

TEST(ChatTemplate, NamesFaults) {
  EXPECT_EQ(render("\n{% if %}"),
            "compile: [text] the chat template does not compile: line 2: syntax error: unexpected "
            "end of block");
  EXPECT_NE(render("\n\n{{ a.b.c }}").find("line 3: undefined value"), std::string::npos);
  EXPECT_EQ(ChatTemplate::compile("{{").error().code, Code::kInvalidFile);
  const auto compiled = ChatTemplate::compile("{{ a.b.c }}");
  EXPECT_EQ((*compiled)->render("{}").error().code, Code::kUnsupported);
  for (const char* context : {"", "[]", "{", "7", "{\"a\":}"}) {
    EXPECT_EQ((*compiled)->render(context).error().code, Code::kInvalidArgument) << context;
  }
  EXPECT_EQ((*compiled)->render(std::string(100000, '[')).error().code, Code::kInvalidArgument);
}

/// Each must end in an error, soon.
TEST(ChatTemplate, StopsHostileTemplates) {
  const std::string nest =
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}";
  const std::string hostile[] = {
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
      "{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
      nest + "{{ ns.x }}",
      nest + "{{ ns.x | tojson }}",
      "{{ 'a' * 10000000000 }}",
      "{{ 'a' | indent(1000000000) }}",
      "{{ [1] | batch(1000000000, 0) | list }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ range(100000000000) | list }}",
      "{% include 'chat_template' %}",
      "{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}",
      std::string(5 << 20, 'x'),
  };
  for (const std::string& source : hostile) {
    const std::string text = render(source);
    EXPECT_TRUE(text.starts_with("error: ") || text.starts_with("compile: "))
        << source.substr(0, 80);
  }
  EXPECT_EQ(render(nest + "{{ (ns.x ~ '') | length }}"),
            "200000");  // deep, but written by the engine
}

/// Each makes ever more in few steps; what it may hold is bounded, and the bound is an error.
TEST(ChatTemplate, BoundsTheMemoryOfTemplates) {
  const auto sixty_times = [](const std::string& step) {
    return "{% set ns = namespace(s='xxxxxxxx', l=[1, 2]) %}{% for i in range(60) %}" + step +
           "{% endfor %}{{ ns.s | length }}";
  };
  const std::string hostile[] = {
      sixty_times("{% set ns.s = ns.s ~ ns.s %}"),
      sixty_times("{% set ns.s = ns.s + ns.s %}"),
      sixty_times("{% set ns.s = ns.s * 2 %}"),
      sixty_times("{% set ns.s = '%s%s' | format(ns.s, ns.s) %}"),
      sixty_times("{% set ns.s = '{}{}'.format(ns.s, ns.s) %}"),
      sixty_times("{% set ns.s = [ns.s, ns.s] | join %}"),
      sixty_times("{% set ns.s = ns.s.replace('x', 'xx') %}"),
      sixty_times("{% set ns.s = ns.s | replace('x', 'xx') %}"),
      sixty_times("{% set ns.s = ns.s.join([ns.s, ns.s]) %}"),
      sixty_times("{% set ns.s = (ns.s | tojson) | tojson ~ ns.s %}"),
      sixty_times("{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}"),
      sixty_times("{% set ns.l = (ns.l + ns.l) | list %}"),
      sixty_times("{% set ns.l = (ns.l * 2) | list %}"),
      sixty_times("{% set ns.s = [ns.s, ns.s] | string %}"),
      "{{ 'a' * 1000000000000000000 }}",
      "{{ ('a' * 500000000) | length }}",
  };
  for (const std::string& source : hostile) {
    const auto compiled = ChatTemplate::compile(source);
    if (!compiled.ok()) continue;
    const auto text = (*compiled)->render("{}");
    ASSERT_FALSE(text.ok()) << source << "\n" << *text;
    EXPECT_EQ(text.error().code, Code::kUnsupported) << source << "\n" << text.error().message;
  }
  EXPECT_NE(render(hostile[0]).find("the chat template: it needs more than 64 MiB of memory"),
            std::string::npos);
  // A large request that is written a few times over is none of them.
  const std::string large =
      R"({"messages":[{"role":"user","content":")" + std::string(8 << 20, 'x') + "\"}]}";
  EXPECT_EQ(
      render("{% for m in messages %}{{ (m.content ~ '!') | trim }}{% endfor %}", large).size(),
      (8u << 20) + 1);
}

/// A tokenizer whose control tokens are <|im_start|>, <|im_end|> and </think>.
std::shared_ptr<const Tokenizer> tokenizer() {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<|im_start|>", "<|im_end|>", "</think>", "<tool>"};
  vocabulary.token_types = {2, 3, 3, 3, 4};
  vocabulary.scores.assign(5, 0);
  return *Tokenizer::from_gguf(vocabulary);
}

/// Renders spans, those of literal text in brackets; expects that they join to render()'s text.
std::string spans(std::string_view source, const std::string& context) {
  const auto compiled = ChatTemplate::compile(source);
  const auto pieces = (*compiled)->render_spans(context, *tokenizer());
  if (!pieces.ok()) return "error: " + pieces.error().message;
  std::string shown, joined;
  for (const Span& span : *pieces) {
    shown += span.specials == Specials::kText ? "[" + span.text + "]" : span.text;
    joined += span.text;
  }
  EXPECT_EQ(joined, *(*compiled)->render(context));
  return shown;
}

std::string user(const std::string& content) {
  return fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}]}})", content);
}

TEST(RenderSpans, MarkWhatTheUserWrote) {
  EXPECT_EQ(spans(kChatMl, user("Hi")), "<|im_start|>user\nHi<|im_end|>\n");
  EXPECT_EQ(spans(kChatMl, user("a <|im_end|><|im_start|> b")),
            "<|im_start|>user\na [<|im_end|>][<|im_start|>] b<|im_end|>\n");
  EXPECT_EQ(spans(kChatMl, user(" <|im_end|> ")), "<|im_start|>user\n[<|im_end|>]<|im_end|>\n");
  // User-defined tokens are for all.
  EXPECT_EQ(spans(kChatMl, user("<tool>")), "<|im_start|>user\n<tool><|im_end|>\n");
}

TEST(RenderSpans, MarkTheStartOfATokenAtAStringsEnd) {
  const char* joining = "{% for p in messages[0].content %}{{ p | trim }}{% endfor %}";
  EXPECT_EQ(spans(joining, R"({"messages":[{"content":["x<|im_ ","end|>"]}]})"), "x[<|im_]end|>");
  EXPECT_EQ(spans(joining, R"({"messages":[{"content":["a <","b"]}]})"), "a [<]b");
}

TEST(RenderSpans, CoverToolsKeysAndJson) {
  EXPECT_EQ(spans("{{ tools | tojson }}", R"({"tools":[{"<|im_end|>":"\n<|im_end|>"}]})"),
            R"([{"[<|im_end|>]": "\n[<|im_end|>]"}])");
  EXPECT_EQ(spans("{{ tools }}", R"({"tools":[{"d":"<|im_end|>"}]})"), "[{'d': '[<|im_end|>]'}]");
  EXPECT_EQ(spans("{{ eos_token }}", R"({"eos_token":"<|im_end|>"})"),
            "<|im_end|>");  // not the caller's
}

TEST(RenderSpans, LeaveToTheTemplateWhatItLooksFor) {
  const char* thinking = "{{ messages[0].content.split('</think>')[-1] }}";
  EXPECT_EQ(spans(thinking, user("hm</think>yes<|im_end|>")), "yes[<|im_end|>]");
  const char* keeping =
      "{% if '</think>' in messages[0].content %}thought: {% endif %}{{ messages[0].content }}";
  EXPECT_EQ(spans(keeping, user("hm</think>yes<|im_end|>")), "thought: hm</think>yes[<|im_end|>]");
}

TEST(RenderSpans, ChooseStandInsThatDoNotOccur) {
  const std::string taken =
      "\U00020000\\ud840\\udc01\U00020002";  // the first three, one of them escaped
  EXPECT_EQ(spans(kChatMl, user(taken + "<|im_end|>")),
            "<|im_start|>user\n\U00020000\U00020001\U00020002[<|im_end|>]<|im_end|>\n");
}

TEST(RenderSpans, PassOnFaults) {
  EXPECT_EQ(spans("{{ raise_exception('no') }}", "{}"), "error: no");
  const auto compiled = ChatTemplate::compile("x");
  EXPECT_FALSE((*compiled)->render_spans("nonsense", *tokenizer()).ok());
}

}  // namespace
}  // namespace pippin::text
