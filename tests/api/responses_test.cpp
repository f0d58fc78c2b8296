// What a client does with responses over several requests: goes on from one, asks for it again,
// lets it run in the background, and meets a store that does not work.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "api/routes/harness.h"
#include "service/json.h"

namespace pippin::api::testing {
namespace {

using boost::json::object;
using boost::json::value;

constexpr char kResponses[] = "/v1/responses";

HarnessOptions roomy() {
  HarnessOptions options;
  options.context_tokens_max = 8192;
  options.blocks = 1024;
  return options;
}

std::string body_of(const std::string& input_json, const std::string& fields = {}) {
  return R"({"model":"parrot","input":)" + input_json + (fields.empty() ? "" : "," + fields) + "}";
}

std::string text(const std::string& input, const std::string& fields = {}) {
  std::string json;
  service::append_json_string(json, input);
  return body_of(json, fields);
}

object json_of(const Response& response, int status = 200) {
  EXPECT_EQ(response.status, status) << response.body;
  Result<value> parsed = service::parse_json(response.body);
  if (!parsed.ok() || !parsed->is_object()) {
    ADD_FAILURE() << response.body;
    return {};
  }
  return parsed->as_object();
}

std::string string_at(const value& in, const char* path) {
  return std::string(in.at_pointer(path).as_string());
}

struct Stream {
  std::vector<object> events;
  object last;  // the last event's response
};

Stream stream_of(const std::string& body) {
  Stream stream;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "an event without its end";
    const std::string event = body.substr(at, end - at);
    if (event == "data: [DONE]") {
      EXPECT_EQ(end + 2, body.size()) << "the marker is the end";
      break;
    }
    const size_t line = event.find('\n');
    EXPECT_TRUE(event.starts_with("event: ")) << event;
    const object data = service::parse_json(event.substr(line + 7))->as_object();
    EXPECT_EQ(event.substr(7, line - 7), std::string(data.at("type").as_string()));
    EXPECT_EQ(data.at("sequence_number").as_int64(), static_cast<int64_t>(stream.events.size()));
    stream.events.push_back(data);
    at = end + 2;
  }
  if (!stream.events.empty() && stream.events.back().contains("response"))
    stream.last = stream.events.back().at("response").as_object();
  return stream;
}

// Puts the items together from the deltas alone, as clients do.
boost::json::array items_from_deltas(const Stream& stream) {
  boost::json::array items;
  for (const object& event : stream.events) {
    const std::string type(event.at("type").as_string());
    if (type == "response.output_item.added") {
      EXPECT_EQ(event.at("output_index").as_int64(), static_cast<int64_t>(items.size()));
      items.push_back(event.at("item"));
      continue;
    }
    if (!type.ends_with(".delta")) continue;
    object& item = items.at(static_cast<size_t>(event.at("output_index").as_int64())).as_object();
    const std::string delta(event.at("delta").as_string());
    EXPECT_EQ(item.at("id"), event.at("item_id"));
    const char* field = type.find("custom_tool") != std::string::npos     ? "input"
                        : type.find("function_call") != std::string::npos ? "arguments"
                                                                          : "text";
    item[field] = item.contains(field) ? std::string(item.at(field).as_string()) + delta : delta;
  }
  return items;
}

// The text of an item of a whole response.
std::string text_of_item(const object& item) {
  for (const char* field : {"arguments", "input"}) {
    if (item.contains(field)) return std::string(item.at(field).as_string());
  }
  for (const char* field : {"content", "summary"}) {
    if (!item.contains(field) || item.at(field).as_array().empty()) continue;
    return std::string(item.at(field).as_array().at(0).at("text").as_string());
  }
  return {};
}

void strip_ids(value& in) {
  if (value* id = in.is_object() ? in.as_object().if_contains("id") : nullptr) *id = "id";
  if (value* call = in.is_object() ? in.as_object().if_contains("call_id") : nullptr) *call = "c";
}

TEST(Responses, AStreamEqualsTheWholeAnswer) {
  Harness harness(roomy());
  const std::string tools =
      R"("tools":[{"type":"function","name":"f"},{"type":"custom","name":"p"}])";
  const std::vector<std::string> inputs = {
      "hello, wörld 🙂",
      "",
      "  \n ",
      "<think>\nfirst\n</think>\n\nthen",
      "<think>\nonly thoughts\n</think>",
      R"(<tool_call>{"name": "f", "arguments": {"a": "b\"c"}}</tool_call>)",
      R"(<tool_call>{"name": "p", "arguments": {"input": "l1\nl2 \u00e9"}}</tool_call>)",
      "<think>\nt\n</think>\ntext <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n"
      "<tool_call>{\"name\": \"p\", \"arguments\": {\"input\": \"x\"}}</tool_call>",
      R"(<tool_call>{"name": "nobody", "arguments": {}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {"broken)",
  };
  const std::vector<std::string> fields = {
      tools, tools + R"(,"reasoning":{"summary":"auto"})", tools + R"(,"max_output_tokens":25)",
      tools + R"(,"include":["message.output_text.logprobs"])"};
  for (const std::string& input : inputs) {
    for (const std::string& field : fields) {
      const object whole = json_of(harness.call("POST", kResponses, text(input, field)));
      const Response streamed =
          harness.call("POST", kResponses, text(input, field + R"(,"stream":true)"));
      const Stream stream = stream_of(streamed.body);
      ASSERT_FALSE(stream.last.empty()) << streamed.body;
      value expected = whole.at("output"), got = stream.last.at("output");
      for (value* output : {&expected, &got})
        for (value& item : output->as_array()) strip_ids(item);
      EXPECT_EQ(got, expected) << input << field;
      EXPECT_EQ(stream.last.at("status"), whole.at("status"));
      EXPECT_EQ(stream.last.at("usage").at("output_tokens"), whole.at("usage").at("output_tokens"));
      const boost::json::array joined = items_from_deltas(stream);
      ASSERT_EQ(joined.size(), expected.as_array().size()) << streamed.body;
      for (size_t i = 0; i < joined.size(); ++i) {
        const object& item = joined[i].as_object();
        object done = stream.last.at("output").as_array()[i].as_object();
        EXPECT_EQ(item.at("id"), done.at("id"));
        const std::string delta_text = text_of_item(item);
        EXPECT_EQ(item.contains("text") ? std::string(item.at("text").as_string()) : delta_text,
                  text_of_item(done))
            << input;
      }
    }
  }
}

