// Calls and thinking, written into the history by real chat templates, are read back by the
// dialects that are chosen for those templates: what a model learnt to write is what is understood.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>

#include "parse/answer_parser.h"
#include "parse/registry.h"
#include "service/chat/template_context.h"

namespace pippin::service {
namespace {

namespace json = boost::json;

constexpr const char* kStore = R"({"type":"object","properties":{
  "path":{"type":"string","description":"Where."},"text":{"type":"string","description":"What."},
  "lines":{"type":"integer","description":""},"ratio":{"type":"number","description":""},
  "force":{"type":"boolean","description":""},
  "options":{"type":"object","description":"","additionalProperties":true},
  "tags":{"type":"array","description":"","items":{"type":"string"}}}})";
constexpr const char* kEmpty = R"({"type":"object","properties":{}})";

Tool tool(const std::string& name, const std::string& parameters) {
  return {name, parameters,
          fmt::format(R"({{"type":"function","function":{{"name":"{}","description":"Does it.",)"
                      R"("parameters":{}}}}})",
                      name, parameters),
          false};
}

/// An answer, and what it takes of a template to write it.
struct Sample {
  std::string name;
  std::string reasoning, content;
  std::vector<ToolCall> calls;
};

std::vector<Sample> samples() {
  const std::string text =
      R"({"path":"C:\\tmp\\\u00e9 \"x\".txt","text":"line 1\n\tline <b>2</b> & 'three'\n\nend \ud83d\ude00"})";
  const std::string kinds =
      R"({"path":"a","lines":3,"ratio":-2.5,"force":true,"options":{"a":{"b":[1,)"
      R"({"c":false}],"d":"x, y"}},"tags":["p","q r"]})";
  const std::string nothing = R"({"path":"a","options":{"b":[null,{"c":null}]}})";
  const std::string misleading = R"({"path":"123","text":"true"})";
  return {
      {"texts", "", "", {{"call_abc123", "store", text}}},
      {"kinds", "", "", {{"call_abc123", "store", kinds}}},
      {"nulls", "", "", {{"call_abc123", "store", nothing}}},
      {"misleading texts", "", "", {{"call_abc123", "store", misleading}}},
      {"no arguments", "", "", {{"call_abc123", "ping", "{}"}}},
      {"two calls", "", "", {{"call_abc123", "store", kinds}, {"call_abc124", "ping", "{}"}}},
      {"content and a call", "", "I will look.", {{"call_abc123", "store", text}}},
      {"thinking and a call", "Look first.\n\nThen write.", "", {{"call_abc123", "store", kinds}}},
      {"thinking and content", "Two and two.\n\nFour.", "It is 4.\n\n- four", {}},
  };
}

/// One chat template and the dialects that are chosen by it.
class RoundTrip {
 public:
  RoundTrip(const std::string& source, const std::string& name) {
    const auto compiled = text::ChatTemplate::compile(source);
    EXPECT_TRUE(compiled.ok()) << name;
    if (!compiled.ok()) return;
    model_.chat_template = *compiled;
    model_.tool_dialect = &parse::detect_tool_dialect(source, name);
    model_.reasoning_dialect = parse::detect_reasoning_dialect(source, name);
    model_.bos_text = "<s>";
    model_.eos_text = "</s>";
    base_.template_kwargs_json = R"({"datetime":"Feb 14 2024"})";
    base_.tools = {tool("store", kStore), tool("ping", kEmpty)};
    base_.messages.push_back({Role::kUser, {TextPart{"Go on."}}, {}, {}, {}, {}});
  }

  const Model& model() const { return model_; }

