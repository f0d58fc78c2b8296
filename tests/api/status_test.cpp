// What an operator sees and does: the metrics, the requests that are being answered, their end.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <chrono>
#include <sstream>
#include <string>
#include <thread>

#include "api/routes/harness.h"
#include "service/json.h"

namespace pippin::api::testing {
namespace {

using boost::json::value;
using namespace std::chrono_literals;

constexpr char kChat[] = "/v1/chat/completions";

std::string chat(const std::string& text, const std::string& fields = "") {
  std::string body = R"({"model":"parrot","messages":[{"role":"user","content":)";
  service::append_json_string(body, text);
  return body + "}]" + (fields.empty() ? "" : ",") + fields + "}";
}

value status_of(Harness& harness) {
  return *service::parse_json(harness.call("GET", "/v1/status", "").body);
}

/// Waits until the status lists as many requests.
value status_with(Harness& harness, size_t requests) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < until) {
    value status = status_of(harness);
    const auto& listed = status.at("requests").as_array();
    if (listed.size() == requests) return status;
    std::this_thread::sleep_for(1ms);
  }
  ADD_FAILURE() << "never " << requests << " requests";
  return status_of(harness);
}

/// Returns the value of a sample: the line that begins with `name`, up to its value.
std::string sample(const std::string& exposition, const std::string& name) {
  std::istringstream lines(exposition);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + " ")) return line.substr(name.size() + 1);
  ADD_FAILURE() << "no sample " << name;
  return {};
}

int status_code(Harness& harness, const std::string& method, const std::string& path) {
  return harness.call(method, path, "").status;
}

TEST(Metrics, CountWhatWasAnswered) {
  Harness harness;
  for (int i = 0; i < 3; ++i) harness.call("POST", kChat, chat("abc"));
  harness.call("POST", kChat, chat("abcdef", R"("max_tokens":2)"));
  harness.call("POST", kChat, chat("<fail>"));
  const Response response = harness.call("GET", "/metrics", "");
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.content_type.starts_with("text/plain; version=0.0.4"));
  const auto of = [&](const std::string& name, const std::string& more = "") {
    return sample(response.body, name + "{model_name=\"parrot\"" + more + "}");
  };
  EXPECT_EQ(of("vllm:request_success_total", ",finished_reason=\"stop\""), "3");
  EXPECT_EQ(of("vllm:request_success_total", ",finished_reason=\"length\""), "1");
  EXPECT_EQ(of("vllm:request_success_total", ",finished_reason=\"error\""), "1");
  EXPECT_EQ(of("vllm:generation_tokens_total"), "14");  // three times abc and its end, then ab
  EXPECT_EQ(of("vllm:time_to_first_token_seconds_count"), "4");
  EXPECT_EQ(of("vllm:time_to_first_token_seconds_bucket", ",le=\"+Inf\""), "4");
  EXPECT_EQ(of("vllm:e2e_request_latency_seconds_count"), "5");
  EXPECT_EQ(of("vllm:num_requests_running"), "0");
  EXPECT_EQ(of("vllm:kv_cache_usage_perc"), "0");
  const std::string total = of("vllm:prompt_tokens_total");
  EXPECT_EQ(total, of("vllm:prefix_cache_queries_total"));
  EXPECT_GT(std::stoi(of("vllm:prefix_cache_hits_total")), 0);
}

TEST(Metrics, BlocksOfLayersWithAWindowAreCountedApart) {
  HarnessOptions options;
  options.window = 16;
  options.window_blocks = 48;
  Harness harness(options);
  harness.call("POST", kChat, chat("abc"));
  const std::string body = harness.call("GET", "/metrics", "").body;
  const auto blocks = [&](const std::string& state) {
    return std::stoi(
        sample(body, "pippin:kv_window_blocks{model_name=\"parrot\",state=\"" + state + "\"}"));
  };
  EXPECT_EQ(blocks("leased"), 0);
  EXPECT_GT(blocks("cached"), 0);
  EXPECT_EQ(blocks("free") + blocks("cached"), 48);
  const auto of_group = [&](const std::string& group, const std::string& state) {
    return std::stoi(sample(body, "pippin:kv_group_blocks{model_name=\"parrot\",group=\"" + group +
                                      "\",state=\"" + state + "\"}"));
  };
  EXPECT_EQ(of_group("sliding", "cached"), blocks("cached"));
  EXPECT_GT(of_group("full", "free"), 0);
  const value status = *service::parse_json(harness.call("GET", "/v1/status", "").body);
  EXPECT_EQ(status.at("models").at(0).at("window_blocks").at("total").as_int64(), 48);
  // A model without windows says nothing of them.
  EXPECT_EQ(Harness().call("GET", "/metrics", "").body.find("window"), std::string::npos);
}