// Repeats what it is until there is something to tell, and numbers it as any other event.
TEST(Responses, ASilentStreamSaysThatItIsInProgress) {
  Harness harness(roomy());
  const auto types_of = [](const Stream& stream) {
    std::vector<std::string> types;
    for (const object& event : stream.events) types.emplace_back(event.at("type").as_string());
    return types;
  };
  const auto before = harness.send("POST", kResponses, text("<wait>ab", R"("stream":true)"));
  for (int i = 0; i < 2; ++i) {
    const auto silent = [&] { return stream_of(before->sent().body).events.size() == 2u + i; };
    while (!silent()) std::this_thread::yield();
    before->fall_silent();
  }
  while (stream_of(before->sent().body).events.size() < 4) std::this_thread::yield();
  harness.release();
  ASSERT_TRUE(before->wait());
  const Stream stream = stream_of(before->sent().body);
  const std::vector<std::string> types = types_of(stream);
  ASSERT_GT(types.size(), 5u);
  EXPECT_EQ(types[0], "response.created");
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(types[i], "response.in_progress");
    EXPECT_EQ(stream.events[i].at("response"), stream.events[0].at("response"));
  }
  EXPECT_EQ(types[4], "response.output_item.added");
  EXPECT_EQ(string_at(stream.last, "/output/0/content/0/text"), "<wait>ab");

  const auto within = harness.send("POST", kResponses, text("ab<wait>cd", R"("stream":true)"));
  while (within->sent().body.find("output_item.added") == std::string::npos)
    std::this_thread::yield();
  within->fall_silent();
  harness.release();
  ASSERT_TRUE(within->wait());
  EXPECT_EQ(std::ranges::count(types_of(stream_of(within->sent().body)), "response.in_progress"), 1)
      << "to some clients it would replace what came before";
}