  /// Returns the answer as the template writes it; nothing where the template
  /// refuses the conversation.
  std::optional<std::string> written(const Sample& sample) {
    Conversation asked = base_, bare = base_, answered = base_;
    bare.add_generation_prompt = answered.add_generation_prompt = false;
    Message message{Role::kAssistant, {}, {}, sample.calls, {}, sample.reasoning};
    if (!sample.content.empty()) message.parts = {TextPart{sample.content}};
    answered.messages.push_back(message);
    const auto prompt = render(asked), before = render(bare), whole = render(answered);
    if (!prompt || !before || !whole) return std::nullopt;
    asked_ = *prompt;
    size_t same = 0;
    while (same < prompt->size() && same < whole->size() && (*prompt)[same] == (*whole)[same])
      ++same;
    // Not within a mark.
    const size_t mark = whole->rfind("<|", same == 0 ? 0 : same - 1);
    if (mark < same && whole->find('>', mark) >= same) same = mark;
    // Where the prompt opens the answer with thinking of its own, the answer begins before that.
    if (same < prompt->size()) same = before_marks(prompt->substr(0, same), before->size());
    prompt_ = prompt->substr(0, same);
    const std::string answer = whole->substr(same, behind_answer(*before, *whole) - same);
    return without_specials(without_end(answer));
  }

  parse::Events read(const std::string& answer) const {
    parse::AnswerOptions options;
    options.tools = model_.tool_dialect;
    options.reasoning = model_.reasoning_dialect;
    for (const Tool& one : base_.tools) options.offered.push_back({one.name, one.parameters_json});
    options.starts_inside = is_opened_by_prompt(answer);
    options.generation_prefix = parse::generation_prefix(*options.tools, prompt_);
    parse::AnswerParser parser(options);
    parse::Events events;
    parser.push(answer, events);
    parser.finish(events);
    return events;
  }

 private:
  std::optional<std::string> render(const Conversation& conversation) const {
    for (const Adaptation adaptation : {Adaptation::kPlain, Adaptation::kStrict}) {
      const auto text =
          model_.chat_template->render(template_context(model_, conversation, adaptation), 0);
      if (text.ok()) return *text;
    }
    return std::nullopt;
  }

  // Some templates end with instructions, whatever was said.
  static size_t behind_answer(const std::string& before, const std::string& whole) {
    constexpr size_t kInstructions = 60;
    size_t same = 0;
    while (same < before.size() && same < whole.size() &&
           before[before.size() - 1 - same] == whole[whole.size() - 1 - same])
      ++same;
    return whole.size() - (same >= kInstructions ? same : 0);
  }

  // Where a mark of thinking stands behind `from`, or begins at the end.
  size_t before_marks(const std::string& text, size_t from) const {
    size_t first = text.size();
    if (model_.reasoning_dialect == nullptr) return first;
    for (const parse::Mark& mark : model_.reasoning_dialect->marks) {
      if (mark.text.empty()) continue;
      if (mark.turn != parse::Mark::Turn::kDrop)
        first = std::min(first, text.find(mark.text, std::min(from, text.size())));
      for (size_t bytes = 1; bytes < mark.text.size(); ++bytes)
        if (text.ends_with(mark.text.substr(0, bytes)))
          first = std::min(first, text.size() - bytes);
    }
    return first;
  }

  // The history of some templates has thinking without the mark that their prompt opens it with.
  bool is_opened_by_prompt(const std::string& answer) const {
    if (model_.reasoning_dialect == nullptr) return false;
    if (parse::starts_inside(*model_.reasoning_dialect, prompt_)) return true;
    bool opens = false, closes = false;
    for (const parse::Mark& mark : model_.reasoning_dialect->marks) {
      const bool stands = !mark.text.empty() && answer.find(mark.text) != std::string::npos;
      opens = opens || (stands && mark.turn == parse::Mark::Turn::kOpen);
      closes = closes || (stands && mark.turn == parse::Mark::Turn::kClose);
    }
    return closes && !opens && parse::starts_inside(*model_.reasoning_dialect, asked_);
  }

  // What ends an answer is no part of it, nor is a turn that some templates always begin.
  static std::string without_end(std::string text) {
    constexpr std::string_view kEnds[] = {"</s>",
                                          "<|eot_id|>",
                                          "<|end_of_text|>",
                                          "<end_of_turn>",
                                          "<turn|>",
                                          "[e~[",
                                          "</assistant>",
                                          "<seed:eos>",
                                          "<sep>",
                                          "<|message_sep|>",
                                          "<|eot|>",
                                          "<|tool_response>",
                                          "<end_of_sentence>",
                                          "<|start_header_id|>assistant<|end_header_id|>"};
    for (bool cut = true; cut;) {
      cut = false;
      while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
        text.pop_back();
      for (const std::string_view end : kEnds) {
        if (!text.ends_with(end)) continue;
        text.resize(text.size() - end.size());
        cut = true;
      }
    }
    return text;
  }

