// A stream's chunks, joined, are the whole answer: text, thinking, calls, log probabilities, usage.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/routes/harness.h"
#include "service/json.h"

namespace pippin::api::testing {
namespace {

using boost::json::object;
using boost::json::value;

/// What the model writes, and what is asked beside.
struct Script {
  std::string answer;
  std::string options;  // members of the request, each behind a comma
};

const std::string kTools =
    R"(, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])";

std::vector<Script> scripts() {
  const std::string call =
      R"(<tool_call>{"name": "f", "arguments": {"x": [1, "é\n"], "y": {}}}</tool_call>)";
  std::vector<Script> all = {
      {"", ""},
      {"Hello, world", ""},
      {"Zürich 東京 🌧", ", \"logprobs\": true, \"top_logprobs\": 2"},
      {"one two three", R"(, "stop": ["thr", "two three"])"},
      {"almost a sto", R"(, "stop": "stop")"},
      {"<think>hm, é</think>\n\nso", ", \"logprobs\": true"},
      {"<think>never ends", ""},
      {"why</think>so", R"(, "chat_template_kwargs": {"think": true}, "logprobs": true)"},
      {"<think>a</think>b " + call, kTools + ", \"logprobs\": true, \"top_logprobs\": 1"},
      {call + "\n" + call + " done", kTools},
      {call + call, kTools + R"(, "parallel_tool_calls": false)"},
      {"<think>" + call + "</think>x", kTools},
      {"<tool_call>f of x</tool_call> <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": tru",
       kTools + ", \"logprobs\": true"},
      {"```json\n{\"name\": \"f\", \"arguments\": {\"x\": 2}}\n```", kTools},
      {"a\n\n" + call + "\n\nb", kTools + R"(, "stop": ["b"], "logprobs": true)"},
      {"< tool_call> <too <tool_ca <tool_call", kTools},
      {"x <|im_start|> y </think> z", ", \"logprobs\": true"},
      {"seed me", ", \"n\": 3, \"seed\": 7, \"temperature\": 1"},
  };
  // Each also cut off at some lengths.
  const size_t count = all.size();
  for (size_t i = 0; i < count; ++i) {
    for (size_t tokens = 1; tokens < all[i].answer.size(); tokens += 3) {
      all.push_back(
          {all[i].answer, all[i].options + ", \"max_tokens\": " + std::to_string(tokens)});
    }
  }
  return all;
}

std::string text_of(const value& json) {
  std::string out;
  service::JsonWriter(out).value(json);
  return out;
}

std::string body_of(const Script& script, bool stream) {
  std::string body = R"({"model": "parrot", "messages": [{"role": "user", "content": )";
  service::append_json_string(body, script.answer);
  body += "}]" + script.options;
  if (stream) body += R"(, "stream": true, "stream_options": {"include_usage": true})";
  return body + "}";
}

void append_text(object& to, std::string_view name, const value& text) {
  if (text.is_null()) return;
  boost::json::string& all =
      to[name].is_string() ? to[name].get_string() : to[name].emplace_string();
  all.append(text.get_string());
}

// Joins a chunk's calls to those before, as clients do.
void append_calls(object& message, const boost::json::array& pieces) {
  boost::json::array& calls = message["tool_calls"].is_array()
                                  ? message["tool_calls"].get_array()
                                  : message["tool_calls"].emplace_array();
  for (const value& piece : pieces) {
    const object& call = piece.as_object();
    const auto index = static_cast<size_t>(call.at("index").as_int64());
    if (call.contains("id")) {
      ASSERT_EQ(index, calls.size()) << "calls begin in order";
      calls.push_back(object{{"name", call.at("function").at("name")}, {"arguments", ""}});
    }
    ASSERT_LT(index, calls.size());
    append_text(calls[index].as_object(), "arguments", call.at("function").at("arguments"));
  }
}

void append_chunk(const object& choice, object& to) {
  const object& delta = choice.at("delta").as_object();
  for (const auto& [name, piece] : delta) {
    if (name == "content" || name == "reasoning_content") append_text(to, name, piece);
    if (name == "tool_calls") append_calls(to, piece.as_array());
  }
  if (const value& scores = choice.at("logprobs"); !scores.is_null()) {
    boost::json::array& all =
        to["logprobs"].is_array() ? to["logprobs"].get_array() : to["logprobs"].emplace_array();
    for (const value& token : scores.at("content").as_array()) all.push_back(token);
  }
  if (!choice.at("finish_reason").is_null()) to["finish_reason"] = choice.at("finish_reason");
}

// Returns [choices.., usage] in one form for both kinds of answer.
std::string joined(const Response& stream) {
  std::vector<object> choices;
  value usage;
  for (size_t at = 0; (at = stream.body.find("data: ", at)) != std::string::npos; ++at) {
    const std::string line = stream.body.substr(at + 6, stream.body.find("\n\n", at) - at - 6);
    if (line == "[DONE]") continue;
    const object chunk = service::parse_json(line)->as_object();
    if (!chunk.at("usage").is_null()) usage = chunk.at("usage");
    for (const value& choice : chunk.at("choices").as_array()) {
      const auto index = static_cast<size_t>(choice.at("index").as_int64());
      if (choices.size() <= index) choices.resize(index + 1);
      append_chunk(choice.as_object(), choices[index]);
    }
  }
  boost::json::array all(choices.begin(), choices.end());
  all.push_back(usage);
  return text_of(all);
}

std::string whole(const Response& answer) {
  const object body = service::parse_json(answer.body)->as_object();
  boost::json::array all;
  for (const value& item : body.at("choices").as_array()) {
    const object& message = item.at("message").as_object();
    object choice;
    choice["content"] = message.at("content").is_null() ? value("") : message.at("content");
    if (message.contains("reasoning_content"))
      choice["reasoning_content"] = message.at("reasoning_content");
    if (message.contains("tool_calls")) {
      boost::json::array calls;
      for (const value& call : message.at("tool_calls").as_array())
        calls.push_back(call.at("function"));
      choice["tool_calls"] = calls;
    }
    if (const value& scores = item.at("logprobs"); !scores.is_null()) {
      if (!scores.at("content").as_array().empty()) choice["logprobs"] = scores.at("content");
    }
    choice["finish_reason"] = item.at("finish_reason");
    all.push_back(choice);
  }
  all.push_back(body.at("usage"));
  return text_of(all);
}

// The order of an object's members and what was cached on the way do not matter.
value comparable(const std::string& text) {
  value parsed = *service::parse_json(text);
  for (value& item : parsed.as_array()) {
    if (item.as_object().contains("prompt_tokens_details"))
      item.as_object().erase("prompt_tokens_details");
  }
  return parsed;
}

TEST(Streams, JoinToTheWholeAnswer) {
  HarnessOptions options;
  options.context_tokens_max = 2048;
  options.blocks = 512;
  Harness harness(options);
  int calls = 0, reasoned = 0;
  for (const Script& script : scripts()) {
    if (script.answer.empty()) continue;
    const Response answer = harness.call("POST", "/v1/chat/completions", body_of(script, false));
    const Response stream = harness.call("POST", "/v1/chat/completions", body_of(script, true));
    ASSERT_EQ(answer.status, 200) << answer.body;
    ASSERT_EQ(stream.status, 200) << stream.body;
    const std::string one = whole(answer), other = joined(stream);
    EXPECT_EQ(comparable(one), comparable(other)) << body_of(script, true) << "\n"
                                                  << one << "\n"
                                                  << other;
    calls += one.find("tool_calls") != std::string::npos ? 1 : 0;
    reasoned += one.find("reasoning_content") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(calls, 20);
  EXPECT_GT(reasoned, 20);
}

TEST(Streams, AreKeptAliveByAChunkThatSaysNothing) {
  Harness harness;
  const Script script{"Hello, world", ""};
  Response stream = harness.call("POST", "/v1/chat/completions", body_of(script, true));
  ASSERT_TRUE(stream.heartbeat.starts_with("data: {") && stream.heartbeat.ends_with("}\n\n"));
  const std::string before = joined(stream);
  // It may come anywhere in the stream.
  stream.body.insert(stream.body.find("\n\n") + 2, stream.heartbeat + stream.heartbeat);
  EXPECT_EQ(comparable(joined(stream)), comparable(before));
}

// One choice may have ended while another one is still silent.
TEST(Streams, OfSeveralChoicesAreKeptAliveByAChunkOfNone) {
  Harness harness;
  const Response stream = harness.call(
      "POST", "/v1/chat/completions",
      R"({"model":"parrot","stream":true,"n":2,"messages":[{"role":"user","content":"x"}]})");
  EXPECT_NE(stream.heartbeat.find(R"("choices":[]})"), std::string::npos) << stream.heartbeat;
}

}  // namespace
}  // namespace pippin::api::testing