TEST(Metrics, EveryFamilyIsToldOnceWithItsTypeFirst) {
  Harness harness;
  harness.call("POST", kChat, chat("abc"));
  std::istringstream lines(harness.call("GET", "/metrics", "").body);
  std::vector<std::string> families;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) continue;
    if (line.starts_with("# TYPE ")) {
      std::string name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(std::ranges::count(families, name), 0) << name;
      families.push_back(std::move(name));
    } else {
      ASSERT_FALSE(families.empty());
      EXPECT_TRUE(line.starts_with(families.back())) << line << " under " << families.back();
    }
  }
  EXPECT_GE(families.size(), 20u);
}

TEST(Metrics, ARefusedRequestIsCounted) {
  HarnessOptions options;
  options.queue_max = 2;
  Harness harness(options);
  EXPECT_EQ(harness.call("POST", kChat, chat("<wait>a", R"("n":16)")).status, 503);
  harness.release();
  EXPECT_TRUE(harness.wait_until_idle());
  const std::string text = harness.call("GET", "/metrics", "").body;
  EXPECT_EQ(sample(text, "pippin:requests_refused_total{model_name=\"parrot\"}"), "1");
}

TEST(Status, TellsOfMemoryAndLimits) {
  Harness harness;
  const value status = status_of(harness);
  EXPECT_EQ(status.at("ready"), true);
  EXPECT_TRUE(status.at("version").is_string());
  const value& model = status.at("models").at(0);
  EXPECT_EQ(model.at("id"), "parrot");
  EXPECT_EQ(model.at("limits").at("rows"), 8);
  EXPECT_EQ(model.at("limits").at("queue"), 8);
  EXPECT_EQ(model.at("limits").at("context_tokens"), 256);
  EXPECT_TRUE(model.at("limits").at("output_tokens").is_null());
  EXPECT_TRUE(model.at("memory").at("kv_bytes").is_number());
  EXPECT_TRUE(status.at("requests").as_array().empty());
}

TEST(Status, ListsARequestWhileItIsAnswered) {
  Harness harness;
  harness.call("POST", kChat, chat("the beginning of something else"));
  const auto exchange =
      harness.send("POST", kChat, chat("the beginning of it <wait>", R"("max_tokens":40)"));
  value status = status_with(harness, 1);
  const auto until = std::chrono::steady_clock::now() + 20s;
  const auto generated = [&] {
    return status.at("requests").at(0).at("generated_tokens").as_int64();
  };
  while (generated() < 20 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(1ms);
    status = status_with(harness, 1);
  }
  const value& request = status.at("requests").at(0);
  EXPECT_EQ(request.at("id"), "test");
  EXPECT_TRUE(request.at("answer_id").as_string().starts_with("chatcmpl-"));
  EXPECT_EQ(request.at("model"), "parrot");
  EXPECT_EQ(request.at("state"), "decode");
  EXPECT_EQ(request.at("cached_tokens"), 6 + 17) << "a block, and 7 positions by a copy";
  EXPECT_EQ(request.at("generated_tokens"), 20);
  const value& sequence = request.at("sequences").at(0);
  EXPECT_EQ(sequence.at("max_tokens"), 40);
  EXPECT_TRUE(sequence.at("queue_position").is_null());
  EXPECT_TRUE(sequence.at("first_token_s").is_number());
  EXPECT_EQ(sequence.at("prefix").at("miss"), "differs");
  // <start> "user\n" are 6 tokens; the texts part after "the beginning of ".
  EXPECT_EQ(sequence.at("prefix").at("first_difference"), 6 + 17);
  EXPECT_EQ(sequence.at("prefix").at("part"), "messages[0]");
  harness.release();
  ASSERT_TRUE(exchange->wait());
  EXPECT_TRUE(status_of(harness).at("requests").as_array().empty());
}