  // Special tokens are a part of an answer's text only where its parser looks for them.
  std::string without_specials(const std::string& text) const {
    static const std::regex kSpecial(R"(<\|[^|<>]*\|>|<｜[^<>]*｜>|<SPECIAL_\d+>|</s>)");
    std::string out;
    auto from = text.cbegin();
    for (auto it = std::sregex_iterator(text.begin(), text.end(), kSpecial);
         it != std::sregex_iterator(); ++it) {
      out.append(from, (*it)[0].first);
      if (parse::looks_for(model_.tool_dialect, model_.reasoning_dialect, it->str()))
        out += it->str();
      from = (*it)[0].second;
    }
    return out.append(from, text.cend());
  }

  Model model_;
  Conversation base_;
  std::string asked_, prompt_;  // the prompt, and what of it the history begins with
};

/// Members sorted by name: some templates sort them.
json::value sorted(const json::value& value) {
  if (const json::array* items = value.if_array()) {
    json::array out;
    for (const json::value& item : *items) out.push_back(sorted(item));
    return out;
  }
  const json::object* members = value.if_object();
  if (members == nullptr) return value;
  std::map<std::string, json::value> by_name;
  for (const auto& [name, member] : *members) by_name[std::string(name)] = sorted(member);
  json::object out;
  for (auto& [name, member] : by_name) out[name] = std::move(member);
  return out;
}

/// What an answer was read as, or ought to be, as text that can be compared.
std::string told(std::string_view reasoning, std::string_view content,
                 const std::vector<ToolCall>& calls) {
  const auto trimmed = [](std::string_view text) {
    const size_t first = text.find_first_not_of(" \n"), last = text.find_last_not_of(" \n");
    return first == text.npos ? std::string_view() : text.substr(first, last - first + 1);
  };
  std::string out =
      fmt::format("thinking: {}\ncontent: {}\n", trimmed(reasoning), trimmed(content));
  for (const ToolCall& call : calls) {
    boost::system::error_code error;
    const json::value arguments = json::parse(call.arguments_json, error);
    out +=
        fmt::format("{} {}\n", call.name,
                    error ? "BROKEN " + call.arguments_json : json::serialize(sorted(arguments)));
  }
  return out;
}

std::string told(const parse::Events& events) {
  std::string reasoning, content;
  std::vector<ToolCall> calls;
  std::string notes;
  for (const parse::Event& event : events) {
    if (const auto* e = std::get_if<parse::ReasoningText>(&event)) reasoning += e->text;
    if (const auto* e = std::get_if<parse::ContentText>(&event)) content += e->text;
    if (const auto* e = std::get_if<parse::ToolCallBegin>(&event))
      calls.push_back({"", e->name, ""});
    if (const auto* e = std::get_if<parse::ToolCallArguments>(&event))
      calls.back().arguments_json += e->json;
    if (const auto* e = std::get_if<parse::ToolCallEnd>(&event); e != nullptr && !e->complete)
      notes += "an incomplete call\n";
    if (const auto* e = std::get_if<parse::Malformed>(&event)) notes += std::string(e->what) + "\n";
  }
  return told(reasoning, content, calls) + notes;
}

