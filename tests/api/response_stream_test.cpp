// What a client does besides asking: it leaves, reads slowly, comes when there is no room; and
// streams equal whole answers.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "api/routes/harness.h"
#include "service/json.h"

namespace pippin::api::testing {
namespace {

using boost::json::value;

constexpr char kChat[] = "/v1/chat/completions";

std::string chat(const std::string& text, const std::string& fields) {
  std::string body = R"({"model":"parrot","messages":[{"role":"user","content":)";
  service::append_json_string(body, text);
  return body + "}]" + (fields.empty() ? "" : ",") + fields + "}";
}

std::vector<value> events_of(const std::string& body) {
  std::vector<value> events;
  for (size_t at = 0; at < body.size();) {
    const size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "an event without its end";
    EXPECT_EQ(body.compare(at, 6, "data: "), 0);
    const std::string data = body.substr(at + 6, end - at - 6);
    if (data != "[DONE]") events.push_back(*service::parse_json(data));
    at = end + 2;
  }
  return events;
}

struct Joined {
  std::string text, finish_reason;
  std::vector<value> tokens;
  bool operator==(const Joined&) const = default;
};

void PrintTo(const Joined& joined, std::ostream* out) {
  *out << '"' << joined.text << "\" " << joined.finish_reason;
  for (const value& token : joined.tokens) *out << "\n  " << boost::json::serialize(token);
}

std::map<int64_t, Joined> joined(const std::vector<value>& events) {
  std::map<int64_t, Joined> choices;
  for (const value& event : events) {
    for (const value& choice : event.at("choices").as_array()) {
      Joined& to = choices[choice.at("index").as_int64()];
      if (const value* content = choice.at("delta").as_object().if_contains("content"))
        to.text += content->as_string();
      if (choice.at("logprobs").is_object()) {
        for (const value& token : choice.at("logprobs").at("content").as_array())
          to.tokens.push_back(token);
      }
      if (choice.at("finish_reason").is_string())
        to.finish_reason = choice.at("finish_reason").as_string();
    }
  }
  return choices;
}

std::map<int64_t, Joined> whole(const std::string& body) {
  std::map<int64_t, Joined> choices;
  const value object = *service::parse_json(body);
  for (const value& choice : object.at("choices").as_array()) {
    Joined& to = choices[choice.at("index").as_int64()];
    to.text = choice.at("message").at("content").as_string();
    to.finish_reason = choice.at("finish_reason").as_string();
    if (choice.at("logprobs").is_object()) {
      for (const value& token : choice.at("logprobs").at("content").as_array())
        to.tokens.push_back(token);
    }
  }
  return choices;
}

TEST(ResponseStreamTest, AStreamsChunksJoinedEqualTheWholeAnswer) {
  Harness harness;
  const std::vector<std::string> texts = {
      "Hello, world", "naïve 日本語 🙂 text", "a\n\nb\n\nc", "", "stop here, stop", "\"quoted\"\\"};
  const std::vector<std::string> fields = {
      "",
      R"("logprobs":true,"top_logprobs":2)",
      R"("stop":["\n\n","top h","語 🙂"],"logprobs":true)",
      R"("n":3,"max_tokens":7,"logprobs":true)",
      R"("stop":"x and more","max_tokens":9)",
  };
  for (const std::string& text : texts) {
    for (const std::string& field : fields) {
      const Response object = harness.call("POST", kChat, chat(text, field));
      const std::string options = R"("stream":true,"stream_options":{"include_usage":true})" +
                                  (field.empty() ? "" : "," + field);
      const Response stream = harness.call("POST", kChat, chat(text, options));
      ASSERT_EQ(object.status, 200) << object.body;
      ASSERT_EQ(stream.status, 200) << stream.body;
      const std::vector<value> events = events_of(stream.body);
      EXPECT_EQ(joined(events), whole(object.body)) << text << field;
      const value usage = service::parse_json(object.body)->at("usage");
      for (const char* count : {"prompt_tokens", "completion_tokens", "total_tokens"}) {
        EXPECT_EQ(events.back().at("usage").at(count), usage.at(count))
            << count << " " << text << field;
      }
    }
  }
}

TEST(ResponseStreamTest, AClientThatLeavesFreesItsBlocks) {
  Harness harness;
  const auto exchange =
      harness.send("POST", kChat, chat("ab<wait>" + std::string(100, 'x'), R"("stream":true)"));
  while (exchange->sent().body.find("\"b\"") == std::string::npos &&
         exchange->sent().body.find("\"ab\"") == std::string::npos) {
    std::this_thread::yield();  // until the text before the wait has come
  }
  EXPECT_EQ(exchange->answers(), 0);
  exchange->disconnect();
  harness.release();
  EXPECT_TRUE(harness.wait_until_idle());
  EXPECT_TRUE(exchange->wait());
  EXPECT_LE(harness.engine_status().generated_tokens, 5u) << "it went on for nobody";
}

TEST(ResponseStreamTest, AClientThatLeavesBeforeAWholeAnswerFreesItsBlocks) {
  Harness harness;
  const auto exchange = harness.send("POST", kChat, chat("<wait>abc", ""));
  while (harness.engine_status().running == 0) std::this_thread::yield();
  exchange->disconnect();
  harness.release();
  EXPECT_TRUE(harness.wait_until_idle());
  EXPECT_TRUE(exchange->wait());
  EXPECT_EQ(exchange->answers(), 1);
}

TEST(ResponseStreamTest, ASlowClientPausesItsReadingAndLosesNothing) {
  HarnessOptions options;
  options.stream_pause_bytes = 100;  // less than a stream's head
  options.context_tokens_max = 512;
  Harness harness(options);
  const std::string text(200, 'q');
  const auto exchange = harness.send("POST", kChat, chat("<wait>" + text, R"("stream":true)"));
  ASSERT_TRUE(exchange->wait_for_bytes(1));
  exchange->stall();
  harness.release();
  ASSERT_TRUE(harness.wait_until_idle()) << "the engine goes on without the reader";
  const size_t paused = exchange->sent().body.size();
  EXPECT_EQ(exchange->answers(), 0);
  EXPECT_LT(paused, 1000u);
  exchange->drain();
  ASSERT_TRUE(exchange->wait());
  EXPECT_EQ(joined(events_of(exchange->sent().body)).at(0).text, "<wait>" + text);
}

TEST(ResponseStreamTest, ASlowClientThatLeavesIsForgotten) {
  HarnessOptions options;
  options.stream_pause_bytes = 100;
  Harness harness(options);
  const auto exchange =
      harness.send("POST", kChat, chat("<wait>abc <forever>", R"("stream":true)"));
  ASSERT_TRUE(exchange->wait_for_bytes(1));
  exchange->stall();
  harness.release();
  exchange->disconnect();
  EXPECT_TRUE(exchange->wait());
  EXPECT_TRUE(harness.wait_until_idle());
}

TEST(ResponseStreamTest, AFullQueueIs503WithRetryAfter) {
  HarnessOptions options;
  options.rows_max = 1;
  options.queue_max = 2;
  Harness harness(options);
  std::vector<std::shared_ptr<FakeExchange>> exchanges;
  for (int i = 0; i < 12; ++i)
    exchanges.push_back(harness.send("POST", kChat, chat("<wait>a", "")));
  // Those that found no room are answered while the others wait.
  int refused = 0;
  while (refused < 6) {
    refused = 0;
    for (const auto& exchange : exchanges) refused += exchange->answers();
    std::this_thread::yield();
  }
  harness.release();
  int answered = 0;
  for (const auto& exchange : exchanges) {
    ASSERT_TRUE(exchange->wait());
    const Response response = exchange->sent();
    if (response.status == 200) {
      ++answered;
      continue;
    }
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(service::parse_json(response.body)->at("error").at("code"), "overloaded");
    EXPECT_EQ(response.headers.front(), (std::pair<std::string, std::string>{"retry-after", "1"}));
  }
  EXPECT_GE(answered, 2);
  EXPECT_TRUE(harness.wait_until_idle());
}

TEST(ResponseStreamTest, SomeChoicesWithoutRoomMeanNoneRuns) {
  HarnessOptions options;
  options.queue_max = 2;
  Harness harness(options);
  const Response response = harness.call("POST", kChat, chat("<wait>a", R"("n":16)"));
  EXPECT_EQ(response.status, 503) << response.body;
  harness.release();
  EXPECT_TRUE(harness.wait_until_idle());
}

TEST(ResponseStreamTest, AServerThatIsNotReadySaysWhy) {
  Harness harness;
  harness.readiness().set_not_ready("draining");
  for (const auto& [method, path] : {std::pair{"POST", kChat}, {"GET", "/health"}}) {
    const Response response = harness.call(method, path, chat("a", ""));
    EXPECT_EQ(response.status, 503);
    EXPECT_NE(response.body.find("draining"), std::string::npos) << response.body;
    EXPECT_EQ(response.headers.front().first, "retry-after");
  }
  EXPECT_EQ(harness.call("GET", "/v1/status", "").status, 200);
}

TEST(ResponseStreamTest, WithoutATemplateThereIsNoChatButThereAreCompletions) {
  HarnessOptions options;
  options.chat_template = false;
  Harness harness(options);
  const Response response = harness.call("POST", kChat, chat("a", ""));
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("no chat template"), std::string::npos) << response.body;
  EXPECT_EQ(harness.call("POST", "/v1/completions", R"({"model":"parrot","prompt":"a"})").status,
            200);
}

TEST(ResponseStreamTest, ManyAtOnceEachGetTheirOwn) {
  HarnessOptions options;
  options.queue_max = 64;
  Harness harness(options);
  std::vector<std::shared_ptr<FakeExchange>> exchanges;
  for (int i = 0; i < 32; ++i) {
    exchanges.push_back(harness.send(
        "POST", kChat, chat("answer " + std::to_string(i), i % 2 == 0 ? "" : R"("stream":true)")));
  }
  for (int i = 0; i < 32; ++i) {
    ASSERT_TRUE(exchanges[static_cast<size_t>(i)]->wait());
    const Response response = exchanges[static_cast<size_t>(i)]->sent();
    const auto choices = i % 2 == 0 ? whole(response.body) : joined(events_of(response.body));
    EXPECT_EQ(choices.at(0).text, "answer " + std::to_string(i));
  }
}

}  // namespace
}  // namespace pippin::api::testing
