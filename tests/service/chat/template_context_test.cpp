#include "service/chat/template_context.h"

#include <gtest/gtest.h>

#include <string>

#include "parse/registry.h"
#include "service/json.h"

namespace pippin::service {
namespace {

/// A model of which only the template and the dialects are there.
class Rendering {
 public:
  explicit Rendering(const std::string& source) {
    model_.chat_template = *text::ChatTemplate::compile(source);
    model_.tool_dialect = parse::find_tool_dialect("hermes");
  }
  Model& model() { return model_; }

  Rendering& say(Role role, const std::string& text) {
    conversation_.messages.push_back({role, {TextPart{text}}, {}, {}, {}, {}});
    return *this;
  }
  Message& last() { return conversation_.messages.back(); }
  Conversation& conversation() { return conversation_; }

  std::string text(Adaptation adaptation = Adaptation::kPlain) {
    const auto text =
        model_.chat_template->render(template_context(model_, conversation_, adaptation));
    return text.ok() ? *text : "error: " + text.error().message;
  }

 private:
  Model model_;
  Conversation conversation_;
};

const std::string kPlainTemplate =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
const std::string kCallsTemplate =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "[{{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}{% endfor "
    "%}";

const Tool kTool = {"f", "", R"({"type": "function", "function": {"name": "f"}})", false};

TEST(TemplateContext, ToolsGoIntoTheSystemMessageOfATemplateWithoutWordsForThem) {
  Rendering it(kPlainTemplate);
  it.say(Role::kSystem, "Be kind.").say(Role::kUser, "hi");
  it.conversation().tools = {kTool};
  const std::string text = it.text();
  EXPECT_TRUE(text.starts_with("<system>Be kind.\n\n# Tools")) << text;
  EXPECT_NE(text.find(kTool.definition_json), std::string::npos);
  EXPECT_NE(text.find("<tool_call>\n{\"name\": \"function_name\""), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("<user>hi"));
}

TEST(TemplateContext, CallsAndResultsAreWrittenInTheDialect) {
  Rendering it(kPlainTemplate);
  it.say(Role::kUser, "u").say(Role::kAssistant, "Well.");
  it.last().tool_calls = {{"c1", "f", R"({"x": 1})"}};
  it.say(Role::kTool, "r1").say(Role::kTool, "r2");
  EXPECT_EQ(it.text(),
            "<user>u<assistant>Well.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n"
            "</tool_call><user><tool_response>\nr1\n</tool_response>\n<tool_response>\nr2\n"
            "</tool_response>");
}

TEST(TemplateContext, NativeCallsGetArgumentsAsAnObject) {
  Rendering it(kCallsTemplate);
  it.say(Role::kAssistant, "");
  it.last().tool_calls = {{"c1", "f", R"({"x": 1})"}, {"c2", "g", "no JSON"}};
  EXPECT_EQ(it.text(), "<assistant>[c1 f {\"x\": 1}][c2 g \"no JSON\"]");
  EXPECT_EQ(it.text(Adaptation::kStrict),
            "<assistant>[c1 f {\"x\": 1}][c2 g {\"arguments\": \"no JSON\"}]");
}

TEST(TemplateContext, CallsAreKeptWhereTheyAreOnlyWrittenWithoutContent) {
  // As DeepSeek R1's template, which drops the calls of a message with a text.
  const std::string source =
      "{% for m in messages %}{%- if m.role == 'assistant' and m['content'] is none -%}"
      "{% for c in m.tool_calls %}[{{ c.function.name }}]{% endfor %}"
      "{%- else -%}<{{ m.role }}>{{ m.content }}{%- endif -%}{% endfor %}"
      "{# message['role'] == 'assistant' and message['content'] is none #}";
  Rendering bare(source);
  bare.say(Role::kAssistant, "");
  bare.last().parts.clear();
  bare.last().tool_calls = {{"c1", "f", R"({"x": 1})"}};
  EXPECT_EQ(bare.text(), "[f]");
  Rendering both(source);
  both.say(Role::kAssistant, "Well.");
  both.last().tool_calls = {{"c1", "f", R"({"x": 1})"}};
  EXPECT_EQ(both.text(),
            "<assistant>Well.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n"
            "</tool_call>");
}

TEST(TemplateContext, FunctionsAndTheDayAreGivenWhereTheTemplateJoinsThem) {
  Rendering it("{{ 'Call ' + functions }}{{ '|' + datetime }}");
  it.conversation().tools = {kTool};
  const std::string text = it.text();
  EXPECT_TRUE(text.starts_with(R"(Call [{"name":"f"}]|20)")) << text;
  EXPECT_EQ(text.size(), std::string_view(R"(Call [{"name":"f"}]|2000-01-31)").size()) << text;
}

TEST(TemplateContext, ArgumentsThatAreJoinedToTextStayText) {
  Rendering it(
      "{% for m in messages %}{% for c in m.tool_calls %}{{ 'f' + "
      "c['function']['arguments'] + '.' }}{% endfor %}{% endfor %}");
  it.say(Role::kAssistant, "");
  it.last().tool_calls = {{"c1", "f", R"({"x": 1})"}};
  EXPECT_EQ(it.text(), "f{\"x\": 1}.");
  // The word in a sentence tells nothing.
  Rendering told(
      "Use JSON for arguments.{% for m in messages %}{% for c in m.tool_calls %}{{ "
      "c['function']['arguments'] }}{% endfor %}{% endfor %}");
  told.say(Role::kAssistant, "");
  told.last().tool_calls = {{"c1", "f", R"({"x": 1})"}};
  EXPECT_EQ(told.text(), "Use JSON for arguments.{\"x\": 1}");
}

TEST(TemplateContext, IdsTakeTheFormThatTheTemplateInsistsOn) {
  Rendering nine(kCallsTemplate +
                 "{% if messages[0].tool_calls[0].id|length != 9 %}{{ "
                 "raise_exception('ids') }}{% endif %}");
  nine.say(Role::kAssistant, "");
  nine.last().tool_calls = {{"call_abcDEF0123456", "f", "{}"}};
  EXPECT_EQ(nine.text(), "<assistant>[EF0123456 f {}]");
  Rendering kimi("<|tool_call_argument_begin|>" + kCallsTemplate +
                 "{{ messages[-1].tool_call_id }}");
  kimi.say(Role::kAssistant, "");
  kimi.last().tool_calls = {{"call_1", "f", "{}"}, {"call_2", "g", "{}"}};
  kimi.say(Role::kTool, "r");
  kimi.last().tool_call_id = "call_2";
  EXPECT_TRUE(kimi.text().ends_with("[functions.f:0 f {}][functions.g:1 g {}]<tool>rfunctions.g:1"))
      << kimi.text();
}

TEST(TemplateContext, SystemGoesToTheUserWhereTheRoleIsRefused) {
  Rendering it(kPlainTemplate +
               "{% if messages[0].role == 'system' %}{{ raise_exception('System "
               "role not supported') }}{% endif %}");
  it.say(Role::kSystem, "s").say(Role::kUser, "u");
  EXPECT_EQ(it.text(), "<user>s\n\nu");
  it.say(Role::kAssistant, "a").say(Role::kSystem, "late");
  EXPECT_EQ(it.text(), "<user>s\n\nu<assistant>a<user>late") << "nothing in front of it changes";
}

TEST(TemplateContext, StrictlyRolesTakeTurns) {
  Rendering it(kPlainTemplate);
  it.say(Role::kSystem, "s").say(Role::kUser, "a").say(Role::kSystem, "late").say(Role::kUser, "b");
  EXPECT_EQ(it.text(), "<system>s<user>a<system>late<user>b");
  EXPECT_EQ(it.text(Adaptation::kStrict), "<system>s<user>a\n\nlate\n\nb");
}

TEST(TemplateContext, ThinkingIsGivenNativelyElseBetweenKnownMarksElseLeftOut) {
  Rendering native(kPlainTemplate + "{{ messages[0].reasoning_content }}");
  Rendering marks(kPlainTemplate + "{# </think> #}{{ messages[0].content.split('</think>')[-1] }}");
  Rendering neither(kPlainTemplate);
  for (Rendering* it : {&native, &marks, &neither}) {
    it->model().reasoning_dialect = parse::find_reasoning_dialect("think");
    it->say(Role::kAssistant, "so");
    it->last().reasoning = "why";
  }
  EXPECT_EQ(native.text(), "<assistant>sowhy");
  EXPECT_EQ(marks.text(), "<assistant><think>\nwhy\n</think>\n\nso\n\nso");
  EXPECT_EQ(neither.text(), "<assistant>so");
}

}  // namespace
}  // namespace pippin::service