/// The dialects of calls and of thinking that each template must be taken for.
const std::map<std::string, std::pair<std::string, std::string>> kChosen = {
    {"Apertus-8B-Instruct", {"apertus", "apertus"}},
    {"Apriel-1.6-15b-Thinker-fixed", {"jamba", "thinking"}},
    {"Bielik-11B-v3.0-Instruct", {"hermes", "think"}},
    {"ByteDance-Seed-OSS", {"seed_oss", "seed_oss"}},
    {"Cohere2MoE", {"command_r", "command_r"}},
    {"CohereForAI-c4ai-command-r-plus-tool_use", {"command_r", "none"}},
    {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", {"command_r", "command_r"}},
    {"GLM-4.6", {"glm45", "glm4"}},
    {"GLM-4.7-Flash", {"glm47", "glm4"}},
    {"GigaChat3-10B-A1.8B", {"gigachat", "none"}},
    {"GigaChat3.1-10B-A1.8B", {"gigachat", "none"}},
    {"HuggingFaceTB-SmolLM3-3B", {"hermes", "think"}},
    {"Kimi-K2-Instruct", {"kimi_k2", "none"}},
    {"Kimi-K2-Thinking", {"kimi_k2", "think"}},
    {"Kimi-K3", {"kimi_k3", "kimi_k3"}},
    {"LFM2-8B-A1B", {"lfm2", "none"}},
    {"LFM2.5-8B-A1B", {"lfm2", "think"}},
    {"LFM2.5-Instruct", {"lfm2", "think"}},
    {"MiMo-VL", {"hermes", "none"}},
    {"MiniMax-M1", {"minimax_m1", "none"}},
    {"MiniMax-M2", {"minimax_m2", "think"}},
    {"MiniMax-M3", {"minimax_m3", "minimax_m3"}},
    {"Mistral-Small-3.2-24B-Instruct-2506", {"mistral_args", "none"}},
    {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"qwen3_coder", "think"}},
    {"NVIDIA-Nemotron-Nano-v2", {"nemotron", "think"}},
    {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", {"hermes", "none"}},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", {"hermes", "none"}},
    {"Qwen-QwQ-32B", {"hermes", "think"}},
    {"Qwen-Qwen2.5-7B-Instruct", {"hermes", "none"}},
    {"Qwen-Qwen3-0.6B", {"hermes", "think"}},
    {"Qwen3-Coder", {"qwen3_coder", "none"}},
    {"Qwen3.5-4B", {"qwen3_coder", "think"}},
    {"Reka-Edge", {"hermes", "think"}},
    {"Spark2.5", {"glm47", "think"}},
    {"StepFun3.5-Flash", {"step3p5", "think"}},
    {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", {"deepseek_v3", "think"}},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", {"deepseek_v3", "think"}},
    {"deepseek-ai-DeepSeek-V3.1", {"deepseek_v31", "think"}},
    {"deepseek-ai-DeepSeek-V3.2", {"deepseek_v32", "think"}},
    {"deepseek-ai-DeepSeek-V4-Flash-0731", {"deepseek_v32", "think"}},
    {"deepseek-ai-DeepSeek-V4", {"deepseek_v32", "think"}},
    {"fireworks-ai-llama-3-firefunction-v2", {"phi4", "none"}},
    {"google-gemma-2-2b-it", {"generic", "none"}},
    {"google-gemma-4-31B-it-interleaved", {"gemma4", "gemma4"}},
    {"google-gemma-4-31B-it", {"gemma4", "gemma4"}},
    {"ibm-granite-granite-3.3-2B-Instruct", {"granite", "granite3.3"}},
    {"ibm-granite-granite-4.0", {"hermes", "none"}},
    {"ibm-granite-granite-4.1", {"hermes", "none"}},
    {"inclusionai-ling-3.0-flash", {"glm45", "think"}},
    {"llama-cpp-deepseek-r1", {"deepseek_v3", "think"}},
    {"llama-cpp-rwkv-world", {"generic", "think"}},
    {"llm-jp-llm-jp-4.1-8b-thinking", {"harmony", "harmony"}},
    {"meetkai-functionary-medium-v3.1", {"functionary_v31", "none"}},
    {"meetkai-functionary-medium-v3.2", {"functionary", "none"}},
    {"meta-llama-Llama-3.1-8B-Instruct", {"llama3", "none"}},
    {"meta-llama-Llama-3.2-3B-Instruct", {"llama3", "none"}},
    {"meta-llama-Llama-3.3-70B-Instruct", {"llama3", "none"}},
    {"microsoft-Phi-3.5-mini-instruct", {"generic", "none"}},
    {"mistralai-Ministral-3-14B-Reasoning-2512", {"mistral_args", "mistral"}},
    {"mistralai-Mistral-Nemo-Instruct-2407", {"mistral", "none"}},
    {"moonshotai-Kimi-K2", {"kimi_k2", "none"}},
    {"muse-glimmer", {"muse", "muse"}},
    {"openai-gpt-oss-120b", {"harmony", "harmony"}},
    {"openbmb-MiniCPM5-1B", {"minicpm5", "think"}},
    {"poolside-Laguna-S-2.1", {"glm45", "think"}},
    {"poolside-Laguna-XS-2.1", {"glm45", "think"}},
    {"poolside-Laguna-XS.2", {"glm45", "think"}},
    {"tencent-Hy3", {"hunyuan", "hunyuan"}},
    {"unsloth-Apriel-1.5", {"jamba", "thinking"}},
    {"unsloth-mistral-Devstral-Small-2507", {"mistral_args", "none"}},
    {"upstage-Solar-Open-100B", {"solar_open", "solar_open"}},
};