TEST(Responses, GoesOnFromAnEarlierOne) {
  Harness harness(roomy());
  const object first = json_of(harness.call("POST", kResponses, text("one")));
  const std::string id = string_at(first, "/id");
  const object second = json_of(
      harness.call("POST", kResponses, text("two", R"("previous_response_id":")" + id + "\"")));
  EXPECT_EQ(string_at(second, "/previous_response_id"), id);
  const std::string items = "/v1/responses/" + string_at(second, "/id") + "/input_items?order=asc";
  const object listed = json_of(harness.call("GET", items, ""));
  ASSERT_EQ(listed.at("data").as_array().size(), 3u) << boost::json::serialize(listed);
  EXPECT_EQ(string_at(listed, "/data/0/content/0/text"), "one");
  EXPECT_EQ(string_at(listed, "/data/1/role"), "assistant");
  EXPECT_EQ(string_at(listed, "/data/2/content/0/text"), "two");
  EXPECT_FALSE(listed.at("has_more").as_bool());
  // The same conversation, sent whole, is the same prompt.
  const object whole = json_of(
      harness.call("POST", kResponses,
                   body_of(R"([{"role":"user","content":"one"},{"role":"assistant","content":"one"},
                  {"role":"user","content":"two"}])")));
  EXPECT_EQ(whole.at("usage").at("input_tokens"), second.at("usage").at("input_tokens"))
      << boost::json::serialize(listed) << boost::json::serialize(second);
  EXPECT_GT(whole.at("usage").at("input_tokens_details").at("cached_tokens").as_int64(), 0);
}

TEST(Responses, ItemsArePagedAndFoundByTheirIds) {
  Harness harness(roomy());
  std::string input = "[";
  for (int i = 0; i < 5; ++i)
    input += (i > 0 ? "," : "") + (R"({"role":"user","content":"m)" + std::to_string(i) + "\"}");
  const object made = json_of(harness.call("POST", kResponses, body_of(input + "]")));
  const std::string path = "/v1/responses/" + string_at(made, "/id") + "/input_items";
  const object first = json_of(harness.call("GET", path + "?limit=2", ""));
  EXPECT_EQ(string_at(first, "/data/0/content/0/text"), "m4") << "the latest first";
  EXPECT_TRUE(first.at("has_more").as_bool());
  EXPECT_EQ(string_at(first, "/last_id"), string_at(first, "/data/1/id"));
  const object rest =
      json_of(harness.call("GET", path + "?limit=3&after=" + string_at(first, "/last_id"), ""));
  EXPECT_EQ(string_at(rest, "/data/0/content/0/text"), "m2");
  EXPECT_FALSE(rest.at("has_more").as_bool());
  json_of(harness.call("GET", path + "?after=msg_x_9", ""), 400);
  const std::string reference = string_at(made, "/output/0/id");
  const object again = json_of(
      harness.call("POST", kResponses,
                   body_of(R"([{"role":"user","content":"a"},{"type":"item_reference","id":")" +
                           reference + R"("},{"role":"user","content":"b"}])")));
  const std::string items = "/v1/responses/" + string_at(again, "/id") + "/input_items?order=asc";
  EXPECT_EQ(string_at(json_of(harness.call("GET", items, "")), "/data/1/content/0/text"), "m4");
}

TEST(Responses, IsThereUntilItIsDeleted) {
  Harness harness(roomy());
  const object made =
      json_of(harness.call("POST", kResponses, text("a", R"("metadata":{"k":"v"})")));
  const std::string path = "/v1/responses/" + string_at(made, "/id");
  EXPECT_EQ(json_of(harness.call("GET", path, "")), made);
  EXPECT_EQ(json_of(harness.call("GET", path + "?stream=true", ""), 400)
                .at("error")
                .at("param")
                .as_string(),
            "stream");
  EXPECT_EQ(json_of(harness.call("POST", path + "/cancel", "{}"), 400).at("error").at("param"),
            "id");
  EXPECT_TRUE(json_of(harness.call("DELETE", path, "")).at("deleted").as_bool());
  json_of(harness.call("GET", path, ""), 404);
  json_of(harness.call("DELETE", path, ""), 404);
  const object unstored = json_of(harness.call("POST", kResponses, text("a", R"("store":false)")));
  json_of(harness.call("GET", "/v1/responses/" + string_at(unstored, "/id"), ""), 404);
  // What is streamed is kept as well.
  const Stream stream =
      stream_of(harness.call("POST", kResponses, text("b", R"("stream":true)")).body);
  EXPECT_EQ(json_of(harness.call("GET", "/v1/responses/" + string_at(stream.last, "/id"), "")),
            stream.last);
}

object wait_for_end(Harness& harness, const std::string& path) {
  for (;;) {
    const object now = json_of(harness.call("GET", path, ""));
    const value& status = now.at("status");
    if (status != "queued" && status != "in_progress") return now;
    std::this_thread::yield();
  }
}