TEST(Status, NamesThePlaceInTheQueue) {
  HarnessOptions options;
  options.rows_max = 1;
  Harness harness(options);
  std::vector<std::shared_ptr<FakeExchange>> exchanges;
  for (int i = 0; i < 3; ++i) {
    exchanges.push_back(harness.send("POST", kChat, chat("<wait>" + std::to_string(i))));
    status_with(harness, exchanges.size());
    while (harness.engine_status().running == 0) std::this_thread::yield();
  }
  const value status = status_with(harness, 3);  // the device is held at the first one's answer
  for (size_t i = 0; i < 3; ++i) {
    const value& request = status.at("requests").at(i);
    const value& sequence = request.at("sequences").at(0);
    EXPECT_EQ(request.at("state"), i == 0 ? "prefill" : "waiting");
    EXPECT_EQ(sequence.at("queue_position"), i == 0 ? value(nullptr) : value(i));
    EXPECT_EQ(sequence.at("prefix").is_null(), i > 0) << "looked up at its admission";
  }
  harness.release();
  for (const auto& exchange : exchanges) ASSERT_TRUE(exchange->wait());
  EXPECT_TRUE(harness.wait_until_idle());
}

TEST(Cancel, EndsARequestByEitherIdOnce) {
  for (const char* method : {"POST", "DELETE"}) {
    for (const bool by_answer : {false, true}) {
      Harness harness;
      const auto exchange =
          harness.send("POST", kChat, chat("<wait>abc <forever>", R"("stream":true)"));
      const value status = status_with(harness, 1);
      const value& request = status.at("requests").at(0);
      const std::string id(request.at(by_answer ? "answer_id" : "id").as_string());
      std::string path = "/v1/requests/" + id;
      if (std::string_view(method) == "POST") path += "/cancel";
      const Response cancelled = harness.call(method, path, "");
      EXPECT_EQ(cancelled.status, 200) << cancelled.body;
      EXPECT_EQ(service::parse_json(cancelled.body)->at("id").as_string(), id);
      EXPECT_EQ(status_code(harness, method, path), 404) << "a second time";
      harness.release();
      ASSERT_TRUE(exchange->wait());
      EXPECT_NE(exchange->sent().body.find("cancelled"), std::string::npos);
      EXPECT_TRUE(harness.wait_until_idle());
      EXPECT_EQ(status_code(harness, method, path), 404) << "when it has ended";
    }
  }
}

TEST(Cancel, OfNobodyIs404) {
  Harness harness;
  EXPECT_EQ(status_code(harness, "POST", "/v1/requests/nobody/cancel"), 404);
  EXPECT_EQ(status_code(harness, "DELETE", "/v1/requests/no/body"), 404);
}

TEST(Cancel, OfAWholeAnswerIsAnError) {
  Harness harness;
  const auto exchange = harness.send("POST", kChat, chat("<wait>abc <forever>"));
  status_with(harness, 1);
  EXPECT_EQ(status_code(harness, "DELETE", "/v1/requests/test"), 200);
  harness.release();
  ASSERT_TRUE(exchange->wait());
  EXPECT_EQ(service::parse_json(exchange->sent().body)->at("error").at("code"), "cancelled");
}

TEST(Limits, APromptLargerThanThePoolIsToldSo) {
  HarnessOptions options;
  options.blocks = 4;  // 64 positions, a quarter of the context
  Harness harness(options);
  const Response response = harness.call("POST", kChat, chat(std::string(100, 'x')));
  EXPECT_EQ(response.status, 400);
  const value error = service::parse_json(response.body)->at("error");
  EXPECT_EQ(error.at("code"), "context_length_exceeded");
  EXPECT_NE(error.at("message").as_string().find("holds 64 tokens"), std::string::npos)
      << response.body;
}

}  // namespace
}  // namespace pippin::api::testing