// What templates write so that nobody could read it back: the template, the sample.
const std::set<std::pair<std::string, std::string>> kLost = {
    // Strings without escapes.
    {"LFM2.5-8B-A1B", "texts"},
    {"LFM2.5-8B-A1B", "content and a call"},
    // No null.
    {"MiniMax-M3", "nulls"},
    // Content behind a mark that opens thinking and is never closed.
    {"NVIDIA-Nemotron-Nano-v2", "content and a call"},
    {"NVIDIA-Nemotron-Nano-v2", "thinking and a call"},
    {"NVIDIA-Nemotron-Nano-v2", "thinking and content"},
};

// What of a sample the template has written: many leave out earlier thinking, some content beside
// calls, or all calls but the first.
std::string wanted_of(const Model& model, const Sample& sample, const std::string& answer) {
  const auto stands = [&](const std::string& text) {
    return answer.find(text.substr(0, 8)) != std::string::npos;
  };
  std::string thinking = stands(sample.reasoning) ? sample.reasoning : "";
  std::string content = stands(sample.content) ? sample.content : "";
  // Harmony has what is said before a call as thinking.
  if (model.tool_dialect->name == "harmony" && !sample.calls.empty() && thinking.empty())
    thinking.swap(content);
  std::vector<ToolCall> calls = sample.calls;
  if (calls.size() > 1 && answer.find(calls[1].name) == std::string::npos) calls.resize(1);
  return told(thinking, content, calls);
}

TEST(RoundTrip, WhatTemplatesWriteIsReadBack) {
  const char* named = std::getenv("PIPPIN_TEST_TEMPLATES");
  const std::filesystem::path folder =
      named != nullptr ? named : PIPPIN_SOURCE_DIR "/.deps/templates";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no templates in " << folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jinja") continue;
    const std::string name = entry.path().stem().string();
    std::ifstream file(entry.path());
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    RoundTrip trip(source, name);
    if (trip.model().chat_template == nullptr) continue;
    SCOPED_TRACE(fmt::format(
        "{}: tools {}, thinking {}", name, trip.model().tool_dialect->name,
        trip.model().reasoning_dialect ? trip.model().reasoning_dialect->name : "none"));
    const auto chosen = kChosen.find(name);
    if (chosen != kChosen.end()) {
      EXPECT_EQ(trip.model().tool_dialect->name, chosen->second.first);
      EXPECT_EQ(trip.model().reasoning_dialect ? trip.model().reasoning_dialect->name : "none",
                chosen->second.second);
    }
    int written = 0;
    for (const Sample& sample : samples()) {
      if (kLost.contains({name, sample.name})) continue;
      const std::optional<std::string> answer = trip.written(sample);
      if (!answer) continue;
      ++written;
      const std::string wanted = wanted_of(trip.model(), sample, *answer);
      const std::string found = told(trip.read(*answer));
      EXPECT_TRUE(found == wanted) << sample.name << ", written as\n"
                                   << *answer << "\nread as\n"
                                   << found << "instead of\n"
                                   << wanted;
    }
    EXPECT_GE(written, 4);
  }
}

}  // namespace
}  // namespace pippin::service