TEST(Responses, RunsInTheBackground) {
  Harness harness(roomy());
  const object made =
      json_of(harness.call("POST", kResponses, text("ab<wait>", R"("background":true)")));
  EXPECT_EQ(made.at("status"), "queued");
  EXPECT_TRUE(made.at("output").as_array().empty());
  const std::string path = "/v1/responses/" + string_at(made, "/id");
  while (json_of(harness.call("GET", path, "")).at("status") != "in_progress")
    std::this_thread::yield();
  json_of(harness.call("POST", kResponses,
                       text("x", R"("previous_response_id":")" + string_at(made, "/id") + "\"")),
          400);
  harness.release();
  const object ended = wait_for_end(harness, path);
  EXPECT_EQ(ended.at("status"), "completed");
  EXPECT_EQ(string_at(ended, "/output/0/content/0/text"), "ab<wait>");
  EXPECT_EQ(json_of(harness.call("POST", path + "/cancel", "{}")).at("status"), "completed");
}

TEST(Responses, ABackgroundStreamCanBeTakenUpAgain) {
  Harness harness(roomy());
  const auto first =
      harness.send("POST", kResponses, text("abc<wait>def", R"("background":true,"stream":true)"));
  while (first->sent().body.find("\"sequence_number\":5,") == std::string::npos)
    std::this_thread::yield();  // until all but the step before the wait has come
  const std::string begun = first->sent().body;
  const size_t at = begun.find("\"id\":\"") + 6;
  const std::string path = "/v1/responses/" + begun.substr(at, begun.find('"', at) - at);
  first->disconnect();
  const auto again = harness.send("GET", path + "?stream=true", "");
  const auto later = harness.send("GET", path + "?stream=true&starting_after=3", "");
  harness.release();
  ASSERT_TRUE(again->wait());
  ASSERT_TRUE(later->wait());
  const Stream stream = stream_of(again->sent().body);
  EXPECT_EQ(string_at(stream.last, "/output/0/content/0/text"), "abc<wait>def");
  EXPECT_TRUE(stream.events.size() > 6);
  EXPECT_TRUE(again->sent().body.ends_with(later->sent().body));
  EXPECT_TRUE(later->sent().body.find("\"sequence_number\":4,") < 200);
  json_of(harness.call("GET", path + "?starting_after=3", ""), 400);
}

TEST(Responses, ABackgroundRunIsCancelled) {
  Harness harness(roomy());
  const object made =
      json_of(harness.call("POST", kResponses, text("ab<forever>", R"("background":true)")));
  const std::string path = "/v1/responses/" + string_at(made, "/id");
  EXPECT_EQ(json_of(harness.call("POST", path + "/cancel", "{}")).at("status"), "cancelled");
  EXPECT_EQ(json_of(harness.call("GET", path, "")).at("status"), "cancelled");
  EXPECT_TRUE(harness.wait_until_idle());
  const object other =
      json_of(harness.call("POST", kResponses, text("ab<forever>", R"("background":true)")));
  const std::string gone = "/v1/responses/" + string_at(other, "/id");
  json_of(harness.call("DELETE", gone, ""));
  EXPECT_TRUE(harness.wait_until_idle());
  json_of(harness.call("GET", gone, ""), 404);
}

TEST(Responses, TruncationLeavesOutTheOldestTurns) {
  HarnessOptions options = roomy();
  options.context_tokens_max = 512;
  Harness harness(options);
  std::string input = R"([{"role":"system","content":"rules"})";
  for (int i = 0; i < 10; ++i) {
    input += R"(,{"role":"user","content":")" + std::string(60, static_cast<char>('a' + i)) + "\"}";
    input += R"(,{"role":"assistant","content":"ok"})";
  }
  input += R"(,{"role":"user","content":"last"}])";
  const object refused = json_of(harness.call("POST", kResponses, body_of(input)), 400);
  EXPECT_EQ(refused.at("error").at("code"), "context_length_exceeded");
  const object cut =
      json_of(harness.call("POST", kResponses, body_of(input, R"("truncation":"auto")")));
  EXPECT_EQ(string_at(cut, "/output/0/content/0/text"), "last");
  EXPECT_GT(cut.at("usage").at("input_tokens").as_int64(), 200);
  const object small =
      json_of(harness.call("POST", kResponses, text("last", R"("truncation":"auto")")));
  EXPECT_EQ(small.at("status"), "completed");
}

TEST(Responses, WithoutAStoreNothingIsKept) {
  HarnessOptions options = roomy();
  options.responses_path.clear();
  Harness harness(options);
  EXPECT_FALSE(json_of(harness.call("POST", kResponses, text("a"))).at("store").as_bool());
  const auto param = [&](const char* fields) {
    return string_at(json_of(harness.call("POST", kResponses, text("a", fields)), 400),
                     "/error/param");
  };
  EXPECT_EQ(param(R"("store":true)"), "store");
  EXPECT_EQ(param(R"("background":true)"), "background");
  EXPECT_EQ(param(R"("previous_response_id":"resp_1")"), "previous_response_id");
}

TEST(Responses, ADamagedStoreIsToldAndTheAnswerStillCome) {
  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / ("damaged-" + std::to_string(getpid()) + ".db");
  std::ofstream(file) << std::string(8192, 'x');
  HarnessOptions options = roomy();
  options.responses_path = file.string();
  Harness harness(options);
  const object answer = json_of(harness.call("POST", kResponses, text("a")));
  EXPECT_EQ(string_at(answer, "/output/0/content/0/text"), "a");
  EXPECT_FALSE(answer.at("store").as_bool());
  EXPECT_EQ(string_at(answer, "/warnings/0/code"), "not_stored");
  EXPECT_EQ(harness.call("POST", kResponses, text("a", R"("store":true)")).status, 503);
  EXPECT_EQ(harness.call("GET", "/v1/responses/resp_1", "").status, 503);
  EXPECT_EQ(harness.call("DELETE", "/v1/responses/resp_1", "").status, 503);
  std::filesystem::remove(file);
  EXPECT_TRUE(json_of(harness.call("POST", kResponses, text("a", R"("store":true)")))
                  .at("store")
                  .as_bool());
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + end);
}

// Takes a request that is right and breaks it at random, as JSON values: every answer is a 4xx that
// names a field, or the request was still right.
TEST(Responses, BrokenRequestsAreNeverOurFault) {
  Harness harness(roomy());
  const value good = *service::parse_json(R"({
    "model":"parrot","input":[{"role":"developer","content":"d"},
      {"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},
      {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"e"},
      {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
      {"type":"function_call_output","call_id":"c","output":"o"},
      {"type":"custom_tool_call","call_id":"d","name":"p","input":"i"},
      {"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"o"}]}],
    "tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false},
      {"type":"custom","name":"p","format":{"type":"grammar","syntax":"lark","definition":"start: \"a\""}},
      {"type":"namespace","name":"n","tools":[{"type":"function","name":"g"}]}],
    "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]},
    "include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},
    "text":{"format":{"type":"text"},"verbosity":"low"},"max_output_tokens":3,"metadata":{"a":"b"},
    "temperature":0.5,"top_p":0.5,"truncation":"auto","store":false,"stream":false,"user":"u"})");
  const std::vector<value> junk = {nullptr,
                                   true,
                                   -1,
                                   0.5,
                                   1e300,
                                   "",
                                   "\xC3\xA9word",
                                   object(),
                                   boost::json::array(),
                                   boost::json::array({1, "a"}),
                                   {{"type", "nothing"}},
                                   18446744073709551615ULL};
  std::mt19937 random(11);
  const auto below = [&random](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 1500; ++round) {
    value body = good;
    for (size_t breaks = 1 + below(2); breaks > 0; --breaks) {
      value* at = &body;
      for (;;) {
        if (at->is_object() && !at->as_object().empty() && below(6) > 0) {
          at = &(at->as_object().begin() +
                 static_cast<std::ptrdiff_t>(below(at->as_object().size())))
                    ->value();
        } else if (at->is_array() && !at->as_array().empty() && below(6) > 0) {
          at = &at->as_array()[below(at->as_array().size())];
        } else {
          break;
        }
      }
      if (at != &body) *at = junk[below(junk.size())];
    }
    const char* path = round % 5 == 0 ? "/v1/responses/input_tokens" : kResponses;
    const std::string sent = boost::json::serialize(body);
    const Response answer = harness.call("POST", path, sent);
    if (answer.status == 200) continue;
    ASSERT_TRUE(answer.status == 400 || answer.status == 404)
        << answer.status << " " << sent << answer.body;
    const object error = json_of(answer, answer.status).at("error").as_object();
    EXPECT_TRUE(error.at("param").is_string()) << sent << answer.body;
    EXPECT_FALSE(error.at("message").as_string().empty());
  }
  EXPECT_TRUE(harness.wait_until_idle());
}

}  // namespace
}  // namespace pippin::api::testing
